"""The web tools from the gate's side to real sites: a real sandbox, the real egress proxy."""

import json
import ssl
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from gateway.clock import SystemClock
from gateway.settings import Web as Settings
from gateway.store.store import Store, open_store
from gateway.tools.libraries import libraries
from gateway.tools.place import Kind, Place
from gateway.tools.reach import Reach
from gateway.tools.result import Result
from gateway.tools.search import engine
from gateway.tools.server import ToolServer
from gateway.tools.web import Job, Web, program
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.bubblewrap import Settings as DriverSettings
from sandbox.contract import Limits, Mount, Sandbox, SandboxSpec, Unavailable
from sandbox.egress.proxy import Egress
from sandbox.egress.rules import Bounds, Decision
from tests.ledger.requirement import requirement
from tests.sandbox.places import data_directory
from tests.toolservers.internet import Internet, Page, moved

SESSION = "sesn_web"
SECONDS = 40.0
CERTIFICATES = "/opt/wharfkeep/certificates.pem"
PYTHON = Path("/usr/bin/python3")
HOSTS = ["a.example", "b.example", "www.secure.example"]
"""They are on loopback, and settings say that they may be; no other host is there."""


class Places:
    """One sandbox for web tools, started when it is needed; a `Servers`."""

    def __init__(self, folder: Path, internet: Internet, parsers: Path) -> None:
        self._folder = folder
        self._internet = internet
        self._parsers = parsers
        self._server: tuple[ToolServer, Sandbox] | None = None
        self.reach = Reach(None)
        self.limits = Limits()
        """Of the sandbox, when it starts."""
        self.decisions: list[Decision] = []

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            self._driver = BubblewrapDriver(tasks, DriverSettings(data_dir=self._folder))
            yield
            if self._server is not None:
                await self._server[0].aclose()
            await self._driver.aclose()
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def server(self, session: str, kind: Kind) -> AsyncGenerator[tuple[ToolServer, Sandbox]]:
        if self._server is None:
            self._server = await self._start(Place(session=session, kind=kind).owner)
        yield self._server

    async def _start(self, owner: str) -> tuple[ToolServer, Sandbox]:
        arguments, mounts = program(self._parsers)
        egress = Egress(
            self._tasks,
            self.reach,
            Bounds(connect_seconds=5),
            report=self.decisions.append,
            look_up=lambda _: ["127.0.0.1"],
            tls=_trusting(self._internet),
        )
        try:
            await self._driver.reap()
            trusted = Mount(self._internet.authority, CERTIFICATES)
            spec = SandboxSpec(
                id=owner, limits=self.limits, arguments=arguments, mounts=(*mounts, trusted)
            )
            sandbox = await self._driver.create(spec)
        except Unavailable as reason:
            pytest.skip(str(reason))
        await egress.open(owner, sandbox.sockets, sandbox.uid)
        await sandbox.claim(env={"SSL_CERT_FILE": CERTIFICATES})
        server = ToolServer(await sandbox.open("tools"))
        self._tasks.start_soon(server.listen)
        return server, sandbox


def _trusting(internet: Internet) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(internet.authority))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def folder() -> Generator[Path]:
    with data_directory() as folder:
        folder.chmod(0o711)
        yield folder


@pytest.fixture
def internet(folder: Path) -> Iterator[Internet]:
    with Internet(folder) as internet:
        yield internet


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    store = await open_store("", tmp_path / "data", clock=SystemClock())
    yield store
    await store.aclose()


