"""Who an agent may work with: lists of other agents, pinned to versions (spec/core 2.9).

Stored lists hold ``{"type": "agent", id, version}``, ``{"type": "self"}`` and, at the end of a
coordinator's, ``{"type": "advisor", model}``. Agents are never deleted and versions never change,
so what is pinned can always be read again.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from gateway.errors import InvalidRequest, NotFound
from gateway.store.agents import Agents
from gateway.store.records import AgentRow

Json: TypeAlias = dict[str, Any]
Members: TypeAlias = dict[tuple[str, int], AgentRow]
"""Listed agents by id and version."""

ADVISOR = "anthropic.advisor"
"""The name an advisor goes by, which no other member of its roster may have."""

_ENABLED = {"type": "enabled"}
_DISABLED = {"type": "disabled"}
_SELF = {"type": "self"}


def merge(stored: Json | None, given: Json | None) -> Json | None:
    """The block that an update makes; on create nothing is stored.

    A coordinator is replaced. A ``multiagent_20261001`` is merged into a stored one, key by key:
    omitted keeps, null means the default, another ``type`` replaces.
    """
    if given is None or given["type"] == "coordinator":
        return given
    base = stored if stored is not None and stored["type"] == given["type"] else {}
    block: Json = {"type": given["type"]}
    for key in ("subagents", "workflows"):
        member = _chosen(given, base, key, _ENABLED)
        same = member["type"] == base.get(key, {}).get("type")
        block[key] = _list_member(member, base[key] if same else {})
    block["advisor"] = _chosen(given, base, "advisor", _DISABLED)
    return block


async def pin(agents: Agents, workspace: str, block: Json, own: str | None) -> tuple[Json, Members]:
    """Resolve every entry of `block` to a version, the latest unless it names one.

    Args:
        agents: Where listed agents are found.
        workspace: Whose they must be.
        block: As `merge` made it.
        own: The id of the agent it belongs to; None while that has none.

    Raises:
        InvalidRequest: An entry is unknown, archived, has a block of its own, or is there twice.
    """
    members: Members = {}
    pinned: dict[str, list[Json]] = {}
    for path, entries in _lists(block):
        pinned[path] = []
        for index, entry in enumerate(entries):
            found = await _pin(agents, workspace, f"{path}.{index}", entry, own)
            if isinstance(found, AgentRow):
                members[found.id, found.version] = found
                found = {"type": "agent", "id": found.id, "version": found.version}
            pinned[path].append(found)
        _check_distinct(path, pinned[path])
        pinned[path].sort(key=lambda entry: entry["type"] == "advisor")
    return _with_lists(block, pinned), members


async def load(agents: Agents, workspace: str, block: Json | None) -> Members:
    """Read the agents that a pinned block lists."""
    members: Members = {}
    for _, entries in _lists(block):
        for entry in entries:
            if entry["type"] == "agent":
                key = entry["id"], entry["version"]
                members[key] = await agents.get(workspace=workspace, id=key[0], version=key[1])
    return members


def check(agent: Json, members: Members) -> None:
    """Check names and regions over an agent and everybody it lists.

    Raises:
        InvalidRequest: Somebody has the advisor's name, or another region is pinned.
    """
    block = agent["multiagent"]
    regions = {agent["model"]["inference_geo"]}
    for path, entries in _lists(block):
        for index, entry in enumerate(entries):
            if entry["type"] == "advisor":
                continue
            body = agent if entry["type"] == "self" else _body(members, entry)
            regions.add(body["model"]["inference_geo"])
            if body["name"] == ADVISOR and advisor(block) is not None:
                raise InvalidRequest(f"{path}.{index}: the name {ADVISOR!r} is reserved")
    if len(regions) > 1:
        raise InvalidRequest(
            "multiagent: model.inference_geo must be the same for the agent and everyone it lists"
        )


def advisor(block: Json | None) -> str | None:
    """The model that can be consulted, if there is one."""
    if block is None:
        return None
    if block["type"] == "coordinator":
        models = [e["model"] for e in block["agents"] if e["type"] == "advisor"]
        return models[0] if models else None
    return block["advisor"].get("model")


def listed(block: Json | None) -> list[Json]:
    """The agents of a block that was expanded for a session, without advisors."""
    return [e for _, entries in _lists(block) for e in entries if e["type"] == "agent"]


def shown(block: Json | None, own: Json) -> Json | None:
    """The block as clients see it: `own` stands for the agent itself."""
    return replace(block, lambda entry: own if entry["type"] == "self" else entry)


def replace(block: Json | None, become: Callable[[Json], Json]) -> Json | None:
    """The block with every listed entry replaced by what `become` makes of it."""
    if block is None:
        return None
    lists = {path: [become(entry) for entry in entries] for path, entries in _lists(block)}
    return _with_lists(block, lists)


def _chosen(given: Json, base: Json, key: str, default: Json) -> Json:
    return (given[key] if key in given else base.get(key)) or default


def _list_member(member: Json, stored: Json) -> Json:
    if member["type"] == "disabled":
        return _DISABLED
    return {
        "type": "enabled",
        "inline_agents": _chosen(member, stored, "inline_agents", _ENABLED),
        "predefined_agents": _chosen(member, stored, "predefined_agents", {}) or [],
    }


async def _pin(
    agents: Agents, workspace: str, path: str, entry: str | Json, own: str | None
) -> AgentRow | Json:
    reference: Json = {"type": "agent", "id": entry} if isinstance(entry, str) else entry
    if reference["type"] != "agent":
        return reference
    if reference["id"] == own:
        return _SELF
    try:
        row = await agents.get(
            workspace=workspace, id=reference["id"], version=reference.get("version")
        )
    except NotFound as error:
        raise InvalidRequest(f"{path}: {error.message}") from error
    if row.archived_at is not None:
        raise InvalidRequest(f"{path}: agent {row.id} is archived")
    if row.body["multiagent"] is not None:
        raise InvalidRequest(f"{path}: agent {row.id} has a multiagent block of its own")
    return row


def _check_distinct(path: str, entries: list[Json]) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        name = entry.get("id", entry["type"])
        if name in seen:
            raise InvalidRequest(f"{path}.{index}: {name!r} is listed twice")
        seen.add(name)


def _lists(block: Json | None) -> Iterator[tuple[str, list[Any]]]:
    """The lists of a block, each with its path from the top of the agent."""
    if block is None:
        return
    if block["type"] == "coordinator":
        yield "multiagent.agents", block["agents"]
        return
    for key in ("subagents", "workflows"):
        if block[key]["type"] == "enabled":
            yield f"multiagent.{key}.predefined_agents", block[key]["predefined_agents"]


def _with_lists(block: Json, lists: dict[str, list[Json]]) -> Json:
    if block["type"] == "coordinator":
        return {**block, "agents": lists["multiagent.agents"]}
    changed = dict(block)
    for key in ("subagents", "workflows"):
        entries = lists.get(f"multiagent.{key}.predefined_agents")
        if entries is not None:
            changed[key] = {**block[key], "predefined_agents": entries}
    return changed


def _body(members: Members, entry: Json) -> Json:
    return members[entry["id"], entry["version"]].body
