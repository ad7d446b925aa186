"""A byte channel over one connection from a sandbox, and whole files over such a channel.

How connections come about is `sandbox.switchboard`'s business. Whatever is read here is hostile:
lines and files are bounded, and descriptors that are sent along are dropped by the kernel,
because nothing here ever asks for them.
"""

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel

from sandbox.contract import SandboxError, SandboxGone

MAX_VERDICT = 4096


class SocketChannel:
    """A `Channel` over one connection; what came behind its first line is read first."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected socket that does not block."""
        self._socket = connection
        self._head = b""

    async def send(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            await anyio.lowlevel.checkpoint()
            while left:
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)
        except (OSError, anyio.ClosedResourceError) as error:
            raise SandboxGone("the other end of the channel is gone") from error

    def send_eof(self) -> None:
        """Say that nothing more will be sent; receiving goes on."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._head:
            data, self._head = self._head[:max_bytes], self._head[max_bytes:]
            return data
        try:
            await anyio.lowlevel.checkpoint()
            while True:
                try:
                    return self._socket.recv(max_bytes)
                except BlockingIOError:
                    await anyio.wait_readable(self._socket)
        except (OSError, anyio.ClosedResourceError):
            return b""

    async def receive_line(self, max_bytes: int) -> bytes:
        """Read up to a line feed and return what is before it; what is behind stays unread.

        Raises:
            SandboxGone: The stream ended first.
            ValueError: The line is longer than `max_bytes`.
        """
        line = b""
        while b"\n" not in line and len(line) <= max_bytes:
            data = await self.receive()
            if not data:
                raise SandboxGone("the other end of the channel is gone")
            line += data
        line, _, self._head = line.partition(b"\n")
        if len(line) > max_bytes:
            raise ValueError("line too long")
        return line

    async def aclose(self) -> None:
        """Close it; whoever waits to send or receive at that moment is woken."""
        if self._socket.fileno() >= 0:
            anyio.notify_closing(self._socket)
            self._socket.close()


@asynccontextmanager
async def closing(channel: SocketChannel) -> AsyncGenerator[SocketChannel]:
    """Close the channel at the end of the block."""
    try:
        yield channel
    finally:
        await channel.aclose()


async def fetch(channel: SocketChannel, max_bytes: int) -> bytes:
    """Read the answer to a pull: one line that says how it went, then the file.

    Raises:
        FileNotFoundError: There is no such file.
        SandboxError: The program inside could not read it, or it is larger than `max_bytes`.
    """
    size = (await _read_verdict(channel)).get("size")
    data = bytearray()
    while chunk := await channel.receive():
        data += chunk
        if len(data) > max_bytes:
            raise SandboxError(f"the file is larger than {max_bytes} bytes")
    if isinstance(size, int) and len(data) < size:
        raise SandboxError("the file did not arrive whole")
    return bytes(data)


async def store(channel: SocketChannel, data: bytes) -> None:
    """Send the bytes of a push and wait for the line that says how it went.

    Raises:
        SandboxError: The program inside could not write the file.
    """
    with suppress(SandboxGone):  # it may have refused early; the verdict says why
        await channel.send(data)
    channel.send_eof()
    await _read_verdict(channel)


def parse(line: bytes) -> dict[str, Any]:
    """Read one line as a JSON object; whatever may be wrong with it is a `ValueError`."""
    try:
        value = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error for every bad line
    return value


def refusal(text: str) -> Exception:
    """The error for what the program inside gave as its reason."""
    if "no such file" in text.lower():
        return FileNotFoundError(text)
    return SandboxError(text)


async def _read_verdict(channel: SocketChannel) -> dict[str, Any]:
    try:
        verdict = parse(await channel.receive_line(MAX_VERDICT))
    except ValueError as error:
        raise SandboxError(f"the program inside the sandbox said nonsense: {error}") from error
    if verdict.get("ok") is True:
        return verdict
    raise refusal(str(verdict.get("error")))
