"""Sessions: made, shown, listed, ended."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from httpx2 import Client

from tests.api.building import (
    make_agent,
    make_environment,
    make_session,
    message,
    say,
    turn,
    until_idle,
)
from tests.gateway import ASK, MODEL, SLOW, TOOL
from tests.ledger.requirement import requirement

OUTCOME: Any = {
    "type": "user.define_outcome",
    "description": "A report",
    "rubric": {"type": "text", "content": "It is short."},
}


@requirement("sessions:create:idle", "sessions:create:agent-id", "transport:ids:prefix")
def test_a_session_without_events_is_idle(client: Anthropic):
    agent = make_agent(client)
    session = make_session(client, agent=agent.id, title="Test", metadata={"a": "1"})
    assert session.id.startswith("sesn_01")
    assert (session.type, session.status, session.title) == ("session", "idle", "Test")
    assert (session.agent.id, session.agent.version) == (agent.id, 1)
    assert (session.metadata, session.resources, session.vault_ids) == ({"a": "1"}, [], [])
    assert (session.budget, session.deployment_id, session.archived_at) == (None, None, None)
    assert session.outcome_evaluations == []
    assert [e.type for e in client.beta.sessions.events.list(session.id)] == []


@requirement("sessions:create:initial-events")
def test_initial_events_start_the_first_turn(client: Anthropic):
    session = make_session(client, initial_events=[message("Hello"), message("Are you there?")])
    assert session.status == "running"
    with client.beta.sessions.events.stream(session.id) as stream:
        until_idle(stream)
    log = list(client.beta.sessions.events.list(session.id))
    assert [e.content[0].text for e in log if e.type == "user.message"] == [  # pyright: ignore[reportAttributeAccessIssue] - both are texts
        "Hello",
        "Are you there?",
    ]
    assert client.beta.sessions.retrieve(session.id).status == "idle"


@requirement("sessions:create:initial-types", "sessions:create:initial-atomic")
@pytest.mark.parametrize(
    "bad",
    [
        {"type": "user.interrupt"},
        {"type": "system.message", "content": [{"type": "text", "text": "Hi"}]},
        {"type": "user.message", "content": []},
        {"type": "user.define_outcome", "description": "A report"},
        {**OUTCOME, "rubric": {"type": "file", "file_id": "file_01none"}},
    ],
    ids=lambda bad: bad["type"],
)
def test_one_bad_initial_event_and_nothing_is_created(client: Anthropic, bad: Any):
    with pytest.raises(
        (anthropic.BadRequestError, anthropic.NotFoundError), match="initial_events"
    ):
        make_session(client, initial_events=[message("Hello"), bad])
    assert list(client.beta.sessions.list()) == []


@requirement("sessions:create:initial-outcome")
def test_only_one_outcome_can_be_defined_at_the_start(client: Anthropic):
    with pytest.raises(anthropic.BadRequestError, match=r"initial_events\[1\]"):
        make_session(client, initial_events=[OUTCOME, OUTCOME])


@requirement("sessions:create:unknown", "transport:workspace:foreign-id")
def test_what_a_session_is_made_of_must_exist_here(client: Anthropic, stranger: Anthropic):
    agent, environment = make_agent(client), make_environment(client)
    theirs = make_environment(stranger)
    for fields, named in (
        ({"agent": "agent_01none"}, "agent"),
        ({"agent": {"type": "agent", "id": agent.id, "version": 2}}, "agent"),
        ({"agent": make_agent(stranger).id}, "agent"),
        ({"environment_id": "env_01none"}, "environment_id"),
        ({"environment_id": theirs.id}, "environment_id"),
    ):
        with pytest.raises(anthropic.NotFoundError, match=f"'{named}: "):
            make_session(client, **{"agent": agent.id, "environment_id": environment.id, **fields})
    assert list(client.beta.sessions.list()) == []


@requirement("sessions:create:limits")
@pytest.mark.parametrize(
    "fields",
    [
        {"title": "t" * 1025},
        {"metadata": {str(n): "" for n in range(17)}},
        {"vault_ids": ["vlt_01x"] * 101},
        {"metadata": {"k": 1}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_sessions_own_fields_have_their_limits(client: Anthropic, fields: Any):
    with pytest.raises(anthropic.BadRequestError, match=next(iter(fields))):
        make_session(client, **fields)


@requirement("sessions:usage:counters", "sessions:usage:list-cost", "sessions:stats:seconds")
def test_usage_and_times_grow_with_each_turn(client: Anthropic):
    session = make_session(client)
    assert (session.usage.input_tokens, session.usage.output_tokens) == (0, 0)
    assert session.usage.list_cost is not None
    assert session.usage.list_cost.amount == "0"
    turn(client, session.id, message("Hello"))
    first = client.beta.sessions.retrieve(session.id)
    turn(client, session.id, message("And again"))
    second = client.beta.sessions.retrieve(session.id)
    for one, two in ((first.usage, second.usage), (first.stats, second.stats)):
        assert two.active_seconds is not None
        assert one.active_seconds is not None
        assert two.active_seconds >= one.active_seconds >= 0
    assert second.usage.input_tokens is not None
    assert first.usage.input_tokens is not None
    assert second.usage.input_tokens > first.usage.input_tokens > 0
    assert second.usage.cache_creation is not None
    assert second.usage.server_tool_use is not None
    assert second.stats.duration_seconds is not None
    assert second.stats.duration_seconds >= (second.stats.active_seconds or 0)


@requirement("sessions:usage:list-cost")
def test_a_model_without_a_price_shows_no_cost(client: Anthropic):
    session = make_session(client, agent=make_agent(client, model="our-model").id)
    assert session.usage.list_cost is None
    assert "list_cost" not in session.usage.to_dict()


@requirement("sessions:status:aggregate")
def test_a_session_at_work_is_running_from_the_moment_it_was_asked(client: Anthropic):
    session = make_session(client)
    say(client, session.id, SLOW)
    assert client.beta.sessions.retrieve(session.id).status == "running"
    seen = turn(client, session.id, {"type": "user.interrupt"})
    assert seen[-1].type == "session.status_idle"
    assert client.beta.sessions.retrieve(session.id).status == "idle"


@requirement("sessions:list:filters", "pagination:order:newest-first", "sessions:list:order")
def test_the_list_has_every_filter(client: Anthropic):
    agent = make_agent(client)
    client.beta.agents.update(agent.id, name="Bea")
    environment = make_environment(client).id
    old = {"type": "agent", "id": agent.id, "version": 1}
    one = make_session(client, agent=old, environment_id=environment)
    two = make_session(client, agent=agent.id, environment_id=environment)
    three = make_session(client, environment_id=environment)
    say(client, three.id, SLOW)

    def ids(**filters: Any) -> list[str]:
        return [session.id for session in client.beta.sessions.list(**filters)]

    assert ids() == [three.id, two.id, one.id]
    assert ids(order="asc") == [one.id, two.id, three.id]
    assert ids(agent_id=agent.id) == [two.id, one.id]
    assert ids(agent_id=agent.id, agent_version=1) == [one.id]
    assert ids(created_at_gt=one.created_at) == [three.id, two.id]
    assert ids(created_at_gte=two.created_at, created_at_lt=three.created_at) == [two.id]
    assert ids(created_at_lte=one.created_at) == [one.id]
    assert ids(deployment_id="depl_01none") == ids(memory_store_id="memstore_01none") == []
    assert ids(statuses=["running"]) == [three.id]
    assert ids(statuses=["idle", "terminated"]) == [two.id, one.id]
    with pytest.raises(anthropic.BadRequestError, match="agent_version"):
        ids(agent_version=1)


@requirement("sessions:list:archived", "sessions:archive:terminates", "sessions:archive:readable")
def test_an_archived_session_ends_and_stays_readable(client: Anthropic):
    session = make_session(client)
    turn(client, session.id, message("Hello"))
    archived = client.beta.sessions.archive(session.id)
    assert (archived.status, archived.archived_at is None) == ("terminated", False)
    assert client.beta.sessions.archive(session.id) == archived
    assert client.beta.sessions.retrieve(session.id) == archived
    log = [event.type for event in client.beta.sessions.events.list(session.id)]
    assert log[0] == "user.message"
    assert log[-2:] == ["session.thread_status_terminated", "session.status_terminated"]
    with pytest.raises(anthropic.BadRequestError, match="ended"):
        say(client, session.id, "Hello again")
    assert list(client.beta.sessions.list()) == []
    assert [s.id for s in client.beta.sessions.list(include_archived=True)] == [session.id]
    (thread,) = client.beta.sessions.threads.list(session.id)
    assert (thread.status, thread.archived_at is None) == ("terminated", False)


@requirement("sessions:stats:seconds")
def test_the_duration_of_an_ended_session_stands_still(client: Anthropic):
    session = make_session(client)
    archived = client.beta.sessions.archive(session.id)
    assert (
        archived.stats.duration_seconds
        == client.beta.sessions.retrieve(session.id).stats.duration_seconds
    )
    assert archived.stats.duration_seconds == pytest.approx(  # pyright: ignore[reportUnknownMemberType] - pytest's own
        (archived.updated_at - archived.created_at).total_seconds(), abs=0.001
    )


@requirement("sessions:archive:running", "sessions:delete:running")
def test_a_running_session_is_neither_archived_nor_deleted(client: Anthropic):
    session = make_session(client, initial_events=[message(SLOW)])
    for end in (client.beta.sessions.archive, client.beta.sessions.delete):
        with pytest.raises(anthropic.BadRequestError, match="interrupt it first"):
            end(session.id)
    turn(client, session.id, {"type": "user.interrupt"})
    assert client.beta.sessions.archive(session.id).status == "terminated"


@requirement("sessions:delete:answer")
def test_a_deleted_session_is_gone_with_its_history(client: Anthropic):
    session = make_session(client)
    turn(client, session.id, message("Hello"))
    deleted = client.beta.sessions.delete(session.id)
    assert deleted.to_dict() == {"id": session.id, "type": "session_deleted"}
    for call in (
        client.beta.sessions.retrieve,
        client.beta.sessions.delete,
        client.beta.sessions.archive,
        client.beta.sessions.events.list,
        client.beta.sessions.events.stream,
        client.beta.sessions.threads.list,
    ):
        with pytest.raises(anthropic.NotFoundError):
            call(session.id)


@requirement("sessions:delete:answer")
def test_archived_and_waiting_sessions_can_be_deleted(client: Anthropic):
    archived = make_session(client)
    client.beta.sessions.archive(archived.id)
    agent = make_agent(client, tools=[TOOL])
    waiting = make_session(client, agent=agent.id)
    turn(client, waiting.id, message(ASK))
    for session in (archived, waiting):
        assert client.beta.sessions.delete(session.id).id == session.id
    assert list(client.beta.sessions.list(include_archived=True)) == []


@requirement("sessions:delete:stream", "streams:end:deleted")
def test_open_streams_hear_of_the_deletion_and_end(client: Anthropic):
    session = make_session(client)
    with client.beta.sessions.events.stream(session.id) as stream:
        client.beta.sessions.delete(session.id)
        assert [event.type for event in stream] == ["session.deleted"]


@requirement("sessions:create:agent-version")
def test_a_version_can_be_pinned_from_one_on(raw: Client, client: Anthropic):
    agent = make_agent(client)
    client.beta.agents.update(agent.id, name="Bea")
    pinned = make_session(client, agent={"type": "agent", "id": agent.id, "version": 1})
    assert (pinned.agent.name, pinned.agent.version) == ("Ada", 1)
    for version in (0, -1, "1", 1.5, None):
        reference = {"type": "agent", "id": agent.id, "version": version}
        body = {"agent": reference, "environment_id": pinned.environment_id}
        answer = raw.post("/v1/sessions", json=body)
        assert answer.status_code == 400
        assert "agent.version: " in answer.json()["error"]["message"]


@requirement("sessions:budget:amount")
@pytest.mark.parametrize("amount", ["0", "-1", "25.00", "007", "", " 5", "1e3", 25, None])
def test_a_budget_is_whole_cents_as_text(raw: Client, client: Anthropic, amount: object):
    session = make_session(client)
    budget = {"type": "limit", "max_list_cost": {"amount": amount, "currency": "USD"}}
    body = {"agent": session.agent.id, "environment_id": session.environment_id, "budget": budget}
    answer = raw.post("/v1/sessions", json=body)
    assert answer.status_code == 400
    assert "budget.max_list_cost.amount: " in answer.json()["error"]["message"]


@requirement("sessions:budget:priced")
def test_everything_a_budgeted_session_can_run_has_a_price(client: Anthropic):
    limit: Any = {"type": "limit", "max_list_cost": {"amount": "100", "currency": "USD"}}
    ours = make_agent(client, model="our-model")
    lead = make_agent(client, multiagent={"type": "coordinator", "agents": [ours.id]})
    advised = make_agent(
        client,
        multiagent={
            "type": "multiagent_20261001",
            "advisor": {"type": "enabled", "model": "our-model"},
        },
    )
    for agent in (ours, lead, advised):
        with pytest.raises(anthropic.BadRequestError, match="our-model") as refusal:
            make_session(client, agent=agent.id, budget=limit)
        assert refusal.value.error_code == "model_not_budgetable"
    budgeted = make_session(client, agent=make_agent(client, model=MODEL).id, budget=limit)
    assert budgeted.budget is not None
    assert budgeted.budget.to_dict() == limit
