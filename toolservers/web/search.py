"""The tool web_search: sends what the gateway has written to the search engine it has chosen.

Which engine that is, how it is asked and what its answer means is the gateway's business; its key
is attached by the egress proxy and never in here.
"""

from __future__ import annotations

from toolservers.call import ToolError
from toolservers.web import address
from toolservers.web.client import Client, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from toolservers.call import Call
    from toolservers.host import Host

SECONDS = 30.0
MAX_BYTES = 4 * 1024 * 1024
MAX_URL = 30_000
"""What fits into the head of a request; domain lists can be long."""

_OK = 200
_TOO_MANY = 429
_DENIED = (401, 403)


def web_search(arguments: dict[str, Any], call: Call, host: Host) -> str:
    """The body of the engine's answer."""
    call.hand_over()
    asked = call.settings.get("request")
    if asked is None:
        raise ToolError(f"unavailable: nobody says where to search for {arguments['query']!r}")
    request = Request(
        asked["method"],
        address.parse(asked["url"], most=MAX_URL),
        asked["headers"],
        asked["body"].encode() if asked["body"] is not None else None,
        attached=asked["attached"],
    )
    with Client(call, host.env, seconds=SECONDS) as client:
        response = client.send(request, limit=MAX_BYTES)
    if response.status == _TOO_MANY:
        raise ToolError("too_many_requests: the search engine asks to slow down")
    if response.status in _DENIED:
        raise ToolError("unavailable: the search engine refuses; an operator checks web.search_key")
    if response.status != _OK or response.cut:
        raise ToolError(f"unavailable: the search engine answered {response.status}")
    return response.body.decode("utf-8", "replace")
