"""Types like the SDK's, made strict."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, Required, TypeAlias

import pytest
from pydantic import ValidationError
from typing_extensions import TypedDict

from gateway.wire.requests import AGENT_UPDATE, ENVIRONMENT_UPDATE, SESSION_UPDATE
from gateway.wire.responses import AGENT, ENVIRONMENT
from gateway.wire.tighten import tighten
from tests.wire.bodies import CUSTOM, MCP_TOOLSET, SERVER, accepted

_POLICY = {"type": "always_ask"}
_RESOLVED = {"enabled": True, "permission_policy": _POLICY}


class Cat(TypedDict, total=False):
    type: Required[Literal["cat"]]
    lives: int


class Dog(TypedDict, total=False):
    type: Required[Literal["dog"]]
    tricks: Iterable[str]


class Nobody(TypedDict):
    lives: int


Pet: TypeAlias = Cat | Dog


class HomeParams(TypedDict, total=False):
    pets: Iterable[Pet | str]
    since: datetime | None
    colour: Literal["red"] | str  # noqa: PYI051 - the SDK lists examples like this
    betas: list[str]
    home_id: Required[str]


class AmbiguousParams(TypedDict):
    pet: Cat | Nobody


_HOME = tighten(HomeParams, drop=("home_id",))


def _refused(value: dict[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    with pytest.raises(ValidationError) as refusal:
        _HOME.validate(value)
    return [(e["loc"], e["type"]) for e in refusal.value.errors()]


def test_header_and_path_fields_are_not_part_of_a_body():
    assert _HOME.validate({}) == {}
    assert _refused({"betas": [], "home_id": "x"}) == [
        (("betas",), "extra_forbidden"),
        (("home_id",), "extra_forbidden"),
    ]


def test_an_iterable_is_a_list_that_is_checked_at_once():
    value = {"pets": [{"type": "dog", "tricks": ["sit"]}, "stray"], "colour": "blue"}
    assert _HOME.validate(value) == value
    assert _refused({"pets": [{"type": "dog", "tricks": [1]}]})[0][1] == "string_type"
    assert _refused({"pets": "stray"}) == [(("pets",), "list_type")]


def test_a_timestamp_stays_the_text_it_was():
    for text in ("2026-04-01T12:00:00Z", "2026-04-01T12:00:00+02:00", None):
        assert _HOME.validate({"since": text}) == {"since": text}
    assert _refused({"since": 1775044800}) == [(("since",), "value_error")]
    assert _refused({"since": "yesterday"})[0][0] == ("since",)


def test_a_union_that_cannot_be_told_apart_is_our_mistake():
    with pytest.raises(TypeError, match="without a discriminator"):
        tighten(AmbiguousParams)


def test_a_lax_validator_leaves_unknown_fields_out_everywhere():
    lax = tighten(HomeParams, lax=True, drop=("home_id",))
    sent = {"pets": [{"type": "cat", "lives": 9, "mood": "bad"}], "sold": True}
    assert lax.validate(sent) == {"pets": [{"type": "cat", "lives": 9}]}


def test_the_tools_of_a_response_can_be_sent_back():
    names = ("bash", "edit", "read", "write", "glob", "grep", "web_fetch", "web_search")
    body = {
        "id": "agent_01",
        "created_at": "2026-04-01T12:00:00.000000Z",
        "updated_at": "2026-04-01T12:00:00.000000Z",
        "execution_identity": {"type": "service_account"},
        "mcp_servers": [SERVER],
        "metadata": {},
        "model": {"id": "m", "effort": {"type": "high"}},
        "name": "Ada",
        "skills": [{"type": "custom", "skill_id": "skill_01", "version": "latest"}],
        "tools": [
            {
                "type": "agent_toolset_20260401",
                "configs": [{"name": name, **_RESOLVED} for name in names],
                "default_config": _RESOLVED,
            },
            {**MCP_TOOLSET, "configs": [{"name": "q", **_RESOLVED}], "default_config": _RESOLVED},
            CUSTOM,
        ],
        "version": 1,
    }
    shown = AGENT.present(body)
    changeable = ("tools", "mcp_servers", "skills", "model", "multiagent", "execution_identity")
    again = {name: shown[name] for name in (*changeable, "system", "description", "metadata")}
    assert accepted(AGENT_UPDATE, again) == again
    agent = {"tools": shown["tools"], "mcp_servers": shown["mcp_servers"]}
    assert accepted(SESSION_UPDATE, {"agent": agent}) == {"agent": agent}


def test_the_config_of_an_environment_can_be_sent_back():
    limited = {
        "type": "limited",
        "allow_mcp_servers": False,
        "allow_package_managers": False,
        "allowed_hosts": [],
    }
    managers: dict[str, list[str]] = {
        name: [] for name in ("apt", "cargo", "gem", "go", "npm", "pip")
    }
    body = {
        "id": "env_01",
        "config": {"type": "cloud", "networking": limited, "packages": managers},
        "created_at": "2026-04-01T12:00:00.000000Z",
        "metadata": {},
        "name": "n",
        "updated_at": "2026-04-01T12:00:00.000000Z",
    }
    shown = ENVIRONMENT.present(body)
    again = {name: shown[name] for name in ("config", "description", "metadata", "name", "scope")}
    assert accepted(ENVIRONMENT_UPDATE, again) == again
