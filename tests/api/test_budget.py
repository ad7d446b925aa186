"""Caps on what a session may cost, at a price that makes every turn dear."""

from collections.abc import Generator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.api.building import make_agent, make_session, message, turn, until_idle
from tests.gateway import ASK, TOOL, serve
from tests.ledger.requirement import requirement

DEAR = {"input": 1_000_000, "output": 0}
"""A dollar for each token that is read."""


@pytest.fixture(scope="module")
def dear(tmp_path_factory: pytest.TempPathFactory) -> Generator[Anthropic]:
    prices = {"models": {"prices": {"our-model": DEAR}}}
    with (
        serve(tmp_path_factory.mktemp("dear"), prices) as running,
        running.tenant().client() as client,
    ):
        yield client


def _limit(cents: int) -> Any:
    return {"type": "limit", "max_list_cost": {"amount": str(cents), "currency": "USD"}}


def _session(client: Anthropic, cents: int) -> str:
    agent = make_agent(client, model="our-model", tools=[TOOL])
    return make_session(client, agent=agent.id, budget=_limit(cents)).id


def _cost(client: Anthropic, session: str) -> int:
    cost = client.beta.sessions.retrieve(session).usage.list_cost
    assert cost is not None
    return int(cost.amount)


@requirement("sessions:budget:raised", "sessions:usage:list-cost")
def test_a_new_cap_is_above_what_was_spent(dear: Anthropic):
    session = _session(dear, 10**9)
    turn(dear, session, message("Hello"))
    spent = _cost(dear, session)
    assert spent > 100
    with pytest.raises(anthropic.BadRequestError, match="greater than the consumed") as refusal:
        dear.beta.sessions.update(session, budget=_limit(spent))
    assert refusal.value.error_code == "budget_not_raised"
    lowered = dear.beta.sessions.update(session, budget=_limit(spent + 1))
    assert lowered.budget is not None
    assert lowered.budget.max_list_cost.amount == str(spent + 1)
    same = dear.beta.sessions.update(session, budget=_limit(spent + 1))
    assert same.budget == lowered.budget


@requirement("sessions:budget:pauses", "sessions:budget:settle-events")
def test_at_the_cap_work_stops_and_raising_it_goes_on(dear: Anthropic):
    session = _session(dear, 1)
    with dear.beta.sessions.events.stream(session) as stream:
        dear.beta.sessions.events.send(session, events=[message(ASK)])
        *_, idle = until_idle(stream)
        assert idle.type == "session.status_idle"
        assert idle.stop_reason.type == "requires_action"
        (call,) = idle.stop_reason.event_ids
        answer: Any = {"type": "user.custom_tool_result", "custom_tool_use_id": call}
        dear.beta.sessions.events.send(session, events=[answer])
        *_, idle = until_idle(stream)
        assert idle.type == "session.status_idle"
        assert idle.stop_reason.type == "budget_reached"
        with pytest.raises(anthropic.BadRequestError, match="only these events"):
            dear.beta.sessions.events.send(session, events=[message("Hello")])
        dear.beta.sessions.update(session, budget=_limit(10**9))
        *rest, idle = until_idle(stream)
        assert idle.type == "session.status_idle"
        assert idle.stop_reason.type == "end_turn"
        assert "agent.message" in [event.type for event in rest]
