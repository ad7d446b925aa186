"""A session's own copy of its agent: overrides, and what the environment allows."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from httpx2 import Client

from tests.api.building import (
    MCP_TOOLSET,
    SERVER,
    TOOLSET,
    make_agent,
    make_environment,
    make_session,
)
from tests.gateway import MODEL
from tests.ledger.requirement import requirement
from tests.wire.bodies import CUSTOM

SKILL = {"type": "anthropic", "skill_id": "pdf"}


def _overridden(agent: Any, **overrides: Any) -> dict[str, Any]:
    return {"type": "agent_with_overrides", "id": agent.id, **overrides}


@pytest.fixture
def agent(client: Anthropic) -> Any:
    return make_agent(
        client,
        system="Be brief.",
        tools=[TOOLSET, MCP_TOOLSET],
        mcp_servers=[SERVER],
        skills=[SKILL],
        model={"id": MODEL, "effort": "low", "inference_geo": "us"},
    )


@requirement("sessions:create:snapshot")
def test_later_updates_of_the_agent_do_not_reach_the_session(client: Anthropic, agent: Any):
    session = make_session(client, agent=agent.id)
    client.beta.agents.update(agent.id, name="Bea", system=None)
    again = client.beta.sessions.retrieve(session.id)
    assert again.agent == session.agent
    copied = ("name", "system", "model", "tools", "mcp_servers", "skills", "execution_identity")
    shown, original = again.agent.to_dict(), agent.to_dict()
    assert {key: shown[key] for key in copied} == {key: original[key] for key in copied}
    assert "metadata" not in shown


@requirement("sessions:create:overrides")
def test_overrides_replace_clear_and_inherit(client: Anthropic, agent: Any):
    session = make_session(
        client,
        agent=_overridden(
            agent,
            model="claude-sonnet-5-5",
            system=None,
            tools=[CUSTOM],
            mcp_servers=[],
            skills=None,
        ),
    ).agent
    assert (session.id, session.version, session.name) == (agent.id, 1, "Ada")
    assert session.model.to_dict() == {
        "id": "claude-sonnet-5-5",
        "effort": {"type": "high"},
        "inference_geo": None,
        "speed": "standard",
    }
    assert (session.system, session.mcp_servers, session.skills) == (None, [], [])
    assert [tool.type for tool in session.tools] == ["custom"]
    inherited = make_session(client, agent=_overridden(agent, version=1)).agent
    assert inherited.to_dict() == make_session(client, agent=agent.id).agent.to_dict()
    assert client.beta.agents.retrieve(agent.id) == agent


@requirement("sessions:create:overrides")
def test_an_overriding_model_brings_its_own_effort(client: Anthropic, agent: Any):
    model = {"id": MODEL, "effort": "max"}
    session = make_session(client, agent=_overridden(agent, model=model))
    assert session.agent.model.effort is not None
    assert session.agent.model.effort.type == "max"


@requirement("sessions:create:override-model-null")
def test_the_model_cannot_be_cleared(raw: Client, client: Anthropic, agent: Any):
    environment = make_environment(client)
    body = {"agent": _overridden(agent, model=None), "environment_id": environment.id}
    answer = raw.post("/v1/sessions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {"error_code": "agent_model_required"}


@requirement("sessions:create:override-clears")
@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"tools": None}, "agent.mcp_servers.0.name"),
        ({"tools": [], "mcp_servers": []}, "agent.skills"),
        ({"mcp_servers": None}, "agent.tools.1.mcp_server_name"),
        (
            {"tools": [{**TOOLSET, "configs": [{"name": "read", "enabled": False}]}, MCP_TOOLSET]},
            "agent.skills",
        ),
    ],
)
def test_what_is_left_must_fit_together(client: Anthropic, agent: Any, overrides: Any, field: str):
    with pytest.raises(anthropic.BadRequestError, match=field):
        make_session(client, agent=_overridden(agent, **overrides))


def test_a_bad_model_in_an_override_is_named_by_its_path(client: Anthropic, agent: Any):
    model = {"id": "claude-sonnet-5-5", "speed": "fast"}
    with pytest.raises(anthropic.BadRequestError, match=r"'agent\.model\.speed: "):
        make_session(client, agent=_overridden(agent, model=model))


@requirement("environments:cloud:limited")
@pytest.mark.parametrize(
    ("networking", "reachable"),
    [
        ({"type": "unrestricted"}, True),
        ({"type": "limited"}, False),
        ({"type": "limited", "allow_mcp_servers": True}, True),
        ({"type": "limited", "allowed_hosts": ["docs.example.com"]}, True),
        ({"type": "limited", "allowed_hosts": ["*.example.com"]}, True),
        ({"type": "limited", "allowed_hosts": ["example.com", "*.docs.example.com"]}, False),
        (None, True),
    ],
    ids=str,
)
def test_limited_networking_must_let_every_mcp_server_be_reached(
    client: Anthropic, networking: Any, reachable: bool
):
    config: Any = {"type": "cloud", "networking": networking}
    environment = make_environment(client, config=config if networking else {"type": "self_hosted"})
    own = make_agent(client, tools=[MCP_TOOLSET], mcp_servers=[SERVER])
    lead = make_agent(client, multiagent={"type": "coordinator", "agents": [own.id]})
    for agent in (own, lead):
        if reachable:
            make_session(client, agent=agent.id, environment_id=environment.id)
        else:
            with pytest.raises(anthropic.BadRequestError, match=r"docs\.example\.com"):
                make_session(client, agent=agent.id, environment_id=environment.id)
