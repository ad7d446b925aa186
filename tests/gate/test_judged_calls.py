"""Calls under ``auto``: a judge is asked when everybody else would let them run (spec/core 2.8)."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from anthropic import AsyncAnthropic

from gateway.model.script import Script
from tests.e2e.conversation import Conversation, allow, of
from tests.e2e.script import call, step, turn
from tests.gate.counter import URL, Counter
from tests.gateway import MODEL, Running, serve


def refund(cents: int) -> Any:
    return call("mcp__pay__refund", charge="ch_1", cents=cents)


SCRIPT = Script.model_validate(
    {
        "turns": [
            turn("harmless", step(None, refund(1)), "{last_result}"),
            turn("harmful", step(None, refund(2)), "{last_result}"),
            turn("doubtful", step(None, refund(3)), "{last_result}"),
            turn("three", step(None, refund(1), refund(2), refund(3)), "{result_1}"),
        ],
        "judgements": [
            {"when": '"cents":1', "verdict": "allow"},
            {"when": '"cents":2', "verdict": "deny"},
            {"when": '"cents":3', "verdict": "ask"},
        ],
    }
)


@pytest.fixture(scope="module")
def counter() -> Counter:
    return Counter()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, counter: Counter) -> Generator[Running]:
    config = {"policy": {"judge_model": MODEL}}
    with serve(tmp_path_factory.mktemp("judged"), config, SCRIPT, counter) as running:
        yield running


@pytest.fixture
async def client(running: Running, counter: Counter) -> AsyncGenerator[AsyncAnthropic]:
    counter.done.clear()
    async with running.tenant().async_client() as client:
        yield client


async def begin(client: AsyncAnthropic, policy: str = "auto") -> Conversation:
    auto = {"permission_policy": {"type": policy}}
    tools = [{"type": "mcp_toolset", "mcp_server_name": "pay", "default_config": auto}]
    servers = [{"type": "url", "name": "pay", "url": URL}]
    return await Conversation.begin(
        client, tools=tools, model=MODEL, agent={"mcp_servers": servers}
    )


def verdict(use: Any) -> tuple[str, str, str | None]:
    """The outcome, the judge's verdict and its reason, as the event shows them."""
    assert use.evaluation.type == "auto"
    said = use.evaluation.evaluated_permission
    return use.evaluated_permission, said.type, getattr(said, "reason_code", None)


async def test_what_the_judge_allows_runs(client: AsyncAnthropic, counter: Counter):
    talk = await begin(client)
    shown = await talk.turn("harmless")
    assert verdict(of(shown, "agent.mcp_tool_use")[0]) == ("allow", "allow", None)
    assert counter.done == ["refunded 1 of ch_1"]


async def test_what_the_judge_denies_never_runs_and_the_turn_goes_on(
    client: AsyncAnthropic, counter: Counter
):
    talk = await begin(client)
    shown = await talk.turn("harmful")
    assert verdict(of(shown, "agent.mcp_tool_use")[0]) == ("deny", "deny", "high_risk")
    [result] = of(shown, "agent.mcp_tool_result")
    assert result.is_error
    assert "refund" in result.content[0].text
    assert shown[-1].stop_reason.type == "end_turn"
    assert counter.done == []


async def test_where_the_judge_is_in_doubt_a_person_is_asked(
    client: AsyncAnthropic, counter: Counter
):
    talk = await begin(client)
    [use] = of(await talk.turn("doubtful"), "agent.mcp_tool_use")
    assert verdict(use) == ("ask", "ask", "indeterminate")
    assert counter.done == []
    await talk.turn(allow(use))
    assert counter.done == ["refunded 3 of ch_1"]


async def test_calls_of_one_answer_are_judged_each(client: AsyncAnthropic, counter: Counter):
    talk = await begin(client)
    shown = await talk.turn("three")
    uses = of(shown, "agent.mcp_tool_use")
    assert [verdict(use)[0] for use in uses] == ["allow", "deny", "ask"]
    assert shown[-1].stop_reason.event_ids == [uses[2].id]
    assert counter.done == ["refunded 1 of ch_1"]


async def test_what_judging_costs_is_the_sessions(client: AsyncAnthropic):
    judged, free = await begin(client), await begin(client, "always_allow")
    await judged.turn("harmless")
    await free.turn("harmless")
    spent, others = (await judged.state()).usage, (await free.state()).usage
    assert spent.input_tokens > others.input_tokens
    assert spent.list_cost.amount > others.list_cost.amount
