"""An enterprise's policies on every call, from the model's answer to the audit trail."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from anthropic import AsyncAnthropic, BadRequestError, PermissionDeniedError

from gateway.model.script import Script
from tests.e2e.conversation import allow, deny, of
from tests.e2e.script import call, step, turn
from tests.gate.shop import Shop, begin, open_shop


def refund(cents: Any) -> Any:
    return call("mcp__pay__refund", charge="ch_1", cents=cents)


SCRIPT = Script.model_validate(
    {
        "turns": [
            turn("small", step(None, refund(500)), "{last_result}"),
            turn("large", step(None, refund(20_000)), "{last_result}"),
            turn("twice", step(None, refund(9_000), refund(9_000)), "{result_1}; {result_2}"),
            turn("many", step(None, *[refund(9_000)] * 6), "{last_result}"),
            turn("endless", step(None, refund(2**70)), "{last_result}"),
            turn(
                "careless",
                step(None, call("mcp__pay__read_note", charge="ch_1")),
                step(None, refund(500)),
                "{last_result}",
            ),
            turn("look", step(None, call("mcp__pay__get_charge", charge="ch_1")), "{last_result}"),
        ]
    }
)


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Generator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), SCRIPT) as shop:
        yield shop


@pytest.fixture
async def ann(shop: Shop) -> AsyncGenerator[AsyncAnthropic]:
    async with shop.person("Ann").async_client() as client:
        yield client


@pytest.fixture
async def bob(shop: Shop) -> AsyncGenerator[AsyncAnthropic]:
    async with shop.person("Bob").async_client() as client:
        yield client


@pytest.fixture
async def carl(shop: Shop) -> AsyncGenerator[AsyncAnthropic]:
    """He is not in support."""
    async with shop.person("Carl").async_client() as client:
        yield client


async def test_what_both_keys_permit_runs_and_is_on_record(shop: Shop, ann: AsyncAnthropic):
    talk = await begin(ann)
    shown = await talk.turn("small")
    [use] = of(shown, "agent.mcp_tool_use")
    assert (use.evaluated_permission, use.evaluation.type) == ("allow", "always_allow")
    assert shop.counter.done == ["refunded 500 of ch_1"]
    [record] = shop.audit(talk.id)
    assert (record["tool"], record["outcome"]) == ("desk.refund", "allow")
    assert record["event_id"] == use.id
    assert record["body"]["arguments"] == {"charge": "ch_1", "cents": 500}
    assert record["body"]["ruling"]["policies"] == ["agents", "support"]


async def test_the_agents_key_is_not_the_users(shop: Shop, carl: AsyncAnthropic):
    talk = await begin(carl)
    shown = await talk.turn("small")
    [use] = of(shown, "agent.mcp_tool_use")
    assert use.evaluated_permission == "deny"
    assert use.evaluation.evaluated_permission.reason_code == "enterprise_policy"
    [result] = of(shown, "agent.mcp_tool_result")
    assert result.is_error
    assert shop.counter.done == []


async def test_a_second_person_approves_what_needs_one(
    shop: Shop, ann: AsyncAnthropic, bob: AsyncAnthropic, carl: AsyncAnthropic
):
    talk = await begin(ann)
    [use] = of(await talk.turn("large"), "agent.mcp_tool_use")
    assert use.evaluated_permission == "ask"
    with pytest.raises(PermissionDeniedError, match="another person"):
        await talk.send(allow(use))
    with pytest.raises(PermissionDeniedError, match="member of support"):
        await carl.beta.sessions.events.send(talk.id, events=[allow(use)])  # pyright: ignore[reportArgumentType] - a plain dict
    assert shop.counter.done == []
    async with talk.stream() as stream:
        await bob.beta.sessions.events.send(talk.id, events=[allow(use)])  # pyright: ignore[reportArgumentType] - the same
        await stream.until_idle()
    assert shop.counter.done == ["refunded 20000 of ch_1"]
    asked, admitted = shop.audit(talk.id)
    assert (asked["outcome"], admitted["outcome"]) == ("ask", "allow")
    assert admitted["body"]["approval"]["by"].startswith("user_")
    with pytest.raises(BadRequestError, match="an approval counts once"):
        await bob.beta.sessions.events.send(talk.id, events=[allow(use)])  # pyright: ignore[reportArgumentType] - the same


async def test_whoever_may_send_events_may_deny(shop: Shop, ann: AsyncAnthropic):
    talk = await begin(ann)
    [use] = of(await talk.turn("large"), "agent.mcp_tool_use")
    shown = await talk.turn(deny(use, "not today"))
    [result] = of(shown, "agent.mcp_tool_result")
    assert "not today" in result.content[0].text
    assert shop.counter.done == []


async def test_an_approval_under_other_policies_is_none(
    shop: Shop, ann: AsyncAnthropic, bob: AsyncAnthropic
):
    talk = await begin(ann)
    [use] = of(await talk.turn("large"), "agent.mcp_tool_use")
    shop.change("context.args.cents > 10000", "context.args.cents > 15000")
    async with talk.stream() as stream:
        await bob.beta.sessions.events.send(talk.id, events=[allow(use)])  # pyright: ignore[reportArgumentType] - a plain dict
        shown = await stream.until_idle()
    [result] = of(shown, "agent.mcp_tool_result")
    assert result.is_error
    assert "approval" in result.content[0].text
    assert shop.counter.done == []


async def test_what_was_approved_and_is_forbidden_by_now_does_not_run(
    shop: Shop, ann: AsyncAnthropic, bob: AsyncAnthropic
):
    talk = await begin(ann)
    [use] = of(await talk.turn("large"), "agent.mcp_tool_use")
    shop.change("> 50000", "> 100")
    async with talk.stream() as stream:
        await bob.beta.sessions.events.send(talk.id, events=[allow(use)])  # pyright: ignore[reportArgumentType] - a plain dict
        await stream.until_idle()
    assert shop.counter.done == []


async def test_money_that_calls_under_way_will_spend_counts(shop: Shop, ann: AsyncAnthropic):
    talk = await begin(ann)
    shown = await talk.turn("many")
    uses = of(shown, "agent.mcp_tool_use")
    assert [use.evaluated_permission for use in uses] == [*["allow"] * 5, "deny"]
    assert len(shop.counter.done) == 5
    shown = await talk.turn("twice")
    assert {use.evaluated_permission for use in of(shown, "agent.mcp_tool_use")[-2:]} == {"deny"}


async def test_an_argument_that_policies_cannot_read_is_denied_and_said(
    shop: Shop, ann: AsyncAnthropic
):
    talk = await begin(ann)
    shown = await talk.turn("endless")
    [result] = of(shown, "agent.mcp_tool_result")
    assert result.is_error
    assert "cents" in result.content[0].text
    assert shop.counter.done == []


async def test_policies_that_changed_hold_for_the_next_call(shop: Shop, ann: AsyncAnthropic):
    talk = await begin(ann)
    await talk.turn("small")
    shop.change(
        "permit (principal is Agent, action, resource);",
        'permit (principal is Agent, action in Action::"read", resource);',
    )
    shown = await talk.turn("small")
    assert of(shown, "agent.mcp_tool_use")[-1].evaluated_permission == "deny"
    assert shop.counter.done == ["refunded 500 of ch_1"]
    shown = await talk.turn("look")
    assert of(shown, "agent.mcp_tool_use")[-1].evaluated_permission == "allow"


async def test_a_session_gives_up_what_it_does_not_need_and_keeps_to_it(
    shop: Shop, ann: AsyncAnthropic
):
    talk = await begin(ann, metadata={"wharfkeep.deny": "mcp__desk__refund"})
    shown = await talk.turn("small")
    [use] = of(shown, "agent.mcp_tool_use")
    assert use.evaluated_permission == "deny"
    assert use.evaluation.evaluated_permission.reason_code == "session_rules"
    told = shop.running.told()
    assert "mcp__pay__get_charge" in told
    assert "mcp__pay__refund" not in told
    with pytest.raises(BadRequestError, match="and stay"):
        await ann.beta.sessions.update(talk.id, metadata={"wharfkeep.deny": ""})
    with pytest.raises(BadRequestError, match="metadata: Sing: there is no such tool"):
        await begin(ann, metadata={"wharfkeep.ask": "Sing"})


async def test_what_a_session_asks_about_is_confirmed_as_usual(shop: Shop, ann: AsyncAnthropic):
    talk = await begin(ann, metadata={"wharfkeep.ask": "mcp__desk__*"})
    [use] = of(await talk.turn("small"), "agent.mcp_tool_use")
    assert use.evaluated_permission == "ask"
    await talk.turn(allow(use))
    assert shop.counter.done == ["refunded 500 of ch_1"]


async def test_the_model_is_told_of_the_tools_that_may_run(shop: Shop, ann: AsyncAnthropic):
    shop.change(
        "permit (principal is Agent, action, resource);",
        'permit (principal is Agent, action in Action::"read", resource);',
    )
    talk = await begin(ann)
    await talk.turn("look")
    assert shop.running.told() == ["mcp__pay__get_charge", "mcp__pay__read_note"]


async def test_a_session_that_has_read_strangers_stays_one(shop: Shop, ann: AsyncAnthropic):
    talk = await begin(ann)
    shown = await talk.turn("careless")
    note, refund = of(shown, "agent.mcp_tool_use")
    assert (note.evaluated_permission, refund.evaluated_permission) == ("allow", "deny")
    shown = await talk.turn("small")
    assert of(shown, "agent.mcp_tool_use")[-1].evaluated_permission == "deny"
    assert shop.counter.done == ["read the note of ch_1"]
    assert [record["body"]["state"]["read_untrusted"] for record in shop.audit(talk.id)] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("kind", ["tool", "server", "agent", "user", "workspace"])
async def test_a_kill_switch_holds_for_the_next_call_and_no_longer_than_wanted(
    shop: Shop, ann: AsyncAnthropic, kind: str
):
    talk = await begin(ann)
    await talk.turn("small")
    session = await talk.state()
    actor = shop.audit(talk.id)[0]["actor"]
    subjects = {
        "tool": "desk.refund",
        "server": "desk",
        "agent": session.agent.id,
        "user": actor,
        "workspace": shop.workspace,
    }
    switch = {"kind": kind, "subject": subjects[kind], "reason": "an incident"}
    with shop.running.administrator().raw() as http:
        thrown = http.post("/wharfkeep/v1/policy/switches", json=switch)
        assert thrown.status_code == 200, thrown.text
        shown = await talk.turn("small")
        [_, use] = of(await talk.log(), "agent.mcp_tool_use")
        assert (use.evaluated_permission, use.evaluation) == ("deny", None)
        del switch["reason"]
        lifted = http.post("/wharfkeep/v1/policy/switches/lift", json=switch)
        assert lifted.status_code == 200, lifted.text
    shown = await talk.turn("small")
    assert of(shown, "agent.mcp_tool_use")[-1].evaluated_permission == "allow"
    assert len(shop.counter.done) == 2
