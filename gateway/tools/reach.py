"""What the sandboxes of web tools may reach: only what the calls that are running need.

Such a sandbox has no rights by itself, and no environment's network policy applies to it
(spec/core 3.4). A call says what it needs for as long as it runs; the egress proxy asks here. The
key of the search engine is attached here too, and only to what web_search sends.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from gateway.policy.domains import Domains
from gateway.policy.network import MAIL
from gateway.tools.search import Engine
from gateway.tools.usage import Use
from sandbox.egress.rules import HTTP, Denied, Request, Target, Verdict


@dataclass(frozen=True, slots=True)
class Fetching:
    """A web_fetch is running."""

    domains: Domains
    private: frozenset[str] = frozenset()
    """Hosts whose addresses may be private."""

    def verdict(self, target: Target) -> Verdict | None:
        """None if this call does not need that host."""
        if target.port == MAIL or not self.domains.permit(target.host):
            return None
        return Verdict(True, "web_fetch:domains", target.host in self.private)


@dataclass(frozen=True, slots=True)
class Searching:
    """A web_search is running."""

    engine: Engine

    def verdict(self, target: Target) -> Verdict | None:
        """None if this call does not need that host."""
        if not is_engine(self.engine, target):
            return None
        return Verdict(True, "web_search:engine", self.engine.chosen)


Need: TypeAlias = Fetching | Searching

_NOTHING = Verdict(False, "web:not_needed")


class Reach:
    """The `EgressRules` of web sandboxes."""

    def __init__(self, engine: Engine | None, use: Use | None = None) -> None:
        """`use` is told before the search engine's key is attached."""
        self.engine = engine
        self._use = use
        self._needs: dict[str, list[Need]] = {}

    @contextmanager
    def opened(self, owner: str, need: Need) -> Generator[None]:
        """Let a sandbox reach what one call needs, until the end of the block."""
        needs = self._needs.setdefault(owner, [])
        needs.append(need)
        try:
            yield
        finally:
            needs.remove(need)
            if not needs:
                del self._needs[owner]

    async def decide(self, owner: str, target: Target) -> Verdict:
        """See `EgressRules`."""
        needs = self._needs.get(owner, [])
        if self.engine is not None and is_engine(self.engine, target):
            # Never by web_fetch: the key would be attached to a request the model has written.
            needs = [need for need in needs if isinstance(need, Searching)]
        verdicts = [verdict for need in needs if (verdict := need.verdict(target))]
        return max(verdicts, key=lambda verdict: verdict.private, default=_NOTHING)

    async def rewrite(self, owner: str, request: Request) -> Request:
        """Attach the search engine's key; see `EgressRules`."""
        engine = self.engine
        if engine is None or not is_engine(engine, request.target):
            return request
        if not any(isinstance(need, Searching) for need in self._needs.get(owner, [])):
            raise Denied("web_search:not_running")
        if engine.credential is None:
            return request
        if self._use is not None:
            await self._use(owner, "web_search", request.target)
        name, value = (word.encode("latin-1") for word in engine.credential)
        others = tuple(header for header in request.headers if header[0] != name)
        scheme = "https" if engine.base.scheme == "https" else "http"
        return replace(request, scheme=scheme, headers=(*others, (name, value)))


def is_engine(engine: Engine, target: Target) -> bool:
    """Whether that is the search engine. A request whose key is still to come goes to port 80."""
    base = engine.base
    ports = (base.port, HTTP) if base.scheme == "https" else (base.port,)
    return target.host == base.host and target.port in ports
