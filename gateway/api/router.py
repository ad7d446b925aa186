"""From a method and a path to an endpoint. Paths match exactly: nothing is ever redirected."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.api import scopes
from gateway.api.context import Handle
from gateway.errors import MethodNotAllowed, NotFound
from gateway.wire.betas import MANAGED_AGENTS
from gateway.wire.forms import Form
from gateway.wire.queries import Query
from gateway.wire.requests import Request
from gateway.wire.responses import Response

_PARAMETER = re.compile(r"\{(\w+)\}")
_ID = re.compile(r"[\x21-\x7e]{1,255}")
"""What an id can look like: nothing else is worth asking the store about."""


@dataclass(frozen=True, slots=True)
class Many:
    """An answer that holds many objects.

    `form` is ``forward`` for the pages of most lists, ``two_way`` for sessions, ``by_id`` for
    models, ``whole`` for what has no pages, and ``stream`` for server-sent events.
    """

    of: Response
    form: Literal["forward", "two_way", "by_id", "whole", "stream"] = "forward"


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is the bytes of a file."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One URL and verb, and who answers.

    `gives` and `reads` describe answer and question in the OpenAPI document; the handler makes the
    one and reads the other itself. Without `gives` the answer is just an object.
    """

    method: str
    path: str
    handle: Handle
    gives: Response | Many | Raw | None = None
    reads: Request | Query | Form | None = None
    beta: str | None = MANAGED_AGENTS
    public: bool = False
    """Answered without a key."""
    paced: bool = False
    """Counts as a call to the Files API (spec/resources F-15)."""
    needs: str | None = None
    """Another scope than the one that method and path say; empty when every key will do."""

    @property
    def parameters(self) -> list[str]:
        """The names in the path, in order."""
        return _PARAMETER.findall(self.path)

    @property
    def scope(self) -> str:
        """What a key has to be allowed (`gateway.api.scopes`); empty when every key will do."""
        if self.needs is not None:
            return self.needs
        return "" if self.public else scopes.needed(self.method, self.path)

    @property
    def administrative(self) -> bool:
        """It is about the organization, not about a workspace (spec/resources O-4)."""
        return self.path.startswith("/v1/organizations/")


@dataclass(slots=True)
class _Node:
    """What follows after a piece of a path."""

    named: "dict[str, _Node]" = field(default_factory=dict[str, Any])
    any: "_Node | None" = None
    endpoints: dict[str, Endpoint] = field(default_factory=dict[str, Endpoint])


class Router:
    """Finds endpoints by the pieces of their paths; a written piece comes before a parameter."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root = _Node()
        for endpoint in endpoints:
            self._place(endpoint.path).endpoints[endpoint.method] = endpoint

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """The endpoint, and the parameters of its path.

        Raises:
            NotFound: There is nothing at this path.
            MethodNotAllowed: There is, but not for this method.
        """
        node: _Node | None = self._root
        values: list[str] = []
        for piece in path.split("/")[1:]:
            if (following := node.named.get(piece)) is None:
                following = node.any if _ID.fullmatch(piece) else None
                values.append(piece)
            if (node := following) is None:
                break
        if node is None or not node.endpoints:
            raise NotFound(f"There is nothing at {path[:200]}.")
        endpoint = node.endpoints.get(method)
        if endpoint is None:
            raise MethodNotAllowed(method, sorted(node.endpoints))
        return endpoint, dict(zip(endpoint.parameters, values, strict=True))

    def _place(self, path: str) -> _Node:
        node = self._root
        for piece in path.split("/")[1:]:
            if _PARAMETER.fullmatch(piece):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.named.setdefault(piece, _Node())
        return node
