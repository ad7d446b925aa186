"""Both eras of MCP, method by method."""

from typing import Any

import jsonschema
import pytest

from tests.toolservers.peer import MODERN
from toolservers.jsonrpc import Request, RpcError
from toolservers.protocol import Session, ToolCall

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
NAMES = ["bash", "edit", "glob", "grep", "read", "write"]


def ask(session: Session, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = session.answer(Request(1, method, params or {}))
    assert isinstance(answer, dict)
    return answer


def ask_modern(method: str, **params: Any) -> dict[str, Any]:
    return ask(Session(), method, {**params, "_meta": MODERN})


def refusal(session: Session, method: str, params: dict[str, Any]) -> RpcError:
    with pytest.raises(RpcError) as caught:
        session.answer(Request(1, method, params))
    return caught.value


def initialized(version: str = "2025-11-25") -> Session:
    session = Session()
    ask(session, "initialize", {"protocolVersion": version, "capabilities": {}})
    return session


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_the_handshake_agrees_to_every_earlier_version(version: str):
    answer = ask(Session(), "initialize", {"protocolVersion": version})
    assert answer["protocolVersion"] == version
    assert answer["capabilities"] == {"tools": {}}
    assert answer["serverInfo"]["name"] == "wharfkeep-tools"


@pytest.mark.parametrize("version", ["2026-07-28", "1999-01-01", ""])
def test_the_handshake_offers_its_newest_version_instead_of_an_unknown_one(version: str):
    answer = ask(Session(), "initialize", {"protocolVersion": version})
    assert answer["protocolVersion"] == "2025-11-25"


def test_after_the_handshake_tools_are_listed_and_called_without_an_envelope():
    session = initialized()
    assert [tool["name"] for tool in ask(session, "tools/list")["tools"]] == NAMES
    call = session.answer(Request(2, "tools/call", {"name": "bash", "arguments": {}}))
    assert isinstance(call, ToolCall)
    assert call.result({"content": []}) == {"content": []}


def test_before_the_handshake_only_ping_is_answered():
    assert ask(Session(), "ping") == {}
    assert refusal(Session(), "tools/list", {}).code == -32600
    assert refusal(Session(), "tools/call", {"name": "bash"}).code == -32600


def test_a_modern_request_needs_nothing_before_it():
    answer = ask_modern("tools/list")
    assert [tool["name"] for tool in answer["tools"]] == NAMES
    assert answer["resultType"] == "complete"
    assert (answer["ttlMs"] > 0, answer["cacheScope"]) == (True, "public")
    assert answer["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "wharfkeep-tools"


def test_discovery_names_every_version_and_the_tools_capability():
    answer = ask_modern("server/discover")
    assert answer["supportedVersions"][0] == "2026-07-28"
    assert set(answer["supportedVersions"]) > {"2024-11-05", "2025-11-25"}
    assert answer["capabilities"] == {"tools": {}}
    assert answer["resultType"] == "complete"


def test_both_eras_may_come_on_one_connection():
    session = initialized()
    assert "resultType" in ask(session, "tools/list", {"_meta": MODERN})
    assert "resultType" not in ask(session, "tools/list")


@pytest.mark.parametrize("method", ["ping", "resources/list", "logging/setLevel", "", "tools"])
def test_a_method_the_modern_era_does_not_have_is_not_found(method: str):
    error = refusal(Session(), method, {"_meta": MODERN})
    assert (error.code, error.data) == (-32601, method)


@pytest.mark.parametrize("method", ["resources/list", "prompts/list", "nonsense"])
def test_a_method_nobody_serves_is_not_found_in_the_handshake_era(method: str):
    assert refusal(Session(), method, {}).code == -32601
    assert refusal(initialized(), method, {}).code == -32601


def test_an_unknown_modern_version_is_told_the_supported_ones():
    meta = {**MODERN, VERSION: "2031-01-01"}
    error = refusal(Session(), "tools/list", {"_meta": meta})
    assert error.code == -32022
    assert error.data["requested"] == "2031-01-01"
    assert error.data["supported"][0] == "2026-07-28"


@pytest.mark.parametrize(
    "meta",
    [
        {VERSION: "2026-07-28"},
        {VERSION: 7, CAPABILITIES: {}},
        {VERSION: None, CAPABILITIES: {}},
        {VERSION: "2026-07-28", CAPABILITIES: []},
    ],
)
def test_half_an_envelope_is_invalid(meta: dict[str, Any]):
    assert refusal(Session(), "tools/list", {"_meta": meta}).code == -32602


def test_discovery_without_an_envelope_names_what_is_missing():
    error = refusal(Session(), "server/discover", {})
    assert error.code == -32602
    assert VERSION in error.message
    assert CAPABILITIES in error.message


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"name": "rm"},
        {"name": None},
        {"name": ["bash"]},
        {"name": {}},
        {"name": "bash", "arguments": "ls"},
        {"name": "bash", "arguments": []},
        {"name": "bash", "_meta": {"wharfkeep/thread": 1}},
        {"name": "bash", "_meta": {"wharfkeep/thread": "x" * 257}},
        {"name": "bash", "_meta": {"wharfkeep/deadline_ms": 0}},
        {"name": "bash", "_meta": {"wharfkeep/deadline_ms": -5}},
        {"name": "bash", "_meta": {"wharfkeep/deadline_ms": "1"}},
        {"name": "bash", "_meta": {"wharfkeep/deadline_ms": True}},
    ],
)
def test_parameters_of_a_call_that_fit_no_tool_are_invalid(params: dict[str, Any]):
    assert refusal(initialized(), "tools/call", params).code == -32602


@pytest.mark.parametrize("version", [None, 1, []])
def test_a_handshake_without_a_version_is_invalid(version: Any):
    assert refusal(Session(), "initialize", {"protocolVersion": version}).code == -32602


def test_the_tools_have_valid_schemas_and_say_which_only_read():
    tools = ask_modern("tools/list")["tools"]
    for tool in tools:
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
    reading = {tool["name"] for tool in tools if tool["annotations"]["readOnlyHint"]}
    assert reading == {"read", "glob", "grep"}


def test_the_inputs_are_those_of_the_agent_toolset():
    inputs = {
        tool["name"]: (
            {name: schema["type"] for name, schema in tool["inputSchema"]["properties"].items()},
            tool["inputSchema"]["required"],
        )
        for tool in ask_modern("tools/list")["tools"]
    }
    path, pattern = {"file_path": "string"}, {"pattern": "string", "path": "string"}
    assert inputs == {
        "bash": ({"command": "string", "restart": "boolean", "timeout_ms": "integer"}, []),
        "edit": (
            {**path, "old_string": "string", "new_string": "string", "replace_all": "boolean"},
            ["file_path", "old_string", "new_string"],
        ),
        "glob": (pattern, ["pattern"]),
        "grep": (pattern, ["pattern"]),
        "read": ({**path, "view_range": "array"}, ["file_path"]),
        "write": ({**path, "content": "string"}, ["file_path", "content"]),
    }
