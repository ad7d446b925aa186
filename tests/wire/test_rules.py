"""Rules that tie several fields of one body together."""

from typing import Any

import pytest

from gateway.errors import InvalidRequest
from gateway.wire import rules
from gateway.wire.requests import (
    AGENT_CREATE,
    ENVIRONMENT_CREATE,
    EVENTS_SEND,
    SESSION_CREATE,
    SESSION_UPDATE,
)
from tests.ledger.requirement import requirement
from tests.wire.bodies import (
    CUSTOM,
    MCP_TOOLSET,
    MESSAGE,
    OUTCOME,
    SERVER,
    SYSTEM,
    TOOLSET,
    accepted,
    agent,
    config,
    environment,
    refused,
    session,
)

_SKILLS: list[dict[str, Any]] = [{"type": "anthropic", "skill_id": "xlsx"}]
_RESULT: dict[str, Any] = {"type": "user.tool_result", "tool_use_id": "sevt_01"}
_CUSTOM_RESULT = {"type": "user.custom_tool_result", "custom_tool_use_id": "sevt_01"}
_INTERRUPT = {"type": "user.interrupt"}
_CONFIRMATION = {"type": "user.tool_confirmation", "tool_use_id": "sevt_01"}


def _only(*names: str) -> dict[str, Any]:
    tools = [{"type": "tool_reference", "name": name} for name in names]
    return {"type": "only", "tools": tools}


def _sources(**sources: Any) -> dict[str, Any]:
    fetch = {"name": "web_fetch", "url_sources": sources}
    return agent(tools=[{**TOOLSET, "configs": [fetch]}, CUSTOM])


def _file_documents(count: int) -> dict[str, Any]:
    block = {"type": "document", "source": {"type": "file", "file_id": "file_01"}}
    return {"type": "user.message", "content": [block] * count}


@requirement("agents:mcp:unreferenced", "agents:mcp:dangling", "agents:create:servers-cap")
@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            agent(mcp_servers=[SERVER]),
            "mcp_servers.0.name: no mcp_toolset in tools refers to 'docs'",
        ),
        (agent(tools=[MCP_TOOLSET]), "tools.0.mcp_server_name: 'docs' is not the name of a server"),
        (
            agent(tools=[MCP_TOOLSET] * 2, mcp_servers=[SERVER]),
            "tools.1.mcp_server_name: 'docs' already has",
        ),
        (
            agent(tools=[MCP_TOOLSET], mcp_servers=[SERVER] * 2),
            "mcp_servers.1: 'docs' is used twice",
        ),
        (agent(mcp_servers=[SERVER] * 21), "mcp_servers: List should have at most 20 items"),
    ],
)
def test_servers_and_toolsets_belong_together(body: dict[str, Any], told: str):
    assert refused(AGENT_CREATE, body).startswith(told)


@requirement("agents:toolset:once")
@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ([TOOLSET, TOOLSET], "tools.1: an agent can have only one"),
        (
            [{**TOOLSET, "configs": [{"name": "bash"}] * 2}],
            "tools.0.configs.1: 'bash' is configured twice",
        ),
        ([CUSTOM, CUSTOM], "tools.1.name: 'lookup' is used twice"),
    ],
)
def test_nothing_is_there_twice(tools: list[dict[str, Any]], told: str):
    assert refused(AGENT_CREATE, agent(tools=tools)).startswith(told)


@requirement("agents:create:tools-cap")
def test_at_most_256_tools_across_all_toolsets():
    custom = [{**CUSTOM, "name": f"tool_{n}"} for n in range(249)]
    accepted(AGENT_CREATE, agent(tools=[TOOLSET, *custom[:248]]))
    assert "at most 256 tools" in refused(AGENT_CREATE, agent(tools=[TOOLSET, *custom]))


@requirement("agents:web:exclusive")
@pytest.mark.parametrize("tool", ["web_fetch", "web_search"])
def test_domains_are_allowed_or_blocked(tool: str):
    both = {"allowed_domains": ["a.org"], "blocked_domains": ["b.org"]}
    told = refused(AGENT_CREATE, config(name=tool, **both))
    assert told == "tools.0.configs.0: allowed_domains and blocked_domains cannot be combined"