class Tools:
    """Calls web tools as the gate does."""

    def __init__(self, places: Places, store: Store) -> None:
        self._places = places
        self._store = store

    async def call(
        self,
        name: str,
        given: dict[str, Any],
        config: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Result:
        chosen = Settings.model_validate({"private_hosts": HOSTS, **settings})
        reach = self._places.reach
        reach.engine = engine(chosen)
        web = Web(self._places, self._store.log, chosen, reach)
        job = Job(
            session=SESSION,
            thread="sthr_1",
            name=name,
            input=given,
            config=config or {},
            seconds=SECONDS,
        )
        with anyio.fail_after(SECONDS):
            return await web.call(job)

    async def fetch(self, url: str, **config: Any) -> Result:
        return await self.call("web_fetch", {"url": url}, config)

    async def search(self, query: str, **settings: Any) -> Result:
        return await self.call("web_search", {"query": query}, **settings)


@pytest.fixture
async def places(folder: Path, internet: Internet) -> AsyncGenerator[Places]:
    parsers = await anyio.to_thread.run_sync(libraries, PYTHON, folder)
    places = Places(folder, internet, parsers)
    async with places.running():
        yield places


@pytest.fixture
def tools(places: Places, store: Store) -> Tools:
    return Tools(places, store)


@requirement("web:fetch:document")
async def test_a_page_comes_as_a_document(tools: Tools, internet: Internet):
    url = f"http://a.example:{internet.http}/page"
    internet.pages[url.removeprefix("http://")] = Page("<title>Title</title><h1>Hello</h1>")
    assert await tools.fetch(url) == Result(
        [
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "# Hello"},
                "title": "Title",
                "context": url,
            }
        ]
    )


async def test_https_is_checked_inside_the_sandbox(tools: Tools, internet: Internet):
    # On 443 the proxy would also look for the name; the sites here are on other ports.
    url = f"https://www.secure.example:{internet.https}/"
    internet.pages[url.removeprefix("https://")] = Page("<p>safe")
    result = await tools.fetch(url)
    assert result.content[0]["source"]["data"] == "safe"
    result = await tools.fetch(f"https://a.example:{internet.https}/")
    assert "its certificate is not valid" in result.text()


async def test_a_page_that_takes_too_much_memory_is_an_error_that_names_the_limit(
    places: Places, tools: Tools, internet: Internet
):
    places.limits = Limits(memory=96 * 1024**2)
    url = f"http://a.example:{internet.http}/heavy"
    internet.pages[url.removeprefix("http://")] = Page("<p><b><i>x" * 400_000)
    result = await tools.fetch(url)
    assert result.is_error
    assert "memory" in result.text()
    assert "96 MiB" in result.text()
    internet.pages[url.removeprefix("http://")] = Page("<p>light")
    assert (await tools.fetch(url)).content[0]["source"]["data"] == "light"


@requirement("web:fetch:tokens")
async def test_the_agent_says_how_much_text_it_wants(tools: Tools, internet: Internet):
    url = f"http://a.example:{internet.http}/long"
    internet.pages[url.removeprefix("http://")] = Page("word " * 1000, "text/plain")
    result = await tools.fetch(url, max_content_tokens=5)
    shown = result.content[0]["source"]["data"]
    assert shown == "word word word word \n\n[Cut here: 20 of 5000 characters.]"


@requirement("web:domains:refused")
async def test_a_redirect_out_of_the_domains_is_refused_and_said(tools: Tools, internet: Internet):
    place = f"a.example:{internet.http}/"
    internet.pages[place] = moved(f"http://b.example:{internet.http}/")
    result = await tools.fetch(f"http://{place}", allowed_domains=["a.example"])
    assert result.is_error
    assert result.text() == ("web_fetch: url_not_allowed: this agent may not fetch from b.example")
    assert internet.paths() == [place]


@requirement("web:domains:refused")
@pytest.mark.parametrize(
    ("url", "config"),
    [
        ("http://b.example/", {"allowed_domains": ["a.example"]}),
        ("http://www.b.example/", {"blocked_domains": ["b.example"]}),
    ],
)
async def test_what_is_outside_the_domains_never_starts_a_sandbox(
    tools: Tools, places: Places, url: str, config: dict[str, Any]
):
    result = await tools.fetch(url, **config)
    assert result.is_error
    assert "url_not_allowed" in result.text()
    assert places.decisions == []


@requirement("web:network:own")
@pytest.mark.parametrize("url", ["http://private.example", "http://127.0.0.1", "http://[::1]"])
async def test_private_addresses_stay_closed_after_a_redirect_too(
    tools: Tools, places: Places, internet: Internet, url: str
):
    place = f"a.example:{internet.http}/"
    internet.pages[place] = moved(f"{url}:{internet.http}/")
    for start in (f"http://{place}", f"{url}:{internet.http}/"):
        result = await tools.fetch(start)
        assert result.is_error
        assert "url_not_allowed" in result.text()
    assert not any(
        decision.allowed for decision in places.decisions if decision.host != "a.example"
    )


