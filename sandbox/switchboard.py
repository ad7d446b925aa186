"""The socket that one sandbox dials: connections come in and are paired with who asked for them.

The gateway owns the socket and listens; the sandbox can only connect. Everything that arrives is
hostile: a connection has to come from the sandbox's user, say the token within seconds and in a
short line, and be one that was asked for. What was not asked for is dropped and counted, and too
much of it ends the sandbox. The protocol is the one `sandbox.contract` describes.
"""

import hmac
import json
import secrets
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from sandbox.channel import SocketChannel, parse, refusal
from sandbox.contract import SandboxError, SandboxGone
from sandbox.doorway import listen, peer_uid

SOCKET_NAME = "socket"
MAX_GREETING = 4096
MAX_LINE = 65536
MAX_ORDER = 2 * 1024 * 1024
"""Bytes of one order to the program inside; it takes twice as much."""
MAX_STRANGERS = 16
"""Connections that have not yet said who they are."""
MAX_FAULTS = 64
"""Unexpected lines and connections after which a sandbox is given up."""
GREETING_SECONDS = 5.0
_LINES_PER_ORDER = 4
_SEND_SECONDS = 10.0


class _Wanted:
    """A connection, or just an answer, that somebody waits for."""

    def __init__(self) -> None:
        self.decided = anyio.Event()
        self.channel: SocketChannel | None = None
        self.error = ""

    def decide(self, line: Mapping[str, Any]) -> None:
        """Let the line be the answer, unless there is one already."""
        if not self.decided.is_set():
            self.error = str(line.get("error") or "")[:MAX_GREETING]
            self.decided.set()


