"""A client of the Managed Agents API that costs next to nothing, so that the server is measured."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketStream

BETA = b"anthropic-beta: managed-agents-2026-04-01\r\nanthropic-version: 2026-10-21\r\n"


@dataclass
class Turn:
    """When things happened in one turn, in seconds of the monotonic clock."""

    name: str
    sent: float = 0.0
    idle: float = 0.0
    events: list[str] = field(default_factory=list[str])


class Client:
    """One keep-alive connection for calls; each stream has one of its own."""

    def __init__(self, address: str, key: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self._host, self._port = host, int(port)
        self._head = b"host: bench\r\nauthorization: Bearer %b\r\n" % key.encode() + BETA
        self._connection: SocketStream | None = None

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make a call and return its JSON; anything but 200 is an error."""
        if self._connection is None:
            self._connection = await anyio.connect_tcp(self._host, self._port)
        await self._send(self._connection, method, path, body)
        buffer = b""
        while b"\r\n\r\n" not in buffer:
            buffer += await self._connection.receive()
        head, _, rest = buffer.partition(b"\r\n\r\n")
        length = next(int(v) for k, v in _headers(head) if k == b"content-length")
        while len(rest) < length:
            rest += await self._connection.receive()
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{method} {path}: {head[:40]!r} {rest!r}")
        return json.loads(rest)

    async def _send(self, to: SocketStream, method: str, path: str, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        line = f"{method} {path} HTTP/1.1\r\n".encode()
        more = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data)
        await to.send(line + self._head + more + data)

    async def run_turn(self, name: str, agent: str, environment: str) -> Turn:
        """Make a session, stream it, send one message, read until it is idle."""
        session = await self.call(
            "POST", "/v1/sessions", {"agent": agent, "environment_id": environment}
        )
        return await self.turn(name, session["id"])

    async def turn(self, name: str, session: str) -> Turn:
        """Run one turn of a session that exists."""
        turn = Turn(name)
        path = f"/v1/sessions/{session}/events"
        async with await anyio.connect_tcp(self._host, self._port) as stream:
            await self._send(stream, "GET", f"{path}/stream", None)
            buffer = await stream.receive()
            turn.sent = time.monotonic()
            message = {"type": "user.message", "content": [{"type": "text", "text": name}]}
            await self.call("POST", path, {"events": [message]})
            while b"event: session.status_idle" not in buffer:
                buffer += await stream.receive()
            turn.idle = time.monotonic()
        turn.events = [
            line[7:].decode() for line in buffer.split(b"\n") if line.startswith(b"event: ")
        ]
        return turn

    async def aclose(self) -> None:
        if self._connection is not None:
            await self._connection.aclose()


def _headers(head: bytes) -> list[tuple[bytes, bytes]]:
    pairs = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs]
