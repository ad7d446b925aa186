"""From an agent to the copy of it that a session keeps (spec/core 5.3, 5.4).

A copy is resolved once: the version, the overrides, and everybody the agent lists. What happens to
the agent afterwards changes no session.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from gateway.api import definition, multiagent, toolset
from gateway.errors import InvalidRequest, NotFound
from gateway.store.agents import Agents
from gateway.store.records import AgentRow
from gateway.wire import rules

Json: TypeAlias = dict[str, Any]
Form: TypeAlias = Literal["agent", "agent_with_overrides"]

_COPIED = (
    "name",
    "description",
    "system",
    "model",
    "tools",
    "mcp_servers",
    "skills",
    "execution_identity",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An agent as one session has it."""

    form: Form
    agent: Json
    """As the session shows it, with everybody it lists."""

    @property
    def thread_agent(self) -> Json:
        """As a thread shows it: without `multiagent`."""
        return without_multiagent(self.agent)


async def take(agents: Agents, workspace: str, given: str | Json) -> Snapshot:
    """Resolve what the client gave as ``agent``.

    Raises:
        NotFound: There is no such agent, or no such version.
        InvalidRequest: It is archived, or the overrides do not fit together.
    """
    asked: Json = {"type": "agent", "id": given} if isinstance(given, str) else given
    row = await _find(agents, workspace, asked)
    try:
        body = _overridden(row.body, asked)
        members = await multiagent.load(agents, workspace, body["multiagent"])
        if body["multiagent"] is not None:
            multiagent.check(body, members)
    except InvalidRequest as error:
        raise InvalidRequest(f"agent.{error.message}", code=error.code) from error
    return Snapshot(form=asked["type"], agent=_copy(row, body, members))


def replaced(agent: Json, patch: Json) -> Json:
    """A session's agent with its tools or servers replaced (spec/core 5.6).

    Raises:
        InvalidRequest: The result does not fit together.
    """
    changed = dict(agent)
    if "tools" in patch:
        changed["tools"] = toolset.resolve(patch["tools"])
    if "mcp_servers" in patch:
        changed["mcp_servers"] = patch["mcp_servers"]
    try:
        rules.check_agent(changed)
    except InvalidRequest as error:
        raise InvalidRequest(f"agent.{error.message}", code=error.code) from error
    return changed


def check_reach(agent: Json, networking: Json | None) -> None:
    """Check that the environment lets every MCP server of the agent be reached (spec/core 3.4).

    Raises:
        InvalidRequest: A server, or one of somebody the agent lists, is on no allowed host.
    """
    if networking is None or networking["type"] != "limited" or networking["allow_mcp_servers"]:
        return
    for body in (agent, *multiagent.listed(agent["multiagent"])):
        for server in body["mcp_servers"]:
            host = urlsplit(server["url"]).hostname or ""
            if not _allowed(host, networking["allowed_hosts"]):
                raise InvalidRequest(
                    f"agent.mcp_servers: the environment does not allow {host}, the host of"
                    f" {server['name']!r}; add it to allowed_hosts or set allow_mcp_servers"
                )


def without_multiagent(agent: Json) -> Json:
    return {key: value for key, value in agent.items() if key != "multiagent"}


async def _find(agents: Agents, workspace: str, asked: Json) -> AgentRow:
    try:
        row = await agents.get(workspace=workspace, id=asked["id"], version=asked.get("version"))
    except NotFound as error:
        raise NotFound(f"agent: {error.message}") from error
    if row.archived_at is not None:
        raise InvalidRequest(f"agent: agent {row.id} is archived")
    return row


def _overridden(stored: Json, asked: Json) -> Json:
    """The agent's body with its overrides: omitted inherits, null clears, a value replaces."""
    body = dict(stored)
    if "model" in asked:
        body["model"] = definition.model(asked["model"])
    if "system" in asked:
        body["system"] = asked["system"] or None
    if "tools" in asked:
        body["tools"] = toolset.resolve(asked["tools"])
    if "mcp_servers" in asked:
        body["mcp_servers"] = asked["mcp_servers"] or []
    if "skills" in asked:
        body["skills"] = definition.skills(asked["skills"])
    if asked["type"] == "agent_with_overrides":
        rules.check_agent(body)
    return body


def _copy(row: AgentRow, body: Json, members: multiagent.Members) -> Json:
    own = _thread_agent(row, body)

    def expand(entry: Json) -> Json:
        match entry["type"]:
            case "self":
                return own
            case "agent":
                member = members[entry["id"], entry["version"]]
                return _thread_agent(member, member.body)
            case _:
                return entry

    return {**own, "multiagent": multiagent.replace(body["multiagent"], expand)}


def _thread_agent(row: AgentRow, body: Json) -> Json:
    copied = {key: body[key] for key in _COPIED}
    return {"type": "agent", "id": row.id, "version": row.version, **copied}


def _allowed(host: str, hosts: list[str]) -> bool:
    return any(
        host.endswith(allowed[1:].lower()) if allowed.startswith("*.") else host == allowed.lower()
        for allowed in hosts
    )
