"""Calls of built-in tools, through the gate and into sandboxes as people have them."""

from collections.abc import AsyncGenerator, Generator

import pytest
from anthropic import AsyncAnthropic

from gateway.model.script import Script
from tests.e2e import serving
from tests.e2e.conversation import Conversation, of
from tests.e2e.script import bash, call, step, turn
from tests.gateway import Running, serve

SCRIPT = Script.model_validate(
    {
        "turns": [
            turn("echo", step(None, bash("echo hello")), "{last_result}"),
            turn("long", step(None, bash("seq 1 60000")), "Read."),
            turn("search", step(None, call("web_search", query="primes")), "{last_result}"),
        ]
    }
)


@pytest.fixture(scope="module")
def running() -> Generator[Running]:
    with serving.place() as folder, serve(folder / "data", script=SCRIPT, driver=None) as running:
        yield running


@pytest.fixture
async def client(running: Running) -> AsyncGenerator[AsyncAnthropic]:
    async with running.tenant().async_client() as client:
        yield client


async def test_a_command_runs_and_its_output_comes_back(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    shown = await talk.turn("echo")
    [result] = of(shown, "agent.tool_result")
    assert (result.is_error, result.content[0].text) == (False, "hello")


async def test_what_is_too_long_for_the_model_is_in_a_file(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    shown = await talk.turn("long")
    [use], [result] = of(shown, "agent.tool_use"), of(shown, "agent.tool_result")
    assert f"/tmp/tool-results/{use.id}.txt" in result.content[0].text
    assert len(result.content[0].text) < 10_000


async def test_a_search_without_an_engine_says_that_there_is_none(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    shown = await talk.turn("search")
    [result] = of(shown, "agent.tool_result")
    assert result.is_error
    assert "search" in result.content[0].text
