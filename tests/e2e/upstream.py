"""A scripted server of the Messages API that plays a different part for every model id.

The bytes it sends are made by `tests.model.endpoint`; this one serves many conversations at once.
"""

from collections import defaultdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.model.endpoint import Reply, respond


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
        return respond(replies.pop(0) if len(replies) > 1 else replies[0])
