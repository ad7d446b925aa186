"""What the egress proxy asks before anything leaves a sandbox, and what it reports.

The proxy (`proxy`) moves bytes and knows nothing of sessions, policies or secrets. Those
are behind `EgressRules`: one question, and one function through which every plain-HTTP request
passes on its way out.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

HTTP, HTTPS = 80, 443

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, in the order in which they are sent."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a connection is to go."""

    host: str
    """A name or an address as `sandbox.egress.address.normalise` returns it."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a target may be reached, and the rule that says so."""

    allowed: bool
    rule: str
    private: bool = False
    """The host may be, or resolve to, a private address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A plain-HTTP request as it is about to be sent, hop-by-hop headers already gone."""

    method: str
    scheme: Literal["http", "https"]
    """How to speak to the host; ``https`` makes the proxy speak TLS to it, on port 443 for 80."""
    target: Target
    path: str
    """Path and query, beginning with a slash."""
    headers: Headers

    @property
    def server(self) -> Target:
        """Where it is sent."""
        if self.scheme == "https" and self.target.port == HTTP:
            return Target(self.target.host, HTTPS)
        return self.target

    @property
    def host(self) -> str:
        """The value of its Host header."""
        usual = HTTPS if self.scheme == "https" else HTTP
        return str(self.server).removesuffix(f":{usual}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision, for the record."""

    owner: str
    kind: Literal["connect", "request"]
    """What was asked for: a tunnel, or one plain-HTTP request."""
    host: str
    """As it was asked for, if it was not even a host."""
    port: int
    allowed: bool
    rule: str
    """The rule of the verdict, or why it came to nothing: ``address:...`` (what it resolved to),
    ``request:...`` (how it was asked), ``tls:...`` (what was said in the tunnel), ``limit:...``,
    ``unreachable:...``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one owner, and one connection of it, may use."""

    connections: int = 128
    """At the same time, for one owner."""
    lookups: int = 8
    """Names being resolved at the same time, for one owner."""
    head: int = 32 * 1024
    """Bytes of a request line with its headers, or of an answer's."""
    connect_seconds: float = 10.0
    """To resolve a name and reach one of its addresses."""
    handshake_seconds: float = 10.0
    """For a request's head to arrive, and for the first bytes in a tunnel to port 443."""
    idle_seconds: float = 300.0
    """Without a byte in either direction."""
    seconds: float = 4 * 3600.0
    """Of one connection."""
    bytes: int = 16 * 1024**3
    """Of one connection, both directions together."""


class Denied(Exception):
    """Rules refuse a request while they rewrite it; the argument is the rule."""


class EgressRules(Protocol):
    """What decides for the proxy. Neither function may raise anything but `Denied`."""

    async def decide(self, owner: str, target: Target) -> Verdict:
        """Whether `owner` may reach `target`; asked for every tunnel and every request."""
        ...

    async def rewrite(self, owner: str, request: Request) -> Request:
        """The request to send instead of an allowed one, for instance with a credential.

        Raises:
            Denied: It must not be sent.
        """
        ...
