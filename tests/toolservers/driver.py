"""The driver's end of `toolservers.init`, as `sandbox.contract` describes it, one step at a time."""

import json
import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.toolservers.peer import PATIENCE, PYTHON, ROOT, Peer

TOKEN = "a-token"


class Driver:
    """Listens on a socket and has a program dial it; the control line is open when it is made."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        program: tuple[str, ...] = ("-m", "toolservers"),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.workdir = folder / "workspace"
        self.workdir.mkdir(exist_ok=True)
        path = folder / "socket"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(PATIENCE)
        arguments = ["--socket", str(path), "--workdir", str(self.workdir), *options]
        self.process = subprocess.Popen(
            [PYTHON, *program, *arguments],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **(env or {})},
        )
        assert self.process.stdin is not None
        self.process.stdin.write(f"{TOKEN}\n".encode())
        self.process.stdin.flush()
        self._open: list[socket.socket] = []
        self.control, greeting = self.accept()
        assert greeting == {"token": TOKEN}
        ready = self.control.receive()
        assert ready == {"ready": True, "pid": self.process.pid}

    def accept(self) -> tuple[Peer, Any]:
        """The next connection, and the line it began with."""
        connection, _ = self._listener.accept()
        self._open.append(connection)
        peer = Peer(connection.fileno(), connection.fileno())
        return peer, peer.receive()

    def dial(self, order: Mapping[str, Any]) -> Peer:
        """Give an order that opens a channel, and take the channel."""
        self.control.send(order)
        peer, greeting = self.accept()
        channel = order.get("open") or order.get("pull") or order.get("push")
        assert greeting == {"token": TOKEN, "channel": channel}
        return peer

    def tools(self, channel: str = "tools") -> Peer:
        return self.dial({"open": channel, "target": "tools"})

    def order(self, order: Any) -> Any:
        """Give an order and take the next line from the control line."""
        self.control.send(order)
        return self.control.receive()

    def transfer(self, order: Mapping[str, Any], data: bytes = b"") -> tuple[Any, bytes]:
        """Do a pull or a push; returns the line that says how it went and the bytes after it."""
        peer = self.dial(order)
        with suppress(BrokenPipeError):  # it may refuse before it has read everything
            self._open[-1].sendall(data)
            self._open[-1].shutdown(socket.SHUT_WR)
        line, _, rest = peer.read_rest().partition(b"\n")
        return json.loads(line), rest

    def hang_up(self) -> None:
        """Close the control line."""
        self._open[0].shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self._open:
            connection.close()
        self._listener.close()
        try:
            assert self.process.wait(PATIENCE) == 0
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None
            self.process.stdin.close()
