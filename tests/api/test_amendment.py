"""Changing a session while it lives."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from gateway.errors import Fenced
from gateway.store.records import Claim
from tests.api.building import (
    MCP_TOOLSET,
    SERVER,
    TOOLSET,
    make_agent,
    make_environment,
    make_session,
    message,
    turn,
)
from tests.gateway import SLOW, Running, Tenant
from tests.ledger.requirement import requirement

LIMIT: Any = {"type": "limit", "max_list_cost": {"amount": "100", "currency": "USD"}}


def _updates(client: Anthropic, session: str) -> list[dict[str, Any]]:
    listed = client.beta.sessions.events.list(session, types=["session.updated"])
    events = [event.to_dict() for event in listed]
    return [{key: e[key] for key in e if key not in ("id", "type", "processed_at")} for e in events]


@requirement("sessions:update:title")
def test_only_what_changed_is_announced(client: Anthropic):
    session = make_session(client, title="Old", metadata={"a": "1"})
    update = client.beta.sessions.update
    assert update(session.id, title="New").title == "New"
    patched = update(session.id, title="New", metadata={"a": None, "b": "2"})
    assert patched.metadata == {"b": "2"}
    assert update(session.id, title="New", metadata={"b": "2"}).title == "New"
    assert update(session.id, title=None).title is None
    assert _updates(client, session.id) == [
        {"title": "New"},
        {"metadata": {"b": "2"}},
        {"title": None},
    ]


@requirement("sessions:update:title")
def test_an_open_stream_hears_of_a_change(client: Anthropic):
    session = make_session(client)
    with client.beta.sessions.events.stream(session.id) as stream:
        client.beta.sessions.update(session.id, title="New")
        event = next(iter(stream))
    assert event.type == "session.updated"
    assert event.title == "New"
    (listed,) = client.beta.sessions.events.list(session.id)
    assert listed.id == event.id


@requirement("sessions:update:title")
def test_metadata_of_a_session_keeps_its_cap(client: Anthropic):
    session = make_session(client, metadata={str(n): "" for n in range(10)})
    with pytest.raises(anthropic.BadRequestError, match="metadata: at most 16"):
        client.beta.sessions.update(session.id, metadata={f"more {n}": "" for n in range(7)})


@requirement("sessions:update:agent")
def test_tools_and_servers_are_replaced_for_this_session_alone(client: Anthropic):
    agent = make_agent(client, tools=[TOOLSET])
    session = make_session(client, agent=agent.id)
    changed = client.beta.sessions.update(
        session.id,
        agent={"tools": [MCP_TOOLSET], "mcp_servers": [SERVER]},  # pyright: ignore[reportArgumentType] - plain dicts
    )
    assert [tool.type for tool in changed.agent.tools] == ["mcp_toolset"]
    assert changed.agent.mcp_servers[0].name == "docs"
    (update,) = _updates(client, session.id)
    assert update == {"agent": changed.agent.to_dict(mode="python")}
    (thread,) = client.beta.sessions.threads.list(session.id)
    assert thread.agent.tools == changed.agent.tools  # pyright: ignore[reportAttributeAccessIssue] - the primary's is an agent
    assert client.beta.agents.retrieve(agent.id) == agent
    back: Any = {"tools": changed.to_dict()["agent"]["tools"]}  # pyright: ignore[reportIndexIssue] - JSON
    client.beta.sessions.update(session.id, agent=back)
    assert len(_updates(client, session.id)) == 1


@requirement("sessions:update:agent")
def test_replaced_tools_must_fit_the_rest_and_the_network(client: Anthropic):
    closed: Any = {"type": "cloud", "networking": {"type": "limited"}}
    environment = make_environment(client, config=closed)
    session = make_session(client, environment_id=environment.id)
    patch: Any = {"tools": [MCP_TOOLSET]}
    with pytest.raises(anthropic.BadRequestError, match=r"agent\.tools\.0\.mcp_server_name"):
        client.beta.sessions.update(session.id, agent=patch)
    patch["mcp_servers"] = [SERVER]
    with pytest.raises(anthropic.BadRequestError, match=r"docs\.example\.com"):
        client.beta.sessions.update(session.id, title="New", agent=patch)
    assert client.beta.sessions.retrieve(session.id).title is None


@requirement("sessions:update:agent-running")
def test_a_running_sessions_tools_stay_but_its_title_can_change(client: Anthropic):
    session = make_session(client, initial_events=[message(SLOW)])
    with pytest.raises(anthropic.BadRequestError, match="running"):
        client.beta.sessions.update(session.id, title="New", agent={"tools": []})
    assert client.beta.sessions.update(session.id, title="New").title == "New"
    turn(client, session.id, {"type": "user.interrupt"})
    types = [event.type for event in client.beta.sessions.events.list(session.id)]
    assert types.count("session.updated") == 1


@requirement("sessions:update:vaults")
def test_vaults_cannot_be_changed(client: Anthropic):
    with pytest.raises(anthropic.BadRequestError, match="vault_ids"):
        client.beta.sessions.update(make_session(client).id, vault_ids=[])


@requirement("sessions:update:archived")
def test_an_ended_session_cannot_be_changed(client: Anthropic):
    session = client.beta.sessions.archive(make_session(client).id)
    with pytest.raises(anthropic.BadRequestError, match="ended"):
        client.beta.sessions.update(session.id, title="New")


@requirement("sessions:budget:create-only")
def test_a_budget_is_set_at_the_start_or_never(client: Anthropic):
    session = make_session(client)
    capped = make_session(client, budget=LIMIT)
    removed = client.beta.sessions.update(capped.id, budget=None)
    assert removed.budget is None
    for which in (session, capped):
        with pytest.raises(anthropic.BadRequestError) as refusal:
            client.beta.sessions.update(which.id, budget=LIMIT)
        assert refusal.value.error_code == "budget_create_only"
    assert _updates(client, capped.id) == [{"budget": None}]


def test_a_runner_on_its_way_to_rest_does_not_bring_an_ended_session_back(
    client: Anthropic, gateway: Running, tenant: Tenant
):
    session = make_session(client)
    store, now = gateway.gateway.store, gateway.gateway.clock.now

    async def claim() -> Claim | None:
        return await store.log.claim(session=session.id, owner=store.leases.owner, now=now())

    async def rest(claim: Claim) -> None:
        await store.log.append(
            session=session.id,
            epoch=claim.epoch,
            owner=store.leases.owner,
            events=[],
            head=claim.session.head,
            release=True,
            now=now(),
        )

    claimed = gateway.call(claim)
    assert client.beta.sessions.archive(session.id).status == "terminated"
    with pytest.raises(Fenced):
        gateway.call(rest, claimed)
    assert client.beta.sessions.retrieve(session.id).status == "terminated"
