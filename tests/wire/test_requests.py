"""What passes as the body of a request, and what a client is told otherwise."""

import json
from typing import Any

import pytest

from gateway.errors import InvalidRequest
from gateway.wire import requests
from gateway.wire.requests import (
    AGENT_CREATE,
    AGENT_UPDATE,
    ENVIRONMENT_CREATE,
    ENVIRONMENT_UPDATE,
    EVENTS_SEND,
    RESOURCE_ADD,
    RESOURCE_UPDATE,
    SESSION_CREATE,
    SESSION_UPDATE,
    Request,
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


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (AGENT_CREATE, agent()),
        (
            AGENT_CREATE,
            agent(
                description=None,
                system="Be brief.",
                tools=[TOOLSET, MCP_TOOLSET, CUSTOM],
                mcp_servers=[SERVER],
                skills=[{"type": "anthropic", "skill_id": "xlsx"}],
                metadata={"team": "söze"},
                multiagent={"type": "coordinator", "agents": ["agent_02", {"type": "self"}]},
                execution_identity={"type": "aws_role", "role_arn": "arn:aws:iam::1:role/r"},
            ),
        ),
        (AGENT_CREATE, agent(multiagent={"type": "multiagent_20261001", "workflows": None})),
        (AGENT_UPDATE, {"version": 3, "tools": None, "metadata": {"gone": None}, "system": ""}),
        (ENVIRONMENT_CREATE, environment()),
        (ENVIRONMENT_CREATE, environment(config={"type": "self_hosted"}, scope="organization")),
        (ENVIRONMENT_UPDATE, {"description": None, "metadata": {"gone": "", "also": None}}),
        (SESSION_CREATE, session()),
        (SESSION_CREATE, session(agent={"type": "agent", "id": "agent_01", "version": 2})),
        (SESSION_CREATE, session(initial_events=[MESSAGE, OUTCOME], vault_ids=["vlt_01"])),
        (
            SESSION_UPDATE,
            {"title": None, "budget": None, "agent": {"tools": [], "mcp_servers": []}},
        ),
        (EVENTS_SEND, {"events": [MESSAGE, SYSTEM]}),
        (EVENTS_SEND, {"events": [{"type": "user.interrupt", "session_thread_id": None}, MESSAGE]}),
        (RESOURCE_ADD, {"type": "file", "file_id": "file_01", "mount_path": "/data.csv"}),
        (RESOURCE_UPDATE, {"authorization_token": "ghp_x"}),
    ],
)
def test_a_valid_body_passes_unchanged(request_: Request, body: dict[str, Any]):
    assert accepted(request_, body) == body


@pytest.mark.parametrize(
    "model",
    [
        "any-model-of-yours",
        {"id": "m"},
        {"id": "m", "effort": "high", "speed": "fast", "inference_geo": "us"},
        {"id": "m", "effort": {"type": "xhigh"}, "speed": None, "inference_geo": None},
    ],
)
def test_a_model_is_a_string_or_an_object(model: object):
    assert accepted(AGENT_CREATE, agent(model=model))["model"] == model


@requirement("transport:body:unknown-field", "errors:message:path")
@pytest.mark.parametrize(
    ("body", "path"),
    [
        (agent(colour="red"), "colour"),
        (agent(betas=["x"]), "betas"),
        (agent(model={"id": "m", "temperature": 1}), "model.temperature"),
        (config(name="bash", timeout=3), "tools.0.configs.0.timeout"),
        (agent(tools=[{**TOOLSET, "default_config": {"x": 1}}]), "tools.0.default_config.x"),
    ],
)
def test_an_unknown_field_is_refused_by_its_path(body: dict[str, Any], path: str):
    assert refused(AGENT_CREATE, body) == f"{path}: Extra inputs are not permitted"


def test_unknown_fields_are_left_out_when_bodies_are_not_strict():
    body = {**config(name="bash", timeout=3), "colour": "red"}
    assert accepted(AGENT_CREATE, body, strict=False) == config(name="bash")


def test_bodies_that_are_not_strict_still_have_types_and_limits():
    with pytest.raises(InvalidRequest, match="name: Input should be a valid string"):
        accepted(AGENT_CREATE, agent(name=3), strict=False)


@requirement("transport:body:wrong-type")
@pytest.mark.parametrize(
    ("body", "told"),
    [
        (agent(name=3), "name: Input should be a valid string"),
        (agent(name=None), "name: Input should be a valid string"),
        (agent(model=3), "model: Input should be a string or an object"),
        (agent(tools={}), "tools: Input should be a valid list"),
        (agent(tools=["bash"]), "tools.0: Input should be an object"),
        (agent(tools=[{}]), "tools.0: 'type' is required"),
        (agent(metadata={"n": 1}), "metadata.n: Input should be a valid string"),
        (agent(metadata=[]), "metadata: Input should be an object"),
        (
            config(name="bash", enabled="true"),
            "tools.0.configs.0.enabled: Input should be a valid boolean",
        ),
        (
            config(name="bash", enabled=1),
            "tools.0.configs.0.enabled: Input should be a valid boolean",
        ),
        (
            config(name="web_fetch", max_content_tokens="5"),
            "tools.0.configs.0.max_content_tokens: Input should be a valid integer",
        ),
        (
            config(name="web_fetch", max_content_tokens=True),
            "tools.0.configs.0.max_content_tokens: Input should be a valid integer",
        ),
        (config(name="bash", type="edit"), "tools.0.configs.0.type: Input should be 'bash'"),
    ],
)
def test_nothing_is_coerced(body: dict[str, Any], told: str):
    assert refused(AGENT_CREATE, body) == told


