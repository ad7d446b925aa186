"""The head of a request to the proxy: read strictly, so that no two readers can differ on it.

What is refused here although some server may take it: lines that end in a bare line feed, folded
headers, two ways to say where a body ends, a Host other than the one in the request line. Each
request has an h11 connection of its own; what came behind it waits for the next.
"""

import re
from dataclasses import dataclass

import h11

from sandbox.egress import address
from sandbox.egress.dial import Refusal
from sandbox.egress.line import Line
from sandbox.egress.rules import HTTP, Headers, Target

_URL = re.compile(r"http://([^/?#\s]+)((?:/[^#]*)?(?:\?[^#]*)?)", re.IGNORECASE)
_BAD_LINE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]|\0")
_LENGTH = re.compile(rb"\n(?:content-length|transfer-encoding)\b", re.IGNORECASE)
_END = b"\r\n\r\n"
_METHODS_REFUSED = ("TRACE", "TRACK")  # what they echo may be a secret

_HOP_BY_HOP = frozenset(
    (
        *(b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"expect"),
    )
)
_NEVER_HOP_BY_HOP = frozenset((b"host", b"content-length"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request that is understood."""

    method: str
    target: Target
    path: str
    """Empty for CONNECT."""
    headers: Headers
    """What may be passed on: neither Host nor anything about this one connection."""
    framing: Headers
    """How long the body is, to be said again to the server."""
    connection: h11.Connection
    """The rest of the request is to be read from it."""


async def read(line: Line, waiting: bytes, limit: int, inside: Target | None) -> Head | None:
    """Read the next head; None if the client says nothing more.

    `waiting` came before. `inside` is the host of a tunnel in which the requests are made: then
    they name a path, and otherwise a whole URL.

    Raises:
        Refusal: It is not a request that the proxy takes.
        Lost: The client is gone.
    """
    data = waiting
    while _END not in data:
        if _BAD_LINE.search(data.removesuffix(b"\r")):
            raise _bad("bytes", "lines end with CR LF and are not folded")
        if len(data) > limit:
            raise Refusal(431, "request:head", f"the head is longer than {limit} bytes")
        more = await line.receive()
        if not more:
            return None
        data += more
    return _parse(data, limit, inside)


def end_to_end(headers: Headers) -> Headers:
    """The headers that are not about one connection only."""
    named = {
        word.strip().lower()
        for name, value in headers
        if name == b"connection"
        for word in value.split(b",")
    }
    dropped = _HOP_BY_HOP | (named - _NEVER_HOP_BY_HOP)
    return tuple((name, value) for name, value in headers if name not in dropped)


def _parse(data: bytes, limit: int, inside: Target | None) -> Head:
    head, _, _ = data.partition(_END)
    if _BAD_LINE.search(head):
        raise _bad("bytes", "lines end with CR LF and are not folded")
    if len(head) > limit:
        raise Refusal(431, "request:head", f"the head is longer than {limit} bytes")
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limit)
    try:
        connection.receive_data(data)
        request = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise _bad("bytes", str(error)) from error
    if not isinstance(request, h11.Request) or request.http_version not in (b"1.1", b"1.0"):
        raise _bad("bytes", "not a request of HTTP/1.1")
    if len(_LENGTH.findall(head)) > 1:
        raise _bad("framing", "more than one length of the body")
    headers = tuple((bytes(name), bytes(value)) for name, value in request.headers)
    method = request.method.decode("ascii")
    target, path = _target(method, request.target.decode("ascii"), inside)
    _check_host(method, headers, target)
    return Head(
        method=method,
        target=target,
        path=path,
        headers=tuple(each for each in end_to_end(headers) if each[0] not in _NEVER_HOP_BY_HOP),
        framing=_framing(method, headers),
        connection=connection,
    )


def _target(method: str, text: str, inside: Target | None) -> tuple[Target, str]:
    if method in _METHODS_REFUSED:
        raise Refusal(405, "request:method", f"{method} is not for this proxy")
    try:
        if method == "CONNECT" and inside is None:
            return Target(*address.split(text)), ""
        if inside is not None:
            if method == "CONNECT" or not text.startswith("/"):
                raise _bad("target", "inside a tunnel a request names a path")
            return inside, text
        url = _URL.fullmatch(text)
        if url is None:
            raise _bad("target", "a proxy takes CONNECT HOST:PORT and http://HOST/PATH")
        path = url[2] if url[2].startswith("/") else f"/{url[2]}"
        return Target(*address.split(url[1], HTTP)), path
    except address.BadHost as error:
        raise _bad("host", str(error)) from error


def _check_host(method: str, headers: Headers, target: Target) -> None:
    """One Host, the same as in the request line; some clients leave the port of a tunnel out."""
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if not hosts and method == "CONNECT":
        return
    default = target.port if method == "CONNECT" else HTTP
    try:
        if len(hosts) == 1 and Target(*address.split(hosts[0], default)) == target:
            return
    except address.BadHost:
        pass
    raise _bad("host_mismatch", "the Host header names another host")


def _framing(method: str, headers: Headers) -> Headers:
    found = [each for each in headers if each[0] in (b"content-length", b"transfer-encoding")]
    if found and method == "CONNECT":
        raise _bad("framing", "a request for a tunnel has no body")
    if any(b"websocket" in value.lower() for name, value in headers if name == b"upgrade"):
        raise _bad("upgrade", "WebSockets need https")
    return tuple(found)


def _bad(rule: str, text: str) -> Refusal:
    return Refusal(400, f"request:{rule}", text)
