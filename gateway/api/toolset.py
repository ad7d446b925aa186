"""Tools of an agent as they are stored and shown: every default spelled out (spec/core 2.7).

Whether the tools are acceptable has been checked before; what a policy means for a call is
`gateway.policy.toolset`.
"""

from typing import Any

from gateway.policy.toolset import KIND_DEFAULTS

_SOURCES = ("user_input", "client_tool_results", "server_tool_results")


def resolve(tools: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Spell out what the client left to defaults. A resolved list resolves to itself."""
    return [_resolve(tool) for tool in tools or ()]


def _resolve(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] == "custom":
        return tool
    kind = {"enabled": True, "permission_policy": {"type": KIND_DEFAULTS[tool["type"]]}}
    default = {**kind, **_given(tool.get("default_config"))}
    configs = [{**default, **_config(tool["type"], config)} for config in tool.get("configs") or ()]
    return {**tool, "default_config": default, "configs": configs}


def _config(toolset: str, config: dict[str, Any]) -> dict[str, Any]:
    given = _given(config)
    if toolset == "agent_toolset_20260401":
        given["type"] = config["name"]
    if "url_sources" in given:
        sources = given["url_sources"]
        given["url_sources"] = {key: _source(sources.get(key)) for key in _SOURCES}
    return given


def _source(source: str | dict[str, Any] | None) -> dict[str, Any] | None:
    """Sources are shown as objects; ``"all"`` and ``"none"`` are short for one."""
    return {"type": source} if isinstance(source, str) else source


def _given(config: dict[str, Any] | None) -> dict[str, Any]:
    """What was really set: null means the default, like absence."""
    return {key: value for key, value in (config or {}).items() if value is not None}
