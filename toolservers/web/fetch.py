"""The tool web_fetch: one page, PDF or text file from the web, as text a model can read.

What the caller asks of this call beyond the URL comes with it (`Call.settings`): the domain lists,
how much text, who to say that we are, and whether ``robots.txt`` counts.
"""

from __future__ import annotations

from toolservers.call import ToolError
from toolservers.web import address, content, robots
from toolservers.web.client import NO_ACCESS, NOT_ALLOWED, Client, Request
from toolservers.web.domains import permits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from toolservers.call import Call
    from toolservers.host import Host
    from toolservers.web.address import Address
    from toolservers.web.client import Response

SECONDS = 60.0
MAX_REDIRECTS = 10
MAX_BYTES = 10 * 1024 * 1024
"""Of one document, as it is and after decompression."""

_ACCEPT = "text/html,application/xhtml+xml,text/*;q=0.9,application/json;q=0.9,application/pdf"
_MOVED = (301, 302, 303, 307, 308)
_SUCCESS = range(200, 300)
_ABSENT = range(400, 500)
_TOO_MANY = 429
_MAX_SITES = 256

_sites: dict[tuple[str, str], robots.Robots] = {}
"""The rules of the sites seen so far, by origin and program. A sandbox serves one session."""


def web_fetch(arguments: dict[str, Any], call: Call, host: Host) -> list[dict[str, Any]]:
    """One resource: where the document was found in the end, and its text."""
    call.hand_over()
    try:
        url = address.parse(arguments["url"])
    except ValueError as error:
        raise ToolError(f"invalid_tool_input: {error}") from None
    with Client(call, host.env, seconds=SECONDS) as client:
        url, response = _Walk(client, call.settings).follow(url)
    limit: int = call.settings.get("max_characters", 100_000)
    document = content.read(url, response, call, host)
    text = document.text
    if len(text) > limit:
        text = f"{text[:limit]}\n\n[Cut here: {limit} of {len(text)} characters.]"
    elif response.cut:
        text += f"\n\n[Cut here: only the first {MAX_BYTES} bytes were read.]"
    resource = {
        "uri": str(url),
        "mimeType": "text/markdown" if document.markdown else "text/plain",
        "text": text or "[The document has no text.]",
        "_meta": {"wharfkeep/title": document.title},
    }
    return [{"type": "resource", "resource": resource}]


class _Walk:
    """From a URL over redirects to a document, asking at each step whether it may go there."""

    def __init__(self, client: Client, settings: dict[str, Any]) -> None:
        self._client = client
        self._agent: str = settings.get("user_agent") or "wharfkeep"
        self._program = self._agent.partition("/")[0].strip()
        self._obeys_robots: bool = settings.get("robots", True)
        self._allowed: list[str] = settings.get("allowed_domains") or []
        self._blocked: list[str] = settings.get("blocked_domains") or []

    def follow(self, url: Address) -> tuple[Address, Response]:
        for _ in range(MAX_REDIRECTS + 1):
            if not self._permits(url):
                raise ToolError(f"{NOT_ALLOWED}: this agent may not fetch from {url.host}")
            if self._obeys_robots and not self._robots(url).allow(url.target):
                raise ToolError(f"{NOT_ALLOWED}: robots.txt of {url.host} asks not to fetch this")
            response = self._get(url, limit=MAX_BYTES)
            if response.status not in _MOVED or "location" not in response.headers:
                _check(url, response)
                return url, response
            url = _next(url, response)
        raise ToolError(f"{NO_ACCESS}: more than {MAX_REDIRECTS} redirects")

    def _permits(self, url: Address) -> bool:
        return permits(url.host, url.target, self._allowed, self._blocked)

    def _get(self, url: Address, *, limit: int) -> Response:
        headers = {"User-Agent": self._agent, "Accept": _ACCEPT}
        return self._client.send(Request("GET", url, headers), limit=limit)

    def _robots(self, url: Address) -> robots.Robots:
        key = (url.origin, self._program)
        known = _sites.get(key)
        if known is None:
            known = self._read_robots(url)
            if known is not robots.NOTHING and len(_sites) < _MAX_SITES:
                _sites[key] = known
        return known

    def _read_robots(self, url: Address) -> robots.Robots:
        """RFC 9309, 2.3.1: no file means no rules, a server in trouble means hands off."""
        place = url.join("/robots.txt")
        for _ in range(5 + 1):
            if not self._permits(place):
                return robots.EVERYTHING
            response = self._get(place, limit=robots.MAX_BYTES)
            if response.status in _SUCCESS:
                text = response.body.decode("utf-8-sig", "replace")
                return robots.parse(text, self._program)
            if response.status not in _MOVED or "location" not in response.headers:
                gone = response.status in _ABSENT
                return robots.EVERYTHING if gone else robots.NOTHING
            try:
                place = place.join(response.headers["location"])
            except ValueError:
                return robots.EVERYTHING
        return robots.EVERYTHING


def _next(url: Address, response: Response) -> Address:
    try:
        return url.join(response.headers["location"])
    except ValueError as error:
        raise ToolError(f"{NO_ACCESS}: {url.host} redirects to no web page: {error}") from None


def _check(url: Address, response: Response) -> None:
    if response.status == _TOO_MANY:
        raise ToolError(f"too_many_requests: {url.host} asks to slow down")
    if response.status not in _SUCCESS:
        said = f"{response.status} {response.reason}"[:100].strip()
        raise ToolError(f"{NO_ACCESS}: {url.host} answered {said}")