@requirement("agents:web:url-sources")
@pytest.mark.parametrize(
    ("body", "told"),
    [
        (_sources(user_input="none", client_tool_results="none", server_tool_results={"type": "none"}), "url_sources: at least one source"),
        (_sources(client_tool_results=_only("lookup", "Lookup")), "client_tool_results.tools.1.name: 'Lookup' is not a custom tool"),
        (_sources(server_tool_results=_only("bash")), "server_tool_results.tools.0.name: 'bash' is not a server tool"),
        (_sources(server_tool_results=_only("web_search", "web_search")), "server_tool_results.tools.1: 'web_search' is listed twice"),
        (_sources(server_tool_results=_only()), "server_tool_results.tools: List should have at least 1"),
    ],
)  # fmt: skip
def test_url_sources_name_tools_of_the_right_kind(body: dict[str, Any], told: str):
    assert told in refused(AGENT_CREATE, body)


def test_url_sources_that_leave_something_are_fine():
    for sources in ({"user_input": "none"}, {"client_tool_results": _only("lookup")}, {}):
        assert accepted(AGENT_CREATE, _sources(**sources)) == _sources(**sources)


@requirement("agents:skills:need-read")
@pytest.mark.parametrize(
    ("tools", "works"),
    [
        ([], False),
        ([TOOLSET], True),
        ([{**TOOLSET, "configs": [{"name": "read", "enabled": False}]}], False),
        ([{**TOOLSET, "default_config": {"enabled": False}}], False),
        ([{**TOOLSET, "default_config": {"enabled": False}, "configs": [{"name": "read", "enabled": True}]}], True),
        ([{**TOOLSET, "default_config": {"enabled": None}, "configs": [{"name": "read"}]}], True),
    ],
)  # fmt: skip
def test_skills_need_an_enabled_read_tool(tools: list[dict[str, Any]], *, works: bool):
    body = agent(skills=_SKILLS, tools=tools)
    if works:
        accepted(AGENT_CREATE, body)
    else:
        assert refused(AGENT_CREATE, body).startswith("skills: ")


@requirement("agents:multiagent:coordinator", "agents:multiagent:inline-disabled")
@pytest.mark.parametrize(
    ("multiagent", "told"),
    [
        ({"type": "coordinator", "agents": []}, "multiagent.agents: List should have at least 1"),
        ({"type": "coordinator", "agents": ["a"] * 21}, "multiagent.agents: List should have at most 20"),
        ({"type": "coordinator", "agents": ["a", {"type": "agent", "id": "a"}]}, "multiagent.agents.1: 'a' is listed twice"),
        ({"type": "coordinator", "agents": [{"type": "self"}] * 2}, "multiagent.agents.1: 'self' is listed twice"),
        ({"type": "coordinator", "agents": [{"type": "advisor", "model": "m"}, {"type": "advisor", "model": "n"}]}, "multiagent.agents.1: 'advisor' is listed twice"),
        ({"type": "multiagent_20261001", "subagents": {"type": "enabled", "inline_agents": {"type": "disabled"}}}, "multiagent.subagents.predefined_agents: name at least one"),
        ({"type": "multiagent_20261001", "advisor": {"type": "enabled"}}, "multiagent.advisor.model: Field required"),
    ],
)  # fmt: skip
def test_a_roster_lists_distinct_agents(multiagent: dict[str, Any], told: str):
    assert refused(AGENT_CREATE, agent(multiagent=multiagent)).startswith(told)


def test_the_result_of_an_update_is_checked_like_a_creation():
    stored = {**agent(), "tools": None, "mcp_servers": [SERVER], "skills": [], "multiagent": None}
    with pytest.raises(InvalidRequest, match="no mcp_toolset"):
        rules.check_agent(stored)
    with pytest.raises(InvalidRequest, match="at most 16 pairs are allowed, this makes 17"):
        rules.check_agent(agent(metadata={str(n): "" for n in range(17)}))


@requirement("environments:cloud:packages-limited")
def test_packages_under_limited_networking_need_permission():
    limited: dict[str, Any] = {"type": "limited"}
    cloud = {"type": "cloud", "networking": limited, "packages": {"pip": ["numpy"], "apt": []}}
    told = refused(ENVIRONMENT_CREATE, environment(config=cloud))
    assert told.startswith("config.packages.pip: ")
    limited["allow_package_managers"] = True
    accepted(ENVIRONMENT_CREATE, environment(config=cloud))


def test_an_environment_with_too_much_metadata_has_a_code():
    with pytest.raises(InvalidRequest) as refusal:
        rules.check_environment(environment(metadata={str(n): "" for n in range(17)}))
    assert refusal.value.code == "invalid_metadata"


