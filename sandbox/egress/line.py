"""One end of a proxied connection, and the meter that bounds how much and how long."""

import socket
from contextlib import suppress

import anyio
from anyio.abc import ByteStream

from sandbox.channel import SocketChannel
from sandbox.contract import SandboxGone
from sandbox.egress.rules import Bounds

_CHUNK = 256 * 1024
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1024 * 1024


class Lost(Exception):
    """The other end broke the connection off, or is gone."""


class Meter:
    """What one client's connection uses. Its work runs inside `scope`, which ends it."""

    def __init__(self, bounds: Bounds) -> None:
        """The time runs from now on."""
        self.bounds = bounds
        self._bytes_left = bounds.bytes
        self._end = anyio.current_time() + bounds.seconds
        self._patience: float | None = None
        self.reason = "limit:seconds"
        """Why the scope was cancelled, if it was."""
        self.scope = anyio.CancelScope()
        self.hurry(bounds.handshake_seconds)

    def hurry(self, seconds: float) -> None:
        """The connection ends in so many seconds, whatever comes, unless it is let `wait`."""
        self._patience = None
        self.scope.deadline = min(self._end, anyio.current_time() + seconds)

    def wait(self, patience: float) -> None:
        """From now on the connection ends after so many seconds without a byte."""
        self._patience = patience
        self._go_on()

    def count(self, size: int) -> None:
        """So many bytes have come."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            self.stop("limit:bytes")
        self._go_on()

    def stop(self, reason: str) -> None:
        """End the connection."""
        self.reason = reason
        self.scope.cancel()

    def _go_on(self) -> None:
        if self._patience is not None:
            self.scope.deadline = min(self._end, anyio.current_time() + self._patience)


class SocketStream(ByteStream):
    """A connected socket, with nothing between it and who waits for it.

    anyio's own for Unix sockets reports errors where a wait is cancelled; the one for TCP takes
    twice as long to connect.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Take the connection over."""
        connection.setblocking(False)
        self._channel = SocketChannel(connection)

    async def receive(self, max_bytes: int = _CHUNK) -> bytes:
        data = await self._channel.receive(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        try:
            await self._channel.send(item)
        except SandboxGone as error:
            raise anyio.BrokenResourceError from error

    async def send_eof(self) -> None:
        self._channel.send_eof()

    async def aclose(self) -> None:
        await self._channel.aclose()


class Line:
    """A byte stream to a client or a server; what it brings is counted."""

    def __init__(self, stream: ByteStream, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    async def receive(self) -> bytes:
        """At least one byte, or none at the end.

        Raises:
            Lost: It did not end, it broke.
        """
        try:
            data = await self._stream.receive(_CHUNK)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise Lost from error
        self._meter.count(len(data))
        return data

    async def send(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            Lost: The other end does not take it.
        """
        try:
            await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise Lost from error

    async def send_eof(self) -> None:
        """Say that nothing more will be sent; receiving goes on."""
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._stream.send_eof()

    async def linger(self) -> None:
        """Let the other end read what was sent: to close on unread bytes would take it away."""
        await self.send_eof()
        left = _LINGER_BYTES
        with anyio.move_on_after(_LINGER_SECONDS), suppress(Lost):
            while left > 0 and (data := await self.receive()):
                left -= len(data)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True), suppress(OSError, anyio.BrokenResourceError):
            await anyio.aclose_forcefully(self._stream)
