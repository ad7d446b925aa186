"""What one client says to the proxy, from its first request to the end of its connection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox.egress.dial import Address, Dialler, Refusal
from sandbox.egress.exchange import exchange
from sandbox.egress.head import Head, read
from sandbox.egress.line import Line, Meter
from sandbox.egress.rules import HTTP, Bounds, Decision, Denied, EgressRules, Request, Target
from sandbox.egress.tunnel import carry

REASON_HEADER = "X-Wharfkeep-Egress"
"""Names the rule in an answer of the proxy's own: of a failed tunnel clients show headers only."""

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_PHRASES = {
    400: "Bad Request",
    403: "Forbidden",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all conversations of one owner share."""

    owner: str
    rules: EgressRules
    bounds: Bounds
    dialler: Dialler
    report: Callable[[Decision], None]


def refuse(refusal: Refusal) -> bytes:
    """The proxy's own answer."""
    body = f"wharfkeep: {refusal} ({refusal.rule})\n".encode(errors="replace")
    return (
        f"HTTP/1.1 {refusal.status} {_PHRASES[refusal.status]}\r\n"
        f"{REASON_HEADER}: {refusal.rule}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body


class Conversation:
    """One connection of a client."""

    def __init__(self, desk: Desk, client: Line, meter: Meter) -> None:
        self._desk = desk
        self._client = client
        self._meter = meter
        self._kind: Literal["connect", "request"] = "request"
        self._target: Target | None = None

    async def hold(self) -> None:
        """Serve one request after the other, each decided by itself, until there are no more.

        Raises:
            Lost: An end went away in the middle.
        """
        inside: Target | None = None
        waiting = b""
        try:
            while head := await read(self._client, waiting, self._desk.bounds.head, inside):
                self._meter.wait(self._desk.bounds.idle_seconds)
                self._kind = "connect" if head.method == "CONNECT" else "request"
                self._target = head.target
                addresses = await self._admit(head.target)
                if self._kind == "request":
                    if not await self._exchange(head, addresses):
                        break
                elif head.target.port == HTTP:
                    await self._client.send(_ESTABLISHED)
                    inside = head.target
                else:
                    await self._carry(head, addresses)
                    break
                waiting = head.connection.trailing_data[0]
        except Refusal as refusal:
            self.record(refusal.rule)
            await self._client.send(refuse(refusal))
        await self._client.linger()

    def record(self, rule: str, *, allowed: bool = False) -> None:
        """Report what became of the request at hand."""
        target = self._target
        self._desk.report(
            Decision(
                owner=self._desk.owner,
                kind=self._kind,
                host=target.host if target else "",
                port=target.port if target else 0,
                allowed=allowed,
                rule=rule,
            )
        )

    async def _admit(self, target: Target) -> Sequence[Address]:
        verdict = await self._desk.rules.decide(self._desk.owner, target)
        if not verdict.allowed:
            raise Refusal(403, verdict.rule, f"{target} may not be reached from here")
        addresses = await self._desk.dialler.resolve(target.host, private=verdict.private)
        self.record(verdict.rule, allowed=True)
        return addresses

    async def _carry(self, head: Head, addresses: Sequence[Address]) -> None:
        stream = await self._desk.dialler.connect(head.target, addresses)
        server = Line(stream, self._meter)
        try:
            await self._client.send(_ESTABLISHED)
            early = head.connection.trailing_data[0]
            await carry(self._client, server, head.target, early, self._meter)
        finally:
            await server.aclose()

    async def _exchange(self, head: Head, addresses: Sequence[Address]) -> bool:
        request = Request(
            method=head.method,
            scheme="http",
            target=head.target,
            path=head.path,
            headers=head.headers,
        )
        try:
            request = await self._desk.rules.rewrite(self._desk.owner, request)
        except Denied as denied:
            raise Refusal(403, str(denied), "the request may not be sent") from denied
        stream = await self._desk.dialler.connect(request.server, addresses)
        server = Line(stream, self._meter)
        try:
            if request.scheme == "https":
                encrypted = await self._desk.dialler.encrypt(stream, request.server)
                server = Line(encrypted, self._meter)
            return await exchange(self._client, server, head, request, self._desk.bounds.head)
        finally:
            await server.aclose()
