"""What tools an agent has, and where they run."""

from typing import Any, get_args

import pytest

from gateway.tools.catalog import Place, build
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
