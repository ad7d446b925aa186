"""What tools an agent has, and where they run."""

import re
from typing import Any, get_args

import pytest

from gateway.tools.catalog import Catalog, Place, Remote, build
from tests.ledger.requirement import requirement

TOOLSET: dict[str, Any] = {"type": "agent_toolset_20260401"}
SANDBOXED = ["bash", "edit", "glob", "grep", "read", "write"]
WEB = ["web_fetch", "web_search"]


@requirement("web:tools:offered")
def test_all_eight_tools_are_offered_by_default():
    definitions = {tool["name"]: tool for tool in build([TOOLSET], "cloud").definitions()}
    assert set(definitions) == {*SANDBOXED, *WEB}
    assert definitions["web_fetch"]["input_schema"]["required"] == ["url"]
    assert definitions["web_search"]["input_schema"]["required"] == ["query"]


@requirement("web:tools:offered")
@pytest.mark.parametrize(
    ("environment", "place"), [("cloud", "sandbox"), ("self_hosted", "client")]
)
def test_web_tools_run_on_our_side_whatever_the_environment_is(environment: str, place: Place):
    tools = build([TOOLSET], environment).tools
    assert {tools[name].place for name in SANDBOXED} == {place}
    assert {tools[name].place for name in WEB} == {"web"}
    assert place in get_args(Place)


def test_a_web_tool_that_is_not_enabled_is_not_offered():
    config = {"name": "web_search", "enabled": False}
    catalog = build([{**TOOLSET, "configs": [config]}], "cloud")
    assert "web_search" not in {tool.name for tool in catalog.visible()}
    assert catalog.get("web_search") is not None


def test_a_tool_knows_its_own_configuration():
    config = {"name": "web_fetch", "allowed_domains": ["a.org"]}
    catalog = build([{**TOOLSET, "configs": [{"name": "bash"}, config]}], "cloud")
    fetch, search = catalog.get("web_fetch"), catalog.get("web_search")
    assert fetch is not None
    assert fetch.config == config
    assert search is not None
    assert search.config == {}


def remote(*names: str, server: str = "pay") -> Catalog:
    definitions = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    toolset = {"type": "mcp_toolset", "mcp_server_name": server}
    return build([toolset], "cloud", {server: Remote("https://pay.example/mcp", definitions)})


def test_the_tools_of_a_server_are_called_by_server_and_name():
    tool = remote("refund").tools["mcp__pay__refund"]
    assert (tool.name, tool.server, tool.place) == ("refund", "pay", "server")
    assert tool.permission is not None
    assert tool.permission.policy == "always_ask"
    assert remote("refund").definitions()[0]["name"] == "mcp__pay__refund"


def test_a_server_that_did_not_answer_has_no_tools():
    toolset = {"type": "mcp_toolset", "mcp_server_name": "pay"}
    assert build([toolset], "cloud").tools == {}


@pytest.mark.parametrize("server", ["pay", "Our payments (new)", "é" * 200])
def test_models_can_call_tools_of_any_name_and_none_is_taken_for_another(server: str):
    names = ["refund", "re.fund", "re/fund", "rück", "x" * 300, "x" * 301]
    tools = remote(*names, server=server).tools
    assert sorted(tool.name for tool in tools.values()) == sorted(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,128}", called) for called in tools)
    again = remote(*names, server=server).tools
    assert list(again) == list(tools), "the model's words mean the same after a restart"


def test_a_custom_tool_runs_at_the_client_and_has_no_policy():
    schema = {"type": "object", "properties": {}}
    entry = {"type": "custom", "name": "choose", "description": "Asks.", "input_schema": schema}
    tool = build([entry], "cloud").tools["choose"]
    assert (tool.place, tool.permission, tool.offered) == ("client", None, True)
    assert tool.facts.action == "custom.choose"


def test_another_definition_is_another_tool():
    one, other = remote("refund").tools, remote("refund").tools
    assert one["mcp__pay__refund"].facts == other["mcp__pay__refund"].facts
    definition = {"name": "refund", "description": "New!", "inputSchema": {"type": "object"}}
    toolset = {"type": "mcp_toolset", "mcp_server_name": "pay"}
    found = {"pay": Remote("https://pay.example/mcp", [definition])}
    changed = build([toolset], "cloud", found).tools["mcp__pay__refund"]
    assert changed.facts.digest != one["mcp__pay__refund"].facts.digest
