"""What clients get: every field, null when unset, and nothing else."""

import json
from typing import Any

import pytest
from anthropic.types.beta import BetaManagedAgentsAgent, BetaModelInfo

from gateway.wire import responses
from gateway.wire.responses import (
    AGENT,
    ENVIRONMENT,
    MODEL,
    SESSION,
    SESSION_EVENT,
    SESSION_RESOURCE,
    SESSION_THREAD,
)
from gateway.wire.schemas import json_schemas
from gateway.wire.shapes import ABSENT_WHEN_UNSET, shape_of
from tests.ledger.requirement import requirement

_WHEN = "2026-04-01T12:00:00.000000Z"
_POLICY = {"type": "always_allow"}
_SNAPSHOT: dict[str, Any] = {
    "id": "agent_01",
    "execution_identity": {"type": "service_account"},
    "mcp_servers": [],
    "model": {"id": "m", "effort": {"type": "high"}},
    "name": "Ada",
    "skills": [],
    "tools": [
        {
            "type": "agent_toolset_20260401",
            "configs": [{"name": "web_fetch", "enabled": True, "permission_policy": _POLICY}],
            "default_config": {"enabled": True, "permission_policy": _POLICY},
        },
        {
            "type": "custom",
            "name": "lookup",
            "description": "Looks up.",
            "input_schema": {"type": "object", "$comment": "kept"},
        },
    ],
    "version": 1,
}
_AGENT = {**_SNAPSHOT, "metadata": {}, "created_at": _WHEN, "updated_at": _WHEN}
_SESSION: dict[str, Any] = {
    "id": "sesn_01",
    "agent": _SNAPSHOT,
    "created_at": _WHEN,
    "environment_id": "env_01",
    "metadata": {},
    "outcome_evaluations": [],
    "resources": [{"type": "memory_store", "memory_store_id": "memstore_01"}],
    "stats": {},
    "status": "idle",
    "updated_at": _WHEN,
    "usage": {"input_tokens": 0},
    "vault_ids": [],
}


def test_what_is_unset_is_null():
    shown = AGENT.present(_AGENT)
    assert set(shown) == set(BetaManagedAgentsAgent.model_fields)
    for name in ("description", "system", "multiagent", "archived_at"):
        assert shown[name] is None
    assert shown["type"] == "agent"
    assert shown["model"] == {
        "id": "m",
        "effort": {"type": "high"},
        "inference_geo": None,
        "speed": None,
    }


def test_inner_objects_are_filled_in_too():
    toolset, custom = AGENT.present(_AGENT)["tools"]
    assert toolset["configs"] == [
        {
            "type": "web_fetch",
            "enabled": True,
            "name": "web_fetch",
            "permission_policy": _POLICY,
            "url_sources": None,
            "allowed_domains": None,
            "blocked_domains": None,
            "max_content_tokens": None,
        }
    ]
    assert custom["input_schema"] == {"type": "object", "$comment": "kept"}


def test_an_agent_is_what_the_sdk_expects_when_it_validates_strictly():
    shown = json.loads(AGENT.render(_AGENT))
    model = BetaManagedAgentsAgent.model_validate(shown)
    assert model.model_extra in (None, {})
    assert model.tools[1].name == "lookup"  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - a union


@requirement("events:absence:table")
def test_what_the_absence_table_names_is_left_out():
    shown = SESSION.present(_SESSION)
    assert shown["usage"] == {"input_tokens": 0}
    assert shown["stats"] == {}
    assert shown["budget"] is None
    assert shown["deployment_id"] is None


def test_a_null_that_is_set_is_shown():
    event = {"type": "session.updated", "id": "sevt_01", "processed_at": _WHEN, "budget": None}
    assert SESSION_EVENT.present(event) == event


def test_the_absence_table_names_fields_that_the_sdk_has():
    _, definitions = json_schemas()
    known = {
        (name.removeprefix("BetaManagedAgents"), field)
        for name, schema in definitions.items()
        for field in schema.get("properties", ())
    }
    assert ABSENT_WHEN_UNSET - known == set()


