"""The web tools on the gateway's side: whether a call may be made, and what its result looks like.

The calls run in a sandbox of their own, in every environment (spec/core 3.4). Strangers' pages and
PDFs are read in there; here are the rules of the agent (spec/core 2.7.1) and the search engine.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from gateway.policy.domains import Domains
from gateway.policy.urls import Shown
from gateway.settings import Web as Settings
from gateway.store.log import Log
from gateway.tools import search
from gateway.tools.breach import tell, tell_death
from gateway.tools.libraries import TARGET
from gateway.tools.place import Kind, Place
from gateway.tools.reach import Fetching, Need, Reach, Searching, is_engine
from gateway.tools.result import Result, failure, from_mcp
from gateway.tools.search import BadAnswer, Engine, Query
from gateway.tools.server import ToolServer
from sandbox.contract import Mount, Sandbox, SandboxGone
from sandbox.egress.rules import Target
from toolservers.web import address
from toolservers.web.address import Address

CHARACTERS_PER_TOKEN = 4
"""On average; ``max_content_tokens`` is an estimate."""

_PAGE = 500
"""Events read at once while looking for a URL."""
_MAX_TITLE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A call of a web tool that may run."""

    session: str
    thread: str
    name: str
    input: dict[str, Any]
    config: Mapping[str, Any]
    """The tool's entry in ``configs``."""
    seconds: float


class Servers(Protocol):
    """Where tool servers are; `gateway.tools.connect.Connections` is one."""

    def server(
        self, session: str, kind: Kind
    ) -> AbstractAsyncContextManager[tuple[ToolServer, Sandbox]]: ...


