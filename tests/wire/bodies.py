"""Bodies that are valid, to be made invalid in one place at a time."""

import json
from typing import Any

import pytest

from gateway.errors import InvalidRequest
from gateway.wire.requests import Request

TOOLSET: dict[str, Any] = {"type": "agent_toolset_20260401"}
CUSTOM: dict[str, Any] = {
    "type": "custom",
    "name": "lookup",
    "description": "Looks things up.",
    "input_schema": {"type": "object", "properties": {"key": {"type": "string"}}},
}
SERVER: dict[str, Any] = {"type": "url", "name": "docs", "url": "https://docs.example.com/mcp"}
MCP_TOOLSET: dict[str, Any] = {"type": "mcp_toolset", "mcp_server_name": "docs"}
MESSAGE: dict[str, Any] = {"type": "user.message", "content": [{"type": "text", "text": "Hello"}]}
SYSTEM: dict[str, Any] = {
    "type": "system.message",
    "content": [{"type": "text", "text": "Be kind"}],
}
OUTCOME: dict[str, Any] = {
    "type": "user.define_outcome",
    "description": "A report",
    "rubric": {"type": "text", "content": "It is short."},
}


def agent(**fields: Any) -> dict[str, Any]:
    return {"name": "Ada", "model": "claude-opus-5-5", **fields}


def environment(**fields: Any) -> dict[str, Any]:
    return {"name": "Plain", **fields}


def session(**fields: Any) -> dict[str, Any]:
    return {"agent": "agent_01", "environment_id": "env_01", **fields}


def config(**fields: Any) -> dict[str, Any]:
    """An agent whose one tool has this configuration."""
    return agent(tools=[{**TOOLSET, "configs": [fields]}])


def accepted(request: Request, body: dict[str, Any], *, strict: bool = True) -> dict[str, Any]:
    return request.parse(json.dumps(body).encode(), strict=strict)


def refused(request: Request, body: dict[str, Any]) -> str:
    """The message of the refusal."""
    with pytest.raises(InvalidRequest) as refusal:
        request.parse(json.dumps(body).encode())
    return refusal.value.message
