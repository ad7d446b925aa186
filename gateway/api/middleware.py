"""Around every request: its id, its one line in the log, and whatever goes wrong in it.

This is the request's supervisor. An `ApiError` becomes the API's envelope; anything else is a fault
of ours, logged with its traceback and answered as 500 with the request id, and no other request
notices. A client that leaves is no error at all.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

from gateway.api.exchange import Exchange, Gone, Receive, Scope, Send
from gateway.clock import Clock
from gateway.errors import ApiError, Internal, MethodNotAllowed, Unauthenticated
from gateway.wire.envelope import Headers

log = structlog.get_logger()

Serve: TypeAlias = Callable[[Exchange], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

GONE = 499
"""Logged for a request whose client left before it was answered."""

_QUIET = "/healthz"


def supervised(serve: Serve, clock: Clock) -> AsgiApp:
    """Make an ASGI application of `serve`, which answers one exchange or raises."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise TypeError(f"only HTTP is served here, not {scope['type']}")
        exchange = Exchange(scope, receive, send, clock.new_id("req"))
        began = clock.monotonic()
        await _supervise(serve, exchange)
        _note(exchange, clock.monotonic() - began)

    return app


async def _supervise(serve: Serve, exchange: Exchange) -> None:
    try:
        await serve(exchange)
    except ApiError as error:
        await _refuse(exchange, error)
    except Gone:
        exchange.status = exchange.status or GONE
    except Exception:
        # One of the three supervisors: a fault in here is this request's and nobody else's.
        log.exception("request failed", request_id=exchange.request_id, path=exchange.path)
        await _refuse(exchange, Internal("The gateway met an internal error; see its log."))


async def _refuse(exchange: Exchange, error: ApiError) -> None:
    extra: Headers = []
    if isinstance(error, MethodNotAllowed):
        extra.append((b"allow", ", ".join(error.allowed).encode()))
    elif isinstance(error, Unauthenticated):
        extra.append((b"www-authenticate", b"Bearer"))
    try:
        await exchange.refuse(error, extra)
    except Gone:
        exchange.status = GONE


def _note(exchange: Exchange, seconds: float) -> None:
    write = log.debug if exchange.path == _QUIET else log.info
    write(
        "request",
        method=exchange.method,
        path=exchange.path,
        status=exchange.status,
        ms=round(seconds * 1000, 1),
        request_id=exchange.request_id,
        workspace=exchange.workspace,
        key=exchange.key,
        actor=exchange.actor,
    )