class Switchboard:
    """The gateway's end of one sandbox: the control line, and channels as they are asked for."""

    def __init__(
        self,
        directory: Path,
        *,
        uid: int,
        token: str,
        proxies: Collection[int] = (),
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        """Listen in `directory`; only connections of the host user `uid` are taken.

        `proxies` are users who dial on its behalf, as the file server of gVisor does.
        """
        self.ready = anyio.Event()
        self.settled = anyio.Event()
        """It is ready, or over, or both."""
        self.over = anyio.Event()
        """The control line ended, or the program inside misbehaved: nothing works any more."""
        self._token = token.encode()
        self._users = {uid, *proxies}
        self._new_id = new_id
        self._listener = listen(directory, SOCKET_NAME, uid=uid, backlog=MAX_STRANGERS)
        self._control: SocketChannel | None = None
        self._sending = anyio.Lock()
        self._claim: _Wanted | None = None
        self._wanted: dict[str, _Wanted] = {}
        self._strangers = 0
        self._faults = 0
        self._expected_lines = 1

    async def serve(self) -> None:
        """Take connections until it is over; then fail everyone who waits, and close."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._accept, tasks)
                await self.over.wait()
                tasks.cancel_scope.cancel()
        finally:
            self.close()
            for wanted in self._wanted.values():
                wanted.decided.set()
            if self._claim is not None:
                self._claim.decided.set()

    def end(self) -> None:
        """Whoever waits for the sandbox waits no longer."""
        self.over.set()
        self.settled.set()

    def close(self) -> None:
        """Stop listening; `serve` does so at its end."""
        self.end()
        self._listener.close()

    async def claim(self, env: Mapping[str, str], *, output: int) -> None:
        """Send the session's environment, and how much of a command's output is kept, in bytes.

        Waits until they are taken over.

        Raises:
            SandboxGone: The sandbox went away.
            SandboxError: It was claimed before, or will not take the environment.
        """
        if self._claim is not None:
            raise SandboxError("the sandbox is claimed already")
        self._claim = _Wanted()
        await self._tell({"claim": {"env": dict(env), "output": output}})
        await self._claim.decided.wait()
        if self._claim.error:
            raise SandboxError(self._claim.error)
        if self.over.is_set():
            raise SandboxGone("the sandbox ended while it was claimed")

    async def dial(self, kind: str, /, **order: object) -> SocketChannel:
        """Ask for a channel, ``{kind: CHANNEL_ID, **order}``, and wait for its connection.

        Raises:
            SandboxGone: The sandbox went away.
            FileNotFoundError, SandboxError: The program inside cannot; in its own words.
        """
        channel_id = self._new_id()
        wanted = self._wanted[channel_id] = _Wanted()
        try:
            await self._tell({kind: channel_id, **order})
            await wanted.decided.wait()
            channel, wanted.channel = wanted.channel, None
        finally:
            del self._wanted[channel_id]
            if wanted.channel is not None:  # cancelled just when it arrived
                await wanted.channel.aclose()
        if channel is not None:
            return channel
        if wanted.error:
            raise refusal(wanted.error)
        raise SandboxGone("the sandbox ended before the channel was open")

    async def _tell(self, order: Mapping[str, object]) -> None:
        """Write one control line, whole or not at all."""
        if self._control is None or self.over.is_set():
            raise SandboxGone("the sandbox is not there any more")
        line = json.dumps(order).encode() + b"\n"
        if len(line) > MAX_ORDER:
            raise SandboxError(f"more than {MAX_ORDER} bytes of arguments or environment")
        async with self._sending:
            self._expected_lines += _LINES_PER_ORDER
            with anyio.CancelScope(shield=True), anyio.move_on_after(_SEND_SECONDS) as patience:
                await self._control.send(line)
            if patience.cancelled_caught:  # half a line may be out; nothing can follow it
                self.end()
                raise SandboxGone("the program inside the sandbox does not listen")

    async def _accept(self, tasks: TaskGroup) -> None:
        while True:
            await anyio.wait_readable(self._listener)
            try:
                connection, _ = self._listener.accept()
            except OSError:
                continue
            if self._strangers >= MAX_STRANGERS or peer_uid(connection) not in self._users:
                connection.close()
                self._fault()
            else:
                connection.setblocking(False)
                self._strangers += 1
                channel = SocketChannel(connection)
                tasks.start_soon(self._receive, channel)

    async def _receive(self, channel: SocketChannel) -> None:
        """Learn what a new connection is for; the control line stays here until its end."""
        handed_over = False
        try:
            handed_over = self._admit(await self._greet(channel), channel)
            if self._control is channel:
                await self._listen_to(channel)
                self.end()
            elif not handed_over:
                self._fault()
        finally:
            if not handed_over:
                await channel.aclose()

    async def _greet(self, channel: SocketChannel) -> Mapping[str, Any]:
        """Read the first line of a connection; empty if there is none worth reading."""
        try:
            with anyio.fail_after(GREETING_SECONDS):
                greeting = parse(await channel.receive_line(MAX_GREETING))
        except (TimeoutError, ValueError, SandboxGone):
            return {}
        finally:
            self._strangers -= 1
        token = greeting.get("token")
        if isinstance(token, str) and hmac.compare_digest(
            token.encode(errors="replace"), self._token
        ):
            return greeting
        return {}

    def _admit(self, greeting: Mapping[str, Any], channel: SocketChannel) -> bool:
        """Whether somebody waits for this connection; it may become the control line instead."""
        channel_id = greeting.get("channel")
        if greeting and channel_id is None and self._control is None:
            self._control = channel
        wanted = self._wanted.get(channel_id) if isinstance(channel_id, str) else None
        if wanted is None or wanted.decided.is_set():
            return False
        wanted.channel = channel
        wanted.decided.set()
        return True

    async def _listen_to(self, control: SocketChannel) -> None:
        while not self.over.is_set():
            try:
                line = parse(await control.receive_line(MAX_LINE))
            except (SandboxGone, ValueError):
                return
            self._expected_lines -= 1
            if self._expected_lines < 0:
                self._fault()
            self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        """Act on a control line; ``exited`` is news that nobody here waits for."""
        failed = line.get("failed")
        if line.get("ready") is True:
            self.ready.set()
            self.settled.set()
        elif isinstance(failed, str):
            if failed in self._wanted:
                self._wanted[failed].decide(line)
        elif ("claimed" in line or "error" in line) and self._claim is not None:
            self._claim.decide(line)
        elif "exited" not in line:
            self._fault()

    def _fault(self) -> None:
        self._faults += 1
        if self._faults > MAX_FAULTS:
            self.end()
