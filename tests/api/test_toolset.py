"""Tools read back with every default spelled out, and can be sent back as they are."""

from typing import Any

from anthropic import Anthropic

from gateway.api.toolset import resolve
from tests.api.building import MCP_TOOLSET, SERVER, TOOLSET, make_agent
from tests.ledger.requirement import requirement
from tests.wire.bodies import CUSTOM

ALLOW = {"type": "always_allow"}
ASK = {"type": "always_ask"}


def _tools(client: Anthropic, *tools: Any, **fields: Any) -> list[dict[str, Any]]:
    agent = make_agent(client, tools=list(tools), **fields)
    return [tool.to_dict(mode="json") for tool in agent.tools]


@requirement("agents:toolset:resolved")
def test_a_bare_toolset_allows_everything(client: Anthropic):
    assert _tools(client, TOOLSET) == [
        {**TOOLSET, "default_config": {"enabled": True, "permission_policy": ALLOW}, "configs": []}
    ]


@requirement("agents:toolset:resolved", "agents:toolset:type-inferred")
def test_a_config_inherits_from_the_toolset_and_gets_its_type(client: Anthropic):
    toolset = {
        **TOOLSET,
        "default_config": {"enabled": False, "permission_policy": ASK},
        "configs": [
            {"name": "bash"},
            {"name": "read", "enabled": True, "permission_policy": ALLOW},
        ],
    }
    (shown,) = _tools(client, toolset)
    assert shown["default_config"] == {"enabled": False, "permission_policy": ASK}
    assert shown["configs"] == [
        {"type": "bash", "name": "bash", "enabled": False, "permission_policy": ASK},
        {"type": "read", "name": "read", "enabled": True, "permission_policy": ALLOW},
    ]


@requirement("agents:toolset:resolved")
def test_null_means_the_default(client: Anthropic):
    toolset = {
        **TOOLSET,
        "default_config": {"enabled": None, "permission_policy": None},
        "configs": [{"name": "bash", "enabled": None}],
    }
    (shown,) = _tools(client, toolset)
    assert shown["default_config"] == {"enabled": True, "permission_policy": ALLOW}
    assert shown["configs"][0]["enabled"] is True


@requirement("agents:mcp-toolset:resolved")
def test_an_mcp_toolset_asks_first_and_its_configs_have_no_type(client: Anthropic):
    toolset = {**MCP_TOOLSET, "configs": [{"name": "search", "enabled": True}]}
    (shown,) = _tools(client, toolset, mcp_servers=[SERVER])
    assert shown == {
        **MCP_TOOLSET,
        "default_config": {"enabled": True, "permission_policy": ASK},
        "configs": [{"name": "search", "enabled": True, "permission_policy": ASK}],
    }


@requirement("agents:web:url-sources", "agents:web:location")
def test_web_configs_read_back_in_their_long_form(client: Anthropic):
    fetch = {"name": "web_fetch", "url_sources": {"user_input": "none"}, "max_content_tokens": 9}
    search = {"name": "web_search", "user_location": {"type": "approximate", "country": "FR"}}
    (shown,) = _tools(client, {**TOOLSET, "configs": [fetch, search]})
    assert shown["configs"][0]["url_sources"] == {
        "user_input": {"type": "none"},
        "client_tool_results": None,
        "server_tool_results": None,
    }
    assert shown["configs"][0]["max_content_tokens"] == 9
    assert shown["configs"][0]["allowed_domains"] is None
    assert shown["configs"][1]["user_location"]["country"] == "FR"


@requirement("agents:custom:open-schema")
def test_a_custom_tool_is_echoed_as_it_was_written(client: Anthropic):
    schema = {**CUSTOM["input_schema"], "additionalProperties": False, "x-note": "kept"}
    tool = {**CUSTOM, "input_schema": schema}
    assert _tools(client, tool) == [tool]


def test_resolving_twice_changes_nothing():
    tools = [{**TOOLSET, "configs": [{"name": "web_fetch", "url_sources": {"user_input": "all"}}]}]
    assert resolve(resolve(tools)) == resolve(tools)
    assert resolve(None) == []
