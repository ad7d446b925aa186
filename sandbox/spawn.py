"""Starting processes through the launcher, and holding on to them.

The gateway's side of `sandbox.launcher`. A process is known by a descriptor, never by its number,
so that a number used again by the system is never signalled.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from sandbox.contract import Unavailable
from sandbox.launcher import PACKET

_EXCHANGE_SECONDS = 10.0
_STOP_SECONDS = 5.0


class Process:
    """A running process that this side did not fork itself."""

    def __init__(self, pid: int, descriptor: int) -> None:
        """Take over `descriptor`, a pidfd."""
        self.pid = pid
        self._descriptor = descriptor
        self._closed = False

    @property
    def exited(self) -> bool:
        return self.join(0)

    def copy(self) -> "Process":
        """Hold on to it once more; each copy is closed on its own."""
        return Process(self.pid, os.dup(self._descriptor))

    async def wait(self) -> None:
        """Return when the process has ended."""
        if not self._closed:
            await anyio.wait_readable(self._descriptor)

    def join(self, seconds: float) -> bool:
        """Block until the process has ended, and say whether it has."""
        if self._closed:
            return True
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def kill(self) -> None:
        """Send SIGKILL; nothing happens when it has ended."""
        if not self._closed:
            # It may end, and even be collected, between any look and this.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def close(self) -> None:
        """Let go of a process that has ended, or that is somebody else's."""
        self._closed = True
        os.close(self._descriptor)


def hold(pid: int, *, parent: int) -> Process | None:
    """Hold on to the process `pid` if it is there and a child of `parent`."""
    try:
        process = Process(pid, os.pidfd_open(pid))
    except ProcessLookupError:
        return None
    # The number could have been used again before it was held; now it cannot.
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        stat = ""
    if stat.rpartition(")")[2].split()[1:2] == [str(parent)]:
        return process
    process.close()
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What to start and as whom."""

    program: str
    argv: Sequence[str]
    """Its first member is the name that ``ps`` shows."""
    uid: int | None
    """The host user and group id; None keeps the gateway's."""
    limits: Sequence[tuple[int, int]]
    """Pairs of a ``resource.RLIMIT_*`` and its value."""
    descriptors: Sequence[int]
    """Open files the process finds at 0, 1 and so on; they stay the caller's to close."""


class Spawner:
    """Starts processes whose parent is the launcher; one launcher at a time, made when needed."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._launcher: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    async def start(self, order: Start) -> Process:
        """Start a process; what goes wrong from then on, it says on its standard error.

        Raises:
            Unavailable: There is no process.
        """
        answer: dict[str, Any] = {}
        descriptors: list[int] = []
        async with self._lock:
            # An answer must not be left behind for the next request to find.
            with anyio.CancelScope(shield=True):
                try:
                    with anyio.fail_after(_EXCHANGE_SECONDS):
                        answer, descriptors = await self._exchange(order)
                except (TimeoutError, OSError) as error:
                    await self._stop()
                    raise Unavailable(f"the launcher of sandboxes failed: {error}") from error
        if not descriptors:
            raise Unavailable(f"cannot start {order.program}: {answer.get('error')}")
        return Process(answer["pid"], descriptors[0])

    async def aclose(self) -> None:
        """End the launcher, and with it everything it started."""
        async with self._lock:
            await self._stop()

    async def _exchange(self, order: Start) -> tuple[dict[str, Any], list[int]]:
        if self._launcher is not None and self._launcher.poll() is not None:
            await self._stop()
        connection = self._connect()
        request = {
            "program": order.program,
            "argv": list(order.argv),
            "uid": order.uid,
            "limits": list(order.limits),
        }
        socket.send_fds(connection, [json.dumps(request).encode()], list(order.descriptors))
        await anyio.wait_readable(connection)
        data, descriptors, _, _ = socket.recv_fds(connection, PACKET, 1, socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise ConnectionResetError("it ended")
        return json.loads(data), descriptors

    def _connect(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            with theirs:
                self._launcher = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py"))],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env={},
                    start_new_session=True,  # Ctrl-C in a terminal is for the gateway to act on
                )
            self._socket = ours
        return self._socket

    async def _stop(self) -> None:
        launcher, self._launcher = self._launcher, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if launcher is None:
            return
        with anyio.CancelScope(shield=True):
            try:
                await anyio.to_thread.run_sync(launcher.wait, _STOP_SECONDS)
            except subprocess.TimeoutExpired:
                launcher.kill()
                await anyio.to_thread.run_sync(launcher.wait)