@pytest.mark.parametrize("given", [{}, {"url": 1}, {"url": "x"}, {"url": "http://a", "more": 1}])
async def test_a_call_with_other_input_is_an_error(tools: Tools, given: dict[str, Any]):
    result = await tools.call("web_fetch", given)
    assert result.is_error
    assert result.text().startswith("web_fetch: invalid_tool_input: ")


def _found(*urls: str) -> Page:
    results = [{"url": url, "title": f"About {url}", "content": "Excerpt"} for url in urls]
    return Page(json.dumps({"results": results}), "application/json")


@requirement("web:search:results", "web:search:counted")
async def test_a_search_of_ones_own_engine(tools: Tools, internet: Internet):
    place = f"search.example:{internet.http}"
    internet.pages[f"{place}/search"] = _found("https://x.example/1", "https://y.example/2")
    settings = {"search": "searxng", "search_url": f"http://{place}", "search_price": 5}
    result = await tools.search("two words", **settings)
    assert [block["source"] for block in result.content] == [
        "https://x.example/1",
        "https://y.example/2",
    ]
    assert {block["type"] for block in result.content} == {"search_result"}
    assert result.spent == {
        "usage": {"server_tool_use": {"web_search_requests": 1}},
        "cost": "0.5",
    }
    assert internet.visits[-1].path == "/search?q=two+words&format=json"


async def test_the_key_is_attached_outside_and_the_request_made_https(
    tools: Tools, internet: Internet
):
    place = f"www.secure.example:{internet.https}"
    internet.pages[f"{place}/search"] = _found("https://x.example/1")
    settings = {"search": "tavily", "search_url": f"https://{place}", "search_key": "tvly-secret"}
    result = await tools.search("x", **settings)
    assert [block["source"] for block in result.content] == ["https://x.example/1"]
    (visit,) = internet.visits
    assert visit.headers["authorization"] == "Bearer tvly-secret"
    assert (visit.method, b'"query": "x"' in visit.body) == ("POST", True)


async def test_a_fetch_cannot_use_the_engines_key(tools: Tools, internet: Internet):
    place = f"www.secure.example:{internet.https}"
    internet.pages[f"a.example:{internet.http}/"] = moved(f"http://{place}/search")
    settings: Any = {"search": "tavily", "search_url": f"https://{place}", "search_key": "secret"}
    for url in (f"http://{place}/search", f"http://a.example:{internet.http}/"):
        result = await tools.call("web_fetch", {"url": url}, **settings)
        assert "url_not_allowed" in result.text()
    assert not any("authorization" in visit.headers for visit in internet.visits)


@requirement("web:search:absent")
async def test_without_an_engine_a_search_says_so(tools: Tools):
    result = await tools.search("x")
    assert result.is_error
    assert "no search backend is configured; an operator sets web.search" in result.text()


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (Page(status=500), "the search engine answered 500"),
        (Page(status=429), "too_many_requests"),
        (Page(status=401), "an operator checks web.search_key"),
        (Page("<html>", "text/html"), "did not answer with JSON"),
        (Page("{}", "application/json"), "holds no results"),
    ],
)
async def test_a_search_that_fails_is_an_error_and_is_not_counted(
    tools: Tools, internet: Internet, page: Page, told: str
):
    place = f"search.example:{internet.http}"
    internet.pages[f"{place}/search"] = page
    result = await tools.search("x", search="searxng", search_url=f"http://{place}")
    assert result.is_error
    assert told in result.text()
    assert result.spent is None


async def test_nothing_found_is_said(tools: Tools, internet: Internet):
    place = f"search.example:{internet.http}"
    internet.pages[f"{place}/search"] = _found()
    result = await tools.search("x", search="searxng", search_url=f"http://{place}")
    assert (result.text(), result.is_error) == ("No results.", False)


@pytest.mark.parametrize("query", ["", "  ", "x" * 401])
async def test_a_query_has_a_length(tools: Tools, query: str):
    settings = {"search": "searxng", "search_url": "http://search.example"}
    result = await tools.search(query, **settings)
    assert result.text().startswith("web_search: invalid_tool_input: ")
