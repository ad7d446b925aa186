"""One HTTP request and its answer, on the wire: the only file that speaks ASGI.

What is asked and what is answered is decided elsewhere; here it becomes messages, with the headers
every answer carries (spec/resources 8.2).
"""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import quote

import anyio

from gateway.api.context import Answer, Download, Page, Reply, Stream
from gateway.errors import ApiError
from gateway.wire import envelope, sse

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SEND_SECONDS = 60.0
"""How long a client may refuse to take what is sent before it counts as gone."""

_JSON: envelope.Headers = [(b"content-type", b"application/json")]
_EVENTS: envelope.Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_PAGE: envelope.Headers = [
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        b"default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Gone(Exception):
    """The client went away before it had its answer."""


class Exchange:
    """A request, and the means to answer it once.

    `workspace` and `organization` are set by whoever authenticates; from then on every answer
    names them.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.request_id = request_id
        self.ip = _address(scope.get("client"))
        """Where the request came from; None when it came from no address."""
        self.workspace: str | None = None
        self.organization: str | None = None
        self.key: str | None = None
        self.actor: str | None = None
        self.status = 0
        """What was answered; 0 before."""
        self._headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self._receive = receive
        self._send = send
        self._streaming = False

    def header(self, name: bytes) -> str:
        """The first line of a header, by its lower-case name; empty when there is none."""
        return next(iter(self.lines(name)), "")

    def lines(self, name: bytes) -> list[str]:
        """Every line of a header."""
        return [value.decode("latin-1") for key, value in self._headers if key == name]

    async def receive(self) -> tuple[bytes, bool]:
        """The next part of the body, and whether there is more.

        Raises:
            Gone: The client went away.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        return message.get("body", b""), message.get("more_body", False)

    async def answer(self, answer: Answer) -> None:
        """Send the answer; a stream until it ends or the client goes.

        Raises:
            Gone: The client does not take it.
        """
        match answer:
            case Reply(body):
                await self._whole(200, body, self._always())
            case Stream():
                await self._stream(answer)
            case Download():
                await self._download(answer)
            case Page(body, status):
                await self._page(status, body)

    async def refuse(self, error: ApiError, extra: envelope.Headers | None = None) -> None:
        """Send an error in the API's envelope; inside a stream that has begun, as its last event.

        Raises:
            Gone: The client does not take it.
        """
        body = envelope.error_bytes(error, self.request_id)
        if self._streaming:
            await self._body(sse.error_frame(body), more=False)
        elif not self.status:
            headers = envelope.error_headers(
                error,
                self.request_id,
                workspace=self.workspace,
                organization=self.organization,
            )
            await self._whole(error.status, body, headers + (extra or []))

    def _always(self) -> envelope.Headers:
        return envelope.headers(
            self.request_id, workspace=self.workspace, organization=self.organization
        )

    async def _whole(self, status: int, body: bytes, headers: envelope.Headers) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, [*_JSON, length, *headers])
        await self._body(body, more=False)

    async def _page(self, status: int, body: bytes) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, [*_PAGE, length, *self._always()])
        await self._body(body, more=False)

    async def _stream(self, stream: Stream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._leave, tasks.cancel_scope)
            async with aclosing(stream.chunks) as chunks:
                first = await anext(chunks, b"")  # a client that has the headers misses nothing
                await self._start(200, [*_EVENTS, *self._always()])
                self._streaming = True
                await self._body(first, more=True)
                async for chunk in chunks:
                    await self._body(chunk, more=True)
            tasks.cancel_scope.cancel()
        if not self._streaming:
            raise Gone
        await self._body(b"", more=False)

    async def _download(self, file: Download) -> None:
        """Send a file. Whatever it says it is, no browser may show it in our name."""
        async with aclosing(file.chunks) as chunks:
            first = await anext(chunks, b"")  # what is wrong with it can still be told
            await self._start(200, [*_attachment(file), *self._always()])
            await self._body(first, more=True)
            async for chunk in chunks:
                await self._body(chunk, more=True)
        await self._body(b"", more=False)

    async def _leave(self, scope: anyio.CancelScope) -> None:
        """End the stream when its client does."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _start(self, status: int, headers: envelope.Headers) -> None:
        self.status = status
        await self._put({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, body: bytes, *, more: bool) -> None:
        await self._put({"type": "http.response.body", "body": body, "more_body": more})

    async def _put(self, message: MutableMapping[str, Any]) -> None:
        try:
            with anyio.fail_after(SEND_SECONDS):
                await self._send(message)
        except (OSError, TimeoutError) as error:
            raise Gone from error


def _address(client: tuple[str, int] | None) -> str | None:
    if client is None:
        return None
    try:
        address = ip_address(client[0].partition("%")[0])
    except ValueError:
        return None
    # What listens for both kinds of IP sees an IPv4 client as one of the other kind.
    return str(getattr(address, "ipv4_mapped", None) or address)


def _attachment(file: Download) -> envelope.Headers:
    name = quote(file.filename, safe="")
    return [
        (b"content-type", file.mime_type.encode("latin-1")),
        (b"content-length", str(file.size).encode()),
        (b"content-disposition", f"attachment; filename*=UTF-8''{name}".encode()),
        (b"content-security-policy", b"sandbox; default-src 'none'"),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]