def test_keys_that_the_sdk_does_not_have_never_get_out():
    leaky = {**_AGENT, "secret": 1, "model": {"id": "m", "api_key": "x"}}
    assert b"secret" not in AGENT.render(leaky)
    assert b"api_key" not in AGENT.render(leaky)
    assert sorted(AGENT.strangers(leaky)) == ["model.api_key", "secret"]
    assert AGENT.strangers(_AGENT) == []


def test_strangers_are_found_in_lists_and_unions():
    event = {"type": "agent.message", "content": [{"type": "text", "text": "x", "private": 1}]}
    assert SESSION_EVENT.strangers(event) == ["content.0.private"]


def test_a_field_that_is_never_null_must_be_there():
    with pytest.raises(KeyError, match=r"BetaEnvironment\.name"):
        ENVIRONMENT.present(
            {"id": "env_01", "config": {"type": "self_hosted"}, "created_at": _WHEN, "metadata": {}}
        )
    with pytest.raises(KeyError, match=r"no response has type 'agent\.mess'"):
        SESSION_EVENT.present({"type": "agent.mess"})


def test_the_members_of_a_union_are_told_apart():
    thread: dict[str, Any] = {
        "id": "sthr_01",
        "agent": {"type": "advisor", "model": {"id": "m"}},
        "created_at": _WHEN,
        "session_id": "sesn_01",
        "status": "idle",
        "updated_at": _WHEN,
    }
    shown = SESSION_THREAD.present(thread)
    assert shown["stats"] is None
    assert shown["usage"] is None
    assert shown["parent_thread_id"] is None
    resource = SESSION_RESOURCE.present(
        {
            "type": "file",
            "id": "r",
            "file_id": "f",
            "mount_path": "/m",
            "created_at": _WHEN,
            "updated_at": _WHEN,
        }
    )
    assert "checkout" not in resource


def test_the_packages_of_an_environment_say_what_they_are():
    managers: dict[str, list[str]] = {
        name: [] for name in ("apt", "cargo", "gem", "go", "npm", "pip")
    }
    config = {"type": "cloud", "networking": {"type": "unrestricted"}, "packages": managers}
    body = {
        "id": "env_01",
        "config": config,
        "created_at": _WHEN,
        "metadata": {},
        "name": "n",
        "updated_at": _WHEN,
    }
    assert ENVIRONMENT.present(body)["config"]["packages"] == {**managers, "type": "packages"}


def test_a_page_tells_where_it_goes_on():
    assert responses.page([b'{"a":1}', b"{}"], "tok") == b'{"data":[{"a":1},{}],"next_page":"tok"}'
    assert responses.page([], None) == b'{"data":[],"next_page":null}'


def test_only_the_page_of_sessions_goes_both_ways():
    shown = json.loads(responses.two_way_page([b"{}"], None, "back"))
    assert shown == {"data": [{}], "next_page": None, "prev_page": "back"}


def test_a_page_of_models_names_its_ends():
    models = [
        {"id": name, "created_at": _WHEN, "display_name": name, "lifecycle": "active"}
        for name in "ab"
    ]
    shown = json.loads(responses.model_page(models, has_more=True))
    assert (shown["has_more"], shown["first_id"], shown["last_id"]) == (True, "a", "b")
    assert set(shown["data"][0]) == set(BetaModelInfo.model_fields)
    assert json.loads(responses.model_page([], has_more=False))["first_id"] is None


def test_the_answer_to_a_send_is_its_events():
    assert responses.sent([b"{}", b"{}"]) == b'{"data":[{},{}]}'


def test_any_model_of_the_sdk_has_a_shape():
    responses.warm()
    assert shape_of(BetaModelInfo).fill(
        {"id": "m", "created_at": _WHEN, "display_name": "M", "lifecycle": "active"}
    ) == MODEL.present({"id": "m", "created_at": _WHEN, "display_name": "M", "lifecycle": "active"})
    with pytest.raises(TypeError):
        shape_of(str)