@requirement("sessions:create:override-model-null")
def test_the_model_of_a_session_cannot_be_cleared():
    overrides = {"type": "agent_with_overrides", "id": "agent_01", "model": None}
    with pytest.raises(InvalidRequest, match="agent_model_required") as refusal:
        accepted(SESSION_CREATE, session(agent=overrides))
    assert refusal.value.code == "agent_model_required"


@requirement("sessions:create:initial-outcome")
def test_a_session_starts_with_one_outcome_at_most():
    told = refused(SESSION_CREATE, session(initial_events=[OUTCOME, MESSAGE, OUTCOME]))
    assert told.startswith("user.define_outcome at initial_events[2]: ")


@requirement("resources:create:caps")
@pytest.mark.parametrize(
    ("kind", "name", "most"),
    [("file", "file_id", 500), ("memory_store", "memory_store_id", 8)],
)
def test_a_session_has_a_bounded_number_of_resources(kind: str, name: str, most: int):
    resources = [{"type": kind, name: f"{kind}_{n}"} for n in range(most + 1)]
    accepted(SESSION_CREATE, session(resources=resources[:-1]))
    assert f"at most {most} {kind}" in refused(SESSION_CREATE, session(resources=resources))


@requirement("sessions:update:vaults")
def test_the_vaults_of_a_session_cannot_be_updated():
    assert refused(SESSION_UPDATE, {"vault_ids": []}).startswith("vault_ids: ")


@requirement("events:content:redacted")
def test_a_redacted_block_is_refused():
    content = [{"type": "text", "text": "x"}, {"type": "redacted"}]
    told = refused(EVENTS_SEND, {"events": [{"type": "user.message", "content": content}]})
    assert told.startswith("user.message at events[0]: content")


@requirement("events:content:file-documents")
def test_at_most_100_documents_of_a_request_come_from_files():
    accepted(EVENTS_SEND, {"events": [_file_documents(50), _file_documents(50)]})
    told = refused(EVENTS_SEND, {"events": [_file_documents(50), _file_documents(51)]})
    assert told == "events: at most 100 documents can come from files"
    assert "initial_events" in refused(
        SESSION_CREATE, session(initial_events=[_file_documents(101)])
    )


@requirement("events:content:blank")
@pytest.mark.parametrize("kind", ["user.message", "system.message"])
def test_a_message_says_something(kind: str):
    event = {"type": kind, "content": [{"type": "text", "text": " \n"}]}
    told = refused(EVENTS_SEND, {"events": [event]})
    assert told == f"{kind} at events[0]: content.0.text: must not be blank"


def test_a_tool_result_may_be_empty():
    for content in ([], [{"type": "text", "text": ""}]):
        accepted(EVENTS_SEND, {"events": [{**_RESULT, "content": content}]})
    accepted(EVENTS_SEND, {"events": [_RESULT]})


@requirement("events:confirmation:deny-message")
def test_a_reason_belongs_to_a_denial():
    deny = {**_CONFIRMATION, "result": "deny", "deny_message": "no"}
    accepted(EVENTS_SEND, {"events": [deny]})
    told = refused(EVENTS_SEND, {"events": [{**deny, "result": "allow"}]})
    assert told.startswith("user.tool_confirmation at events[0]: deny_message: ")


@requirement("events:system:trailer")
@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([SYSTEM, MESSAGE], "system.message at events[0]: must be the last event"),
        ([MESSAGE, SYSTEM, SYSTEM], "system.message at events[1]: must be the last event"),
        (
            [_INTERRUPT, SYSTEM],
            "system.message at events[1]: must directly follow one of user.message",
        ),
        ([MESSAGE, OUTCOME, SYSTEM], "system.message at events[2]: must directly follow"),
    ],
)
def test_a_system_message_trails_what_it_accompanies(events: list[dict[str, Any]], told: str):
    assert refused(EVENTS_SEND, {"events": events}).startswith(told)


@pytest.mark.parametrize(
    "events", [[SYSTEM], [MESSAGE, SYSTEM], [_RESULT, SYSTEM], [MESSAGE, _CUSTOM_RESULT, SYSTEM]]
)
def test_a_system_message_comes_last_or_alone(events: list[dict[str, Any]]):
    accepted(EVENTS_SEND, {"events": events})
