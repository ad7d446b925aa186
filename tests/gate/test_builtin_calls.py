"""The gate without policies, without a sandbox: what is wrong with a call is the model's to read."""

from collections.abc import AsyncGenerator, Generator

import pytest
from anthropic import AsyncAnthropic

from gateway.model.script import Script
from tests.e2e.conversation import TOOLSET, Conversation, of
from tests.e2e.script import bash, call, step, turn
from tests.gateway import TOOL, Running, serve

SCRIPT = Script.model_validate(
    {
        "turns": [
            turn("shell", step(None, bash("ls")), "{last_result}"),
            turn("nothing", step(None, call("no_such_tool")), "{last_result}"),
            turn("custom", step(None, call("choose")), "{last_result}"),
        ]
    }
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    with serve(tmp_path_factory.mktemp("gate"), script=SCRIPT) as running:
        yield running


@pytest.fixture
async def client(running: Running) -> AsyncGenerator[AsyncAnthropic]:
    async with running.tenant().async_client() as client:
        yield client


async def test_a_sandbox_that_cannot_start_fails_the_call_and_not_the_session(
    client: AsyncAnthropic,
):
    talk = await Conversation.begin(client)
    shown = await talk.turn("shell")
    [result] = of(shown, "agent.tool_result")
    assert result.is_error
    assert "the sandbox failed" in result.content[0].text
    assert shown[-1].stop_reason.type == "end_turn"


async def test_a_tool_that_is_not_there_is_said_not_to_be(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    shown = await talk.turn("nothing")
    [use] = of(shown, "agent.tool_use")
    assert (use.evaluated_permission, use.evaluation) == ("deny", None)
    assert (
        "There is no tool named no_such_tool" in of(shown, "agent.tool_result")[0].content[0].text
    )


async def test_a_tool_that_is_not_enabled_is_neither_told_of_nor_run(
    client: AsyncAnthropic, running: Running
):
    off = {**TOOLSET, "configs": [{"name": "bash", "enabled": False}]}
    talk = await Conversation.begin(client, tools=[off])
    shown = await talk.turn("shell")
    assert "not enabled" in of(shown, "agent.tool_result")[0].content[0].text
    told = running.told()
    assert "bash" not in told
    assert "read" in told


async def test_custom_tools_are_the_clients_and_on_record(client: AsyncAnthropic, running: Running):
    talk = await Conversation.begin(client, tools=[TOOL])
    shown = await talk.turn("custom")
    [use] = of(shown, "agent.custom_tool_use")
    assert shown[-1].stop_reason.event_ids == [use.id]
    with running.administrator().raw() as http:
        [record] = http.get("/wharfkeep/v1/audit", params={"session": talk.id}).json()["data"]
    assert (record["tool"], record["outcome"]) == ("custom.choose", "allow")
    assert record["body"]["rule"] == "tool:custom"
