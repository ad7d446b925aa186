"""A scripted server that speaks the Messages API, on a loopback port, in a thread of its own.

It sends exactly the bytes it is told to, so that a test can be any server there is: a good one,
one with gaps, one that breaks off. What it was asked is kept in `requests`.
"""

import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import anyio
import anyio.lowlevel
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is sent for one request."""

    chunks: Sequence[bytes] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    content_type: str = "text/event-stream"
    hang: bool = False
    """After the chunks, say nothing and keep the connection."""
    cut: bool = False
    """After the chunks, break the connection."""


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class CutOff(Exception):
    """Makes the server break the connection."""


class Endpoint:
    """The server's script: replies in order, the last one for ever."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replies: list[Reply] = [Reply(chunks=[stream(text("Hello"))])]
        self.requests: list[Asked] = []

    async def answer(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        self.requests.append(Asked(request.url.path, dict(request.headers), body))
        return respond(self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])


def respond(reply: Reply) -> Response:
    return StreamingResponse(
        _send(reply),
        status_code=reply.status,
        headers=reply.headers,
        media_type=reply.content_type,
    )


async def _send(reply: Reply) -> AsyncIterator[bytes]:
    for chunk in reply.chunks:
        yield chunk
        await anyio.lowlevel.checkpoint()
    if reply.hang:
        await anyio.sleep_forever()
    if reply.cut:
        raise CutOff


class Script(Protocol):
    """Answers the requests of a server."""

    async def answer(self, request: Request) -> Response: ...


ScriptT = TypeVar("ScriptT", bound=Script)


@contextmanager
def serve(make: Callable[[str], ScriptT]) -> Generator[ScriptT]:
    """Run a server until the block ends; `make` is told its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    script = make(f"http://127.0.0.1:{listener.getsockname()[1]}")
    app = Starlette(routes=[Route("/v1/messages", script.answer, methods=["POST"])])
    config = uvicorn.Config(app, log_config=None, lifespan="off", http="h11", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield script
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listener.close()


def event(type_: str, **fields: Any) -> bytes:
    """One event as a good server frames it."""
    return f"event: {type_}\ndata: {json.dumps({'type': type_, **fields})}\n\n".encode()


def start(**usage: Any) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    counts = {"input_tokens": 10, "output_tokens": 1, **usage}
    return event("message_start", message={**message, "usage": counts})


def block(index: int, begin: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    """A whole content block: its start, its deltas, its stop."""
    parts = [event("content_block_start", index=index, content_block=begin)]
    parts += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*parts, event("content_block_stop", index=index)])


def end(stop_reason: str | None = "end_turn", **usage: Any) -> bytes:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    counts = {"output_tokens": 7, **usage}
    return event("message_delta", delta=delta, usage=counts) + event("message_stop")


def text(*pieces: str, index: int = 0) -> bytes:
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
    return block(index, {"type": "text", "text": ""}, *deltas)


def tool(json_pieces: Sequence[str], *, index: int = 0, id_: str = "toolu_1") -> bytes:
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in json_pieces]
    return block(index, {"type": "tool_use", "id": id_, "name": "bash", "input": {}}, *deltas)


def stream(*blocks: bytes, stop_reason: str | None = "end_turn", **usage: Any) -> bytes:
    """A whole answer of a good server."""
    return b"".join([start(**usage), *blocks, end(stop_reason)])
