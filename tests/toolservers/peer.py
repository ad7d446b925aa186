"""A client of the tool server that says exactly what a test wants, well formed or not."""

import itertools
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("WHARFKEEP_TEST_PYTHON", sys.executable)
"""The interpreter that runs the server; any of Python 3.9 and later."""
PATIENCE = 20.0
"""Seconds after which an answer is taken to never come."""
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Stream:
    """Lines of JSON over two descriptors."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing
        self._buffer = b""

    def send(self, message: Any) -> None:
        """Send an object, or bytes as they are."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._writing, data) :]

    def receive(self) -> Any:
        """The next message; None at the end of the stream.

        Raises:
            TimeoutError: Nothing came for a long time.
        """
        while b"\n" not in self._buffer:
            data = self._read()
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def read_rest(self) -> bytes:
        """Everything until the end of the stream, as bytes."""
        rest, self._buffer = self._buffer, b""
        while data := self._read():
            rest += data
        return rest

    def _read(self) -> bytes:
        if not select.select([self._reading], [], [], PATIENCE)[0]:
            raise TimeoutError
        return os.read(self._reading, 65536)


class Peer(Stream):
    """An MCP client on a stream."""

    def __init__(self, reading: int, writing: int) -> None:
        super().__init__(reading, writing)
        self._ids = itertools.count(1)
        self.notes: list[Any] = []
        """The notifications that came while waiting for answers."""

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """Send a modern request and return the whole response."""
        return self.answer(self.start(method, params or {}))

    def start(self, method: str, params: Mapping[str, Any], **meta: Any) -> int:
        """Send a modern request; returns its id."""
        request_id = next(self._ids)
        params = {**params, "_meta": {**MODERN, **meta}}
        self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return request_id

    def start_call(self, tool: str, arguments: Mapping[str, Any], **meta: Any) -> int:
        return self.start("tools/call", {"name": tool, "arguments": arguments}, **meta)

    def answer(self, request_id: int) -> Any:
        """The response to a request; responses to others must not come before it."""
        while True:
            message = self.receive()
            assert message is not None, "the server ended"
            if "method" not in message:
                assert message["id"] == request_id, message
                return message
            self.notes.append(message)

    def call(self, tool: str, arguments: Mapping[str, Any], **meta: Any) -> tuple[str, bool]:
        """Run a tool; returns its text and whether it failed."""
        return text_of(self.answer(self.start_call(tool, arguments, **meta)))

    def bash(self, command: str, **arguments: Any) -> tuple[str, bool]:
        return self.call("bash", {"command": command, **arguments})

    def ok(self, command: str) -> str:
        """Run a command that has to succeed."""
        text, failed = self.bash(command)
        assert not failed, text
        return text


class Server(Peer):
    """A tool server of its own, over its standard input and output."""

    def __init__(
        self, workdir: Path, *options: str, env: Mapping[str, str] | None = None, program: str = ""
    ) -> None:
        command = [program] if program else ["-m", "toolservers"]
        self.process = subprocess.Popen(
            [PYTHON, *command, "--stdio", "--workdir", str(workdir), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **(env or {})},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        super().__init__(self.process.stdout.fileno(), self.process.stdin.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def text_of(response: Any) -> tuple[str, bool]:
    """The text of a tool's result and whether it is an error."""
    result = response["result"]
    return "".join(block.get("text", "") for block in result["content"]), result["isError"]
