"""The tools of MCP servers under the policies of the wire (spec/core 2.7.2, 2.8, 6)."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from anthropic import AsyncAnthropic, BadRequestError

from gateway.model.script import Script
from tests.e2e.conversation import Conversation, allow, deny, of
from tests.e2e.script import call, step, turn
from tests.gate.counter import GONE, URL, Counter
from tests.gateway import Running, serve

LOOK = call("mcp__pay__get_charge", charge="ch_1")
REFUND = call("mcp__pay__refund", charge="ch_1", cents=500)
FAULTS = {
    "wait": "stopped after 2 seconds",
    "vanish": "the payment desk has closed",
    "crash": "internal error",
}
SCRIPT = Script.model_validate(
    {
        "turns": [
            turn("look", step(None, LOOK), "{last_result}"),
            turn("refund", step(None, REFUND), "{last_result}"),
            turn("both", step(None, LOOK, REFUND), "{result_1}; {result_2}"),
            turn("faults", step(None, *(call(f"mcp__pay__{each}") for each in FAULTS)), "Well."),
            turn(
                "mistake",
                step(None, call("mcp__pay__refund", charge="unknown", cents=1)),
                "{last_result}",
            ),
        ]
    }
)


@pytest.fixture(scope="module")
def counter() -> Counter:
    return Counter()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, counter: Counter) -> Generator[Running]:
    with serve(
        tmp_path_factory.mktemp("gate"), {"sandbox": {"call_seconds": 2}}, SCRIPT, counter
    ) as running:
        yield running


@pytest.fixture
async def client(running: Running, counter: Counter) -> AsyncGenerator[AsyncAnthropic]:
    counter.done.clear()
    async with running.tenant().async_client() as client:
        yield client


def toolset(**fields: Any) -> dict[str, Any]:
    return {"type": "mcp_toolset", "mcp_server_name": "pay", **fields}


async def begin(client: AsyncAnthropic, *tools: dict[str, Any], url: str = URL) -> Conversation:
    servers = [{"type": "url", "name": "pay", "url": url}]
    return await Conversation.begin(client, tools=tools, agent={"mcp_servers": servers})


def policy(name: str) -> dict[str, Any]:
    return {"permission_policy": {"type": name}}


async def test_tools_of_a_server_ask_unless_somebody_says_otherwise(
    client: AsyncAnthropic, counter: Counter
):
    talk = await begin(client, toolset())
    shown = await talk.turn("refund")
    [use] = of(shown, "agent.mcp_tool_use")
    assert (use.name, use.mcp_server_name) == ("refund", "pay")
    assert (use.evaluated_permission, use.evaluation.type) == ("ask", "always_ask")
    assert shown[-1].stop_reason.event_ids == [use.id]
    assert counter.done == []
    shown = await talk.turn(allow(use))
    [result] = of(shown, "agent.mcp_tool_result")
    assert (result.mcp_tool_use_id, result.is_error) == (use.id, False)
    assert counter.done == ["refunded 500 of ch_1"]
    assert of(shown, "agent.message")[-1].content[0].text == "refunded 500 cents of ch_1"


async def test_each_tool_has_the_policy_of_its_own_entry(client: AsyncAnthropic, counter: Counter):
    talk = await begin(client, toolset(configs=[{"name": "get_charge", **policy("always_allow")}]))
    shown = await talk.turn("both")
    look, refund = of(shown, "agent.mcp_tool_use")
    assert (look.evaluated_permission, refund.evaluated_permission) == ("allow", "ask")
    assert counter.done == ["looked at ch_1"]
    shown = await talk.turn(deny(refund, "too much"))
    [result] = of(shown, "agent.mcp_tool_result")
    assert result.is_error
    assert "too much" in result.content[0].text
    assert counter.done == ["looked at ch_1"]


async def test_a_tool_that_is_not_enabled_does_not_run(client: AsyncAnthropic, counter: Counter):
    talk = await begin(
        client,
        toolset(
            default_config=policy("always_allow"), configs=[{"name": "refund", "enabled": False}]
        ),
    )
    shown = await talk.turn("refund")
    [use] = of(shown, "agent.mcp_tool_use")
    assert (use.evaluated_permission, use.evaluation) == ("deny", None)
    assert of(shown, "agent.mcp_tool_result")[0].is_error
    assert counter.done == []


async def test_what_a_tool_says_went_wrong_the_model_reads(client: AsyncAnthropic):
    talk = await begin(client, toolset(default_config=policy("always_allow")))
    shown = await talk.turn("mistake")
    [result] = of(shown, "agent.mcp_tool_result")
    assert result.is_error
    assert "there is no such charge" in result.content[0].text


async def test_a_server_that_cannot_be_reached_is_said_and_done_without(client: AsyncAnthropic):
    talk = await begin(client, toolset(default_config=policy("always_allow")), url=GONE)
    shown = await talk.turn("look")
    [error] = of(shown, "session.error")
    assert error.error.type == "mcp_connection_failed_error"
    assert error.error.mcp_server_name == "pay"
    [use] = of(shown, "agent.tool_use")
    assert use.evaluated_permission == "deny"
    assert shown[-1].stop_reason.type == "end_turn"


async def test_a_session_can_change_what_its_tools_may_do(client: AsyncAnthropic, counter: Counter):
    talk = await begin(client, toolset())
    tools: Any = [toolset(default_config=policy("always_allow"))]
    await client.beta.sessions.update(talk.id, agent={"tools": tools})
    shown = await talk.turn("refund")
    assert of(shown, "agent.mcp_tool_use")[0].evaluated_permission == "allow"
    assert counter.done == ["refunded 500 of ch_1"]


async def test_the_same_call_is_confirmed_once(client: AsyncAnthropic, counter: Counter):
    talk = await begin(client, toolset())
    [use] = of(await talk.turn("refund"), "agent.mcp_tool_use")
    await talk.turn(allow(use))
    with pytest.raises(BadRequestError, match="approved already"):
        await talk.send(allow(use))
    assert counter.done == ["refunded 500 of ch_1"]


async def test_whatever_goes_wrong_with_a_call_is_its_own(client: AsyncAnthropic):
    talk = await begin(client, toolset(default_config=policy("always_allow")))
    shown = await talk.turn("faults")
    names = {use.id: use.name for use in of(shown, "agent.mcp_tool_use")}
    results = of(shown, "agent.mcp_tool_result")
    assert all(result.is_error for result in results)
    said = {names[result.mcp_tool_use_id]: result.content[0].text for result in results}
    assert said == {name: f"{name}: {fault}" for name, fault in FAULTS.items()}
    assert of(shown, "agent.message")[-1].content[0].text == "Well."
