"""Rules that tie several fields of one body together, on plain dicts.

They take the *resulting* object: a create passes its body, an update the stored object with the
change applied. They raise `InvalidRequest` in the style of `mistakes.py`. Missing and null members
count as empty. Rules that need stored objects live with the endpoints.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from gateway.errors import InvalidRequest
from gateway.wire.formats import BUILTIN_TOOLS
from gateway.wire.mistakes import at_event
from gateway.wire.packages import check_packages

Json: TypeAlias = dict[str, Any]

MAX_TOOLS = 256
MAX_PAIRS = 16
MAX_FILE_DOCUMENTS = 100
MAX_FILES = 500
MAX_MEMORY_STORES = 8
_ACCOMPANIED = ("user.message", "user.tool_result", "user.custom_tool_result")


def check_agent(agent: Json) -> None:
    """Check an agent, or what a session makes of it (spec/core 2.3, 2.7, 2.9)."""
    tools = agent.get("tools") or []
    _check_toolsets(tools)
    _check_custom_names(tools)
    _check_servers(tools, agent.get("mcp_servers") or [])
    for path, config in _configs(tools):
        _check_web_config(path, config, tools)
    if agent.get("skills") and not tool_enabled(tools, "read"):
        _refuse("skills", "skills need the 'read' tool, which is not enabled in tools")
    if agent.get("multiagent"):
        _check_multiagent(agent["multiagent"])
    check_metadata(agent.get("metadata"))


def check_environment(environment: Json) -> None:
    """Check an environment (spec/core 3.3, 3.4)."""
    check_metadata(environment.get("metadata"), code="invalid_metadata")
    config = environment.get("config") or {}
    networking = config.get("networking") or {}
    packages = config.get("packages") or {}
    check_packages(packages)
    wanted = sorted(name for name, value in packages.items() if name != "type" and value)
    limited = networking.get("type") == "limited"
    if wanted and limited and not networking.get("allow_package_managers"):
        _refuse(
            f"config.packages.{wanted[0]}",
            "packages under limited networking need networking.allow_package_managers: true",
        )


def check_metadata(metadata: Json | None, *, code: str | None = None) -> None:
    """Check the number of pairs of resulting metadata (spec/resources C-4)."""
    if metadata and len(metadata) > MAX_PAIRS:
        text = f"metadata: at most {MAX_PAIRS} pairs are allowed, this makes {len(metadata)}"
        raise InvalidRequest(text, code=code)


def check_session_create(body: Json) -> None:
    """Check the body of a session create (spec/core 5.4, 5.8)."""
    agent = body["agent"]
    overrides = isinstance(agent, dict) and agent["type"] == "agent_with_overrides"
    if overrides and "model" in agent and agent["model"] is None:
        raise InvalidRequest(
            "agent.model: a session's agent must have a model, it cannot be cleared"
            " (agent_model_required)",
            code="agent_model_required",
        )
    check_resources(body.get("resources") or [])
    events = body.get("initial_events") or []
    check_events(events, field="initial_events")
    outcomes = [i for i, event in enumerate(events) if event["type"] == "user.define_outcome"]
    if len(outcomes) > 1:
        _refuse_event("initial_events", outcomes[1], events, "only one outcome can be defined")


def check_session_update(body: Json) -> None:
    """Check the body of a session update (spec/core 5.6)."""
    if "vault_ids" in body:
        _refuse("vault_ids", "the vaults of a session cannot be changed after its creation")


def check_resources(resources: list[Json]) -> None:
    """Check the number of resources of each kind that a session would have (spec/core 5.8)."""
    for kind, most in (("file", MAX_FILES), ("memory_store", MAX_MEMORY_STORES)):
        count = sum(resource["type"] == kind for resource in resources)
        if count > most:
            _refuse("resources", f"at most {most} {kind} resources are allowed, not {count}")


def check_send(body: Json) -> None:
    check_events(body["events"])


def check_approval_answer(body: Json) -> None:
    """Check the answer to an approval: only a denial has words for the model."""
    if body.get("message") is not None and body["decision"] != "deny":
        _refuse("message", "only allowed when decision is 'deny'")


def check_workspace(workspace: Json) -> None:
    """Check a workspace's data residency (spec/resources 7.4)."""
    residency = workspace.get("data_residency") or {}
    allowed = residency.get("allowed_inference_geos")
    default = residency.get("default_inference_geo") or "global"
    if isinstance(allowed, list) and default not in allowed:
        _refuse("data_residency.default_inference_geo", "must be one of allowed_inference_geos")