class Web:
    """Runs calls of web_fetch and web_search."""

    def __init__(self, connections: Servers, log: Log, settings: Settings, reach: Reach) -> None:
        self._connections = connections
        self._log = log
        self._settings = settings
        self._reach = reach
        self._engine = reach.engine
        self._private = frozenset(host.lower() for host in settings.private_hosts)

    async def call(self, job: Job) -> Result:
        """Run one call.

        Raises:
            SandboxError: The sandbox could not be started, or died.
            ProtocolError: The program inside refused the call.
        """
        if job.name == "web_search":
            return await self._search(job)
        return await self._fetch(job)

    async def _fetch(self, job: Job) -> Result:
        try:
            url = address.parse(_text(job, "url"))
        except ValueError as error:
            return failure(f"web_fetch: invalid_tool_input: {error}")
        domains = Domains.of(job.config)
        if reason := await self._objection(job, url, domains):
            return failure(f"web_fetch: url_not_allowed: {reason}")
        tokens = job.config.get("max_content_tokens") or self._settings.max_content_tokens
        settings = {
            "allowed_domains": domains.allowed,
            "blocked_domains": domains.blocked,
            "max_characters": tokens * CHARACTERS_PER_TOKEN,
            "user_agent": self._settings.user_agent,
            "robots": self._settings.robots,
        }
        need = Fetching(domains, self._private)
        return await self._ask(job, need, {"url": str(url)}, settings, _document)

    async def _objection(self, job: Job, url: Address, domains: Domains) -> str | None:
        """Why the model may not fetch this, if it may not."""
        if not domains.permit(url.host):
            return f"this agent may not fetch from {url.host}"
        if self._engine is not None and is_engine(self._engine, Target(url.host, url.port)):
            return f"{url.host} is for web_search"
        sources = job.config.get("url_sources")
        if sources and not await self._shown(job, url, sources):
            return "the conversation has not shown this URL in a place that counts"
        return None

    async def _shown(self, job: Job, url: Address, sources: Mapping[str, Any]) -> bool:
        shown, last = Shown(sources), 0
        while True:
            page = await self._log.read(session=job.session, after=last, limit=_PAGE)
            if shown.holds(url, (json.loads(event.wire) for event in page)):
                return True
            if len(page) < _PAGE:
                return False
            last = page[-1].seq

    async def _search(self, job: Job) -> Result:
        if self._engine is None:
            return failure(
                "web_search: unavailable: no search backend is configured;"
                " an operator sets web.search"
            )
        try:
            query = self._query(job)
        except ValueError as error:
            return failure(f"web_search: invalid_tool_input: {error}")
        asked = self._engine.request(query)
        request = {
            "method": asked.method,
            "url": asked.url,
            "headers": asked.headers,
            "body": asked.body,
            "attached": self._engine.credential is not None,
        }
        arguments, settings = {"query": query.text}, {"request": request}
        read = partial(self._results, self._engine, query)
        return await self._ask(job, Searching(self._engine), arguments, settings, read)

    def _results(self, engine: Engine, query: Query, said: dict[str, Any]) -> Result:
        """What web_search found, of what the engine said."""
        answer = from_mcp(said)
        if answer.is_error:
            return answer
        try:
            found = engine.read(answer.text(), query)
        except BadAnswer as error:
            return failure(f"web_search: unavailable: {error}")
        blocks = [result.block() for result in found]
        return Result(blocks or [{"type": "text", "text": "No results."}], spent=self._spent())

    def _query(self, job: Job) -> Query:
        text = " ".join(_text(job, "query").split())
        if not text:
            raise ValueError("the query is empty")
        if len(text) > search.MAX_QUERY:
            raise ValueError(f"query_too_long: at most {search.MAX_QUERY} characters")
        location = job.config.get("user_location") or {}
        count = self._settings.search_results
        return Query(text, Domains.of(job.config), location, count)

    def _spent(self) -> dict[str, Any]:
        cents = Decimal(str(self._settings.search_price)) * 100 / 1000
        return {"usage": {"server_tool_use": {"web_search_requests": 1}}, "cost": str(cents)}

    async def _ask(
        self,
        job: Job,
        need: Need,
        arguments: dict[str, Any],
        settings: dict[str, Any],
        read: Callable[[dict[str, Any]], Result],
    ) -> Result:
        """Have the sandbox do it, read what it says, and add the limits that it met."""
        owner = Place(session=job.session, kind="web").owner
        meta = {
            "wharfkeep/thread": job.thread,
            "wharfkeep/deadline_ms": int(job.seconds * 1000),
            "wharfkeep/settings": settings,
        }
        async with self._connections.server(job.session, "web") as (server, sandbox):
            try:
                with self._reach.opened(owner, need):
                    said = await server.call(job.name, arguments, meta)
            except SandboxGone as error:
                return await tell_death(sandbox, error, kept=False)
            return await tell(read(said), sandbox)


def program(libraries: Path) -> tuple[tuple[str, ...], tuple[Mount, ...]]:
    """The arguments and mounts of a sandbox for web tools; see `SandboxSpec`."""
    return ("--toolset", "web", "--libraries", TARGET), (Mount(libraries, TARGET),)


def _text(job: Job, name: str) -> str:
    value = job.input.get(name)
    if not isinstance(value, str) or set(job.input) != {name}:
        raise ValueError(f"it takes {name}, a string, and nothing else")
    return value


def _document(answer: dict[str, Any]) -> Result:
    """What web_fetch found, as a document block that says where it is from (spec/core 6.1)."""
    match answer.get("content"):
        case [{"type": "resource", "resource": {"uri": str(uri), "text": str(text)} as resource}]:
            block: dict[str, Any] = {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": text},
                "title": _title(resource) or uri[:_MAX_TITLE],
                "context": uri,
            }
            return Result([block], is_error=answer.get("isError") is True)
        case _:
            return from_mcp(answer)


def _title(resource: dict[str, Any]) -> str:
    match resource.get("_meta"):
        case {"wharfkeep/title": str(title)}:
            return title[:_MAX_TITLE].strip()
        case _:
            return ""
