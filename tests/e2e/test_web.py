"""The web tools as clients see them: a server process, real sandboxes, real sites on loopback."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from anthropic import AsyncAnthropic

from tests.e2e.conversation import TOOLSET, Conversation, answer, of, results, text
from tests.e2e.script import call, step, turn, write
from tests.e2e.serving import Server, place
from tests.ledger.requirement import requirement
from tests.toolservers.internet import Internet, Page

HOST = "localhost"
"""What every machine can resolve, and what an operator has to allow."""


def _web(**config: Any) -> tuple[dict[str, Any], ...]:
    """The tools of an agent whose web_fetch is configured so."""
    lookup = {
        "type": "custom",
        "name": "lookup",
        "description": "Looks up.",
        "input_schema": {"type": "object", "properties": {}},
    }
    return {**TOOLSET, "configs": [{"name": "web_fetch", **config}]}, lookup


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    with place() as folder, Internet(folder) as internet:
        origin = f"{HOST}:{internet.http}"
        internet.pages[f"{origin}/page"] = Page("<title>Harbour</title><h1>Ships</h1>")
        yield internet


@pytest.fixture(scope="module")
def engine(internet: Internet) -> Iterator[str]:
    """The address of a search engine, which answers as SearXNG does."""
    page = f"http://{HOST}:{internet.http}/page"
    found = {"results": [{"url": page, "title": "Page", "content": "Ships"}]}
    with place() as folder, Internet(folder) as elsewhere:
        origin = f"{HOST}:{elsewhere.http}"
        elsewhere.pages[f"{origin}/search"] = Page(json.dumps(found), "application/json")
        yield f"http://{origin}"


@pytest.fixture(scope="module")
def server(internet: Internet, engine: str) -> Iterator[Server]:
    origin = f"http://{HOST}:{internet.http}"
    page = call("web_fetch", url=f"{origin}/page")
    leak = call("web_fetch", url=f"{origin}/page?leak=secret")
    turns = (
        turn("fetch the page", step("Fetching.", page), step("Done.")),
        turn("look it up", step("Looking.", call("lookup")), step("Next.", page), step("Done.")),
        turn("search and read", step("I search.", call("web_search", query="ships")), step("I read.", page), step("Done.")),
        turn("leak", step("Leaking.", leak), step("Done.")),
        turn("leave", step("Leaving.", call("web_fetch", url="http://other.example/")), step("Done.")),
        turn("inside", step("Curl.", call("bash", command=f"curl -sS --max-time 9 {origin}/page")), step("Done.")),
    )  # fmt: skip
    with place() as folder:
        settings: Any = {
            "WHARFKEEP_MODELS__SCRIPT": write(folder, *turns),
            "WHARFKEEP_WEB__PRIVATE_HOSTS": json.dumps([HOST]),
            "WHARFKEEP_WEB__SEARCH": "searxng",
            "WHARFKEEP_WEB__SEARCH_URL": engine,
        }
        with Server(folder / "data", **settings) as server:
            yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncAnthropic]:
    async with server.client() as opened:
        yield opened


def documents(events: list[Any]) -> list[str]:
    """The texts of the documents in all tool results."""
    return [
        block.source.data
        for event in of(events, "agent.tool_result")
        for block in event.content
        if block.type == "document"
    ]


@requirement("web:fetch:document", "web:network:own", "web:tools:offered")
@pytest.mark.parametrize("environment", ["cloud", "self_hosted"])
async def test_a_page_is_fetched_in_every_environment(client: AsyncAnthropic, environment: str):
    talk = await Conversation.begin(client, environment=environment)
    events = await talk.turn("fetch the page")
    (result,) = of(events, "agent.tool_result")
    (block,) = result.content
    assert (block.type, block.title, block.source.data) == ("document", "Harbour", "# Ships")
    assert block.context.endswith("/page")
    assert result.is_error is False


@requirement("web:search:results", "web:search:counted")
async def test_searches_are_counted_and_fetches_are_not(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    events = await talk.turn("search and read")
    found, page = of(events, "agent.tool_result")
    assert [block.type for block in found.content] == ["search_result"]
    assert [block.type for block in page.content] == ["document"]
    (usage,) = of(events, "session.usage")
    assert usage.usage.server_tool_use.web_search_requests == 1
    assert usage.usage.server_tool_use.web_fetch_requests == 0
    assert (await talk.state()).usage.server_tool_use.web_search_requests == 1


@requirement("web:sources:where")
async def test_a_url_must_have_been_shown_where_it_counts(
    client: AsyncAnthropic, internet: Internet
):
    only_search = {"type": "only", "tools": [{"type": "tool_reference", "name": "web_search"}]}
    sources = {
        "user_input": "none",
        "client_tool_results": "none",
        "server_tool_results": only_search,
    }
    talk = await Conversation.begin(client, tools=_web(url_sources=sources))
    url = f"http://{HOST}:{internet.http}/page"
    events = await talk.turn(f"fetch the page {url}")
    assert results(events)[0].startswith("web_fetch: url_not_allowed: ")
    events = await talk.turn("search and read")
    assert documents(events) == ["# Ships"]
    events = await talk.turn("leak")
    assert "url_not_allowed" in results(events)[0]


@requirement("web:sources:where")
async def test_the_result_of_a_custom_tool_shows_urls(client: AsyncAnthropic, internet: Internet):
    sources = {"user_input": "none", "server_tool_results": "none"}
    talk = await Conversation.begin(client, tools=_web(url_sources=sources))
    async with talk.stream() as stream:
        await talk.send("look it up")
        asked = await stream.until("agent.custom_tool_use")
        await stream.until("session.status_idle")
        await talk.send(answer(asked, f"It is at http://{HOST}:{internet.http}/page."))
        events = await stream.until_idle()
    assert documents(events) == ["# Ships"]


@requirement("web:domains:refused")
async def test_a_page_outside_the_domains_is_an_error_the_model_reads(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=_web(allowed_domains=["docs.example.com"]))
    events = await talk.turn("leave")
    (result,) = of(events, "agent.tool_result")
    assert result.is_error
    assert text(result) == (
        "web_fetch: url_not_allowed: this agent may not fetch from other.example"
    )
    assert text(of(events, "agent.message")[-1]) == "Done."


@requirement("web:network:own")
async def test_what_web_tools_may_reach_bash_may_not(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    await talk.turn("fetch the page")
    events = await talk.turn("inside")
    assert "Ships" not in results(events)[0]
