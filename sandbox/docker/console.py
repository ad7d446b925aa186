"""The first connection out of a container: who it is, its token, and its standard error.

An engine would keep or throw away what programs write, at its own cost, and a token in an
environment variable stays readable inside. So the program inside dials this socket before it does
anything else, and makes the connection its standard input and standard error: it reads the token
there, once, and what it writes comes here. The connection also tells which process of this machine
it is. The socket is gone before anything else runs inside.
"""

import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path

import anyio

from sandbox.contract import Unavailable
from sandbox.doorway import listen
from sandbox.spawn import Process

NAME = "console"

START = (
    "import os, socket, sys; c = socket.socket(socket.AF_UNIX); c.connect(sys.argv.pop(1)); "
    "os.dup2(c.fileno(), 0); os.dup2(c.fileno(), 2); "
    "os.dup2(os.open('/dev/null', os.O_WRONLY), 1); c.close(); "
)
"""What the program inside does first; the first argument is where the socket is."""

_BACKLOG = 4


class Console:
    """Waits for the first process of a sandbox; somebody else's is turned away."""

    def __init__(self, directory: Path, *, uid: int, proxies: Collection[int] = ()) -> None:
        """Listen in `directory`, which shows inside; `proxies` are as for a `Switchboard`.

        Raises:
            OSError: It cannot be done there.
        """
        self._path = directory / NAME
        self._users = {uid, *proxies}
        self._listener = listen(directory, NAME, uid=uid, backlog=_BACKLOG)

    async def meet(self, token: str) -> tuple[Process, int]:
        """Wait for the program inside, and give it its token.

        Returns its process, and a descriptor from which its complaints are read.

        Raises:
            Unavailable: It is a process that cannot be seen from here.
            OSError: It ended in the middle of this.
        """
        while True:
            await anyio.wait_readable(self._listener)
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:  # it went away again
                continue
            with connection:
                connection.setblocking(False)
                pid, uid = _peer(connection)
                if uid in self._users:
                    process = _hold(pid, connection)
                    connection.sendall(token.encode() + b"\n")
                    connection.shutdown(socket.SHUT_WR)
                    return process, connection.detach()

    def close(self) -> None:
        """Let nobody dial any more."""
        self._path.unlink(missing_ok=True)
        self._listener.close()


def _peer(connection: socket.socket) -> tuple[int, int]:
    """The process and the user at the other end, as they are called on this side."""
    size = struct.calcsize("iII")
    pid, uid, _ = struct.unpack(
        "iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return pid, uid


def _hold(pid: int, connection: socket.socket) -> Process:
    if pid == 0:
        raise Unavailable(
            "the processes of the container engine cannot be seen from here: run the gateway on "
            "the host, not in a container"
        )
    process = Process(pid, os.pidfd_open(pid))
    # The number could have been used again before it was held, but only after this end.
    if _ended(connection):
        process.close()
        raise ConnectionResetError("the program inside ended at once")
    return process


def _ended(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