def check_member(member: Json) -> None:
    """Check the role of a workspace's member (spec/resources 7.4)."""
    if member["workspace_role"] == "workspace_billing":
        _refuse("workspace_role", "workspace_billing cannot be assigned")


def check_user(user: Json) -> None:
    """Check the role of a user: one is of another kind of organization (spec/resources 7.4)."""
    if user["role"] == "managed":
        _refuse("role", "managed cannot be assigned in this organization")


def check_events(events: list[Json], *, field: str = "events") -> None:
    """Check events that arrive in one request (spec/core 6.1, 6.3)."""
    for index, event in enumerate(events):
        _check_event(field, index, events, event)
    documents = sum(_is_file_document(b) for e in events for b in e.get("content") or ())
    if documents > MAX_FILE_DOCUMENTS:
        _refuse(field, f"at most {MAX_FILE_DOCUMENTS} documents can come from files")


def tool_enabled(tools: list[Json], name: str) -> bool:
    """Whether the built-in tool `name` is enabled by these tools (spec/core 2.7.1)."""
    for toolset in tools:
        if toolset["type"] != "agent_toolset_20260401":
            continue
        default = (toolset.get("default_config") or {}).get("enabled")
        own = [c.get("enabled") for c in toolset.get("configs") or () if c["name"] == name]
        choices = [value for value in (*own, default, True) if value is not None]
        return bool(choices[0])
    return False


def _check_event(field: str, index: int, events: list[Json], event: Json) -> None:
    kind = event["type"]
    content = event.get("content") or ()
    if any(block["type"] == "redacted" for block in content):
        _refuse_event(field, index, events, "content: redacted blocks cannot be sent")
    if kind in ("user.message", "system.message"):
        for place, block in enumerate(content):
            if block["type"] == "text" and not block["text"].strip():
                _refuse_event(field, index, events, f"content.{place}.text: must not be blank")
    if event.get("deny_message") is not None and event.get("result") != "deny":
        _refuse_event(field, index, events, "deny_message: only allowed when result is 'deny'")
    if kind == "system.message":
        _check_system(field, index, events)


def _check_system(field: str, index: int, events: list[Json]) -> None:
    if index != len(events) - 1:
        _refuse_event(field, index, events, "must be the last event, and the only one of its kind")
    if index and events[index - 1]["type"] not in _ACCOMPANIED:
        allowed = ", ".join(_ACCOMPANIED)
        _refuse_event(field, index, events, f"must directly follow one of {allowed}")


def _is_file_document(block: Json) -> bool:
    return block["type"] == "document" and block["source"]["type"] == "file"


def _check_toolsets(tools: list[Json]) -> None:
    toolsets = [i for i, tool in enumerate(tools) if tool["type"] == "agent_toolset_20260401"]
    if len(toolsets) > 1:
        _refuse(f"tools.{toolsets[1]}", "an agent can have only one agent_toolset_20260401")
    for index, tool in enumerate(tools):
        names = (config["name"] for config in tool.get("configs") or ())
        _check_distinct(f"tools.{index}.configs", names, "is configured twice")
    total = sum(_size(tool) for tool in tools)
    if total > MAX_TOOLS:
        _refuse("tools", f"at most {MAX_TOOLS} tools are allowed across all toolsets, not {total}")


def _size(tool: Json) -> int:
    match tool["type"]:
        case "custom":
            return 1
        case "mcp_toolset":
            return len(tool.get("configs") or ())
        case _:
            return len(BUILTIN_TOOLS)


