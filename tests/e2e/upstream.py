"""A scripted server of the Messages API that plays a different part for every model id.

The bytes it sends are made by `tests.model.endpoint`; this one serves many conversations at once.
"""

import socket
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.lowlevel
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.model.endpoint import CutOff, Reply


class Upstream:
    """Answers for each model in order; the last answer of a model again and again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replies: dict[str, list[Reply]] = {}
        self.asked: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """The bodies of the requests, by model."""

    def plays(self, model: str, *replies: Reply) -> None:
        self.replies[model] = list(replies)

    async def answer(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        model = body["model"]
        self.asked[model].append(body)
        replies = self.replies[model]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        return StreamingResponse(
            _send(reply),
            status_code=reply.status,
            headers=reply.headers,
            media_type=reply.content_type,
        )


async def _send(reply: Reply) -> AsyncGenerator[bytes]:
    for chunk in reply.chunks:
        yield chunk
        await anyio.lowlevel.checkpoint()
    if reply.hang:
        await anyio.sleep_forever()
    if reply.cut:
        raise CutOff


@contextmanager
def serve() -> Generator[Upstream]:
    """Run a server until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    upstream = Upstream(f"http://127.0.0.1:{listener.getsockname()[1]}")
    app = Starlette(routes=[Route("/v1/messages", upstream.answer, methods=["POST"])])
    config = uvicorn.Config(app, log_config=None, lifespan="off", http="h11", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield upstream
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listener.close()