def test_a_wrong_member_of_a_union_is_one_mistake():
    message = refused(AGENT_CREATE, config(name="python"))
    assert message.startswith("tools.0.configs.0: Input tag 'python'")
    assert "web_search" in message
    assert ";" not in message


@requirement("errors:message:several")
def test_the_first_mistakes_are_told_and_the_others_counted():
    message = refused(AGENT_CREATE, {"a": 1, "b": 2, "c": 3})
    assert message.count(";") == 2
    assert message.endswith("(and 2 more)")


@requirement("agents:create:required")
def test_name_and_model_are_required():
    assert refused(AGENT_CREATE, {}) == "model: Field required; name: Field required"


@requirement("errors:message:event")
@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"type": "user.message"}, "user.message at events[1]: content: Field required"),
        (
            {"type": "user.message", "content": "Hi"},
            "user.message at events[1]: content: Input should be a valid list",
        ),
        (
            {"type": "user.message", "content": [{"type": "text", "text": 5}]},
            "user.message at events[1]: content.0.text: Input should be a valid string",
        ),
        ({"content": []}, "event at events[1]: 'type' is required"),
        ("hello", "event at events[1]: Input should be an object"),
        ({"type": ["x"]}, "event at events[1]: Input tag"),
    ],
)
def test_a_mistake_in_an_event_names_the_event(event: object, told: str):
    assert refused(EVENTS_SEND, {"events": [MESSAGE, event]}).startswith(told)


@requirement("events:send:types")
@pytest.mark.parametrize("kind", ["agent.message", "session.status_idle", "interrupt", "text"])
def test_only_client_events_can_be_sent(kind: str):
    told = refused(EVENTS_SEND, {"events": [{"type": kind}]})
    assert told.startswith(f"{kind} at events[0]: Input tag '{kind}'")


@requirement("sessions:create:initial-types")
@pytest.mark.parametrize("kind", ["user.interrupt", "system.message", "user.tool_result"])
def test_only_messages_and_outcomes_can_be_initial(kind: str):
    told = refused(SESSION_CREATE, session(initial_events=[{"type": kind}]))
    assert told.startswith(f"{kind} at initial_events[0]: Input tag")


@requirement("events:tool-result:ignored-thread")
@pytest.mark.parametrize(
    "answer",
    [
        {"type": "user.tool_confirmation", "tool_use_id": "sevt_01", "result": "allow"},
        {"type": "user.custom_tool_result", "custom_tool_use_id": "sevt_01", "content": []},
        {"type": "user.tool_result", "tool_use_id": "sevt_01", "is_error": True},
    ],
)
def test_answers_may_name_their_thread_and_it_is_forgotten(answer: dict[str, Any]):
    sent = {"events": [{**answer, "session_thread_id": "sthr_01"}]}
    assert accepted(EVENTS_SEND, sent) == {"events": [answer]}


@requirement("agents:custom:open-schema")
def test_the_schema_of_a_custom_tool_is_kept_whole():
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1, "enum": [1, 2.5, None]}},
        "required": ["n"],
        "additionalProperties": False,
        "title": "Anything",
    }
    body = agent(tools=[{**CUSTOM, "input_schema": schema}])
    assert accepted(AGENT_CREATE, body) == body


def test_overrides_clear_with_null_or_an_empty_list():
    overrides = {"type": "agent_with_overrides", "id": "agent_01", "system": None}
    for empty in (None, []):
        lists = {"tools": empty, "mcp_servers": empty, "skills": empty}
        body = session(agent={**overrides, **lists})
        assert accepted(SESSION_CREATE, body) == body


@requirement("environments:create:metadata")
@pytest.mark.parametrize("request_", [ENVIRONMENT_CREATE, ENVIRONMENT_UPDATE])
def test_bad_metadata_of_an_environment_has_a_code(request_: Request):
    metadata: dict[str, Any] = {"k" * 65: "v", "long": "v" * 513, "number": 1}
    with pytest.raises(InvalidRequest) as refusal:
        request_.parse(json.dumps(environment(metadata=metadata)).encode())
    assert refusal.value.code == "invalid_metadata"
    assert refusal.value.message.count("metadata.") == 3


def test_all_validators_can_be_built_ahead_of_the_first_request():
    requests.warm()
    requests.warm(strict=False)