def _check_custom_names(tools: list[Json]) -> None:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool["type"] == "custom":
            if tool["name"] in seen:
                _refuse(f"tools.{index}.name", f"{tool['name']!r} is used twice")
            seen.add(tool["name"])


def _check_servers(tools: list[Json], servers: list[Json]) -> None:
    names = [server["name"] for server in servers]
    _check_distinct("mcp_servers", names, "is used twice")
    used: set[str] = set()
    for index, tool in enumerate(tools):
        if tool["type"] != "mcp_toolset":
            continue
        path, name = f"tools.{index}.mcp_server_name", tool["mcp_server_name"]
        if name not in names:
            _refuse(path, f"{name!r} is not the name of a server in mcp_servers")
        if name in used:
            _refuse(path, f"{name!r} already has an mcp_toolset")
        used.add(name)
    for index, name in enumerate(names):
        if name not in used:
            _refuse(f"mcp_servers.{index}.name", f"no mcp_toolset in tools refers to {name!r}")


def _configs(tools: list[Json]) -> Iterator[tuple[str, Json]]:
    for index, tool in enumerate(tools):
        if tool["type"] == "agent_toolset_20260401":
            for place, config in enumerate(tool.get("configs") or ()):
                yield f"tools.{index}.configs.{place}", config


def _check_web_config(path: str, config: Json, tools: list[Json]) -> None:
    if config.get("allowed_domains") and config.get("blocked_domains"):
        _refuse(path, "allowed_domains and blocked_domains cannot be combined")
    sources = config.get("url_sources")
    if not sources:
        return
    keys = ("user_input", "client_tool_results", "server_tool_results")
    if all(_choice(sources.get(key)) == "none" for key in keys):
        _refuse(f"{path}.url_sources", "at least one source must not be 'none'")
    custom = {tool["name"] for tool in tools if tool["type"] == "custom"}
    known = {"client_tool_results": custom, "server_tool_results": {"web_search", "web_fetch"}}
    for key, names in known.items():
        listed = [tool["name"] for tool in _named(sources.get(key))]
        _check_distinct(f"{path}.url_sources.{key}.tools", listed, "is listed twice")
        for place, name in enumerate(listed):
            if name not in names:
                what = "a custom tool of this agent" if names is custom else "a server tool"
                _refuse(f"{path}.url_sources.{key}.tools.{place}.name", f"{name!r} is not {what}")


def _choice(source: str | Json | None) -> str:
    return source["type"] if isinstance(source, dict) else source or "all"


def _named(source: str | Json | None) -> list[Json]:
    return source.get("tools") or [] if isinstance(source, dict) else []


def _check_multiagent(config: Json) -> None:
    if config["type"] == "coordinator":
        _check_roster("multiagent.agents", config["agents"])
        return
    for key in ("subagents", "workflows"):
        member = config.get(key) or {}
        agents = member.get("predefined_agents") or []
        _check_roster(f"multiagent.{key}.predefined_agents", agents)
        inline = (member.get("inline_agents") or {}).get("type", "enabled")
        if member.get("type") == "enabled" and inline == "disabled" and not agents:
            _refuse(
                f"multiagent.{key}.predefined_agents",
                "name at least one agent when inline_agents is disabled",
            )


def _check_roster(path: str, entries: list[str | Json]) -> None:
    names = [_roster_name(entry) for entry in entries]
    _check_distinct(path, names, "is listed twice")


def _roster_name(entry: str | Json) -> str:
    if isinstance(entry, str):
        return entry
    return entry["id"] if entry["type"] == "agent" else entry["type"]


def _check_distinct(path: str, names: Iterable[str], problem: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            _refuse(f"{path}.{index}", f"{name!r} {problem}")
        seen.add(name)


def _refuse_event(field: str, index: int, events: list[Json], rule: str) -> None:
    raise InvalidRequest(f"{at_event(field, index, events[index]['type'])}: {rule}")


def _refuse(path: str, rule: str) -> None:
    raise InvalidRequest(f"{path}: {rule}")
