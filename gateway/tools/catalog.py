"""What tools an agent has: names, schemas, where each runs, and what its toolset says of it.

Built from the session's agent snapshot and from what its MCP servers answered, so that the list
the model sees and the calls that may run can never differ.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gateway.policy.facts import ToolFacts, digest_of
from gateway.policy.toolset import Permission, resolve
from toolservers import schemas

Kind: TypeAlias = Literal["builtin", "mcp", "custom"]
Place: TypeAlias = Literal["sandbox", "web", "server", "client"]
"""Where a tool runs. ``web`` is the sandbox for web tools, on our side in every environment."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LONGEST = 119
"""Characters of a name that is cut, so that its digest fits behind it."""

READ_ONLY = frozenset({"read", "glob", "grep"})
"""Tools that may run again after a crash without changing anything (spec/core 12a)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool of one agent."""

    name: str
    """Its own, as events show it."""
    called: str
    """What the model calls it: no two tools of an agent share this."""
    kind: Kind
    place: Place
    description: str
    input_schema: dict[str, Any]
    permission: Permission | None
    """None for custom tools, which are never subject to policies (spec/core 2.7.3)."""
    facts: ToolFacts
    """The tool as policies and audit records know it."""
    server: str | None = None
    """The agent's name of the MCP server."""
    url: str | None = None
    """Where that is."""
    read_only: bool = False
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    """Its own entry in the toolset's ``configs``, for a web tool."""

    @property
    def offered(self) -> bool:
        return self.permission is None or self.permission.enabled


@dataclass(frozen=True, slots=True)
class Remote:
    """An MCP server that answered."""

    url: str
    tools: Sequence[dict[str, Any]]
    """The entries of its ``tools/list``."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the MCP servers of an agent said, by the agent's name of them."""

    remote: Mapping[str, Remote]
    missing: Mapping[str, str]
    """Why there is nothing of the others."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The tools of one agent, by the name the model calls them."""

    tools: dict[str, Tool]

    def get(self, name: str) -> Tool | None:
        return self.tools.get(name)

    def visible(self) -> list[Tool]:
        """The tools the model may be told about, in a stable order."""
        return [tool for tool in self.tools.values() if tool.offered]

    def definitions(self) -> list[dict[str, Any]]:
        """The ``tools`` parameter of a Messages request."""
        return [define(tool) for tool in self.visible()]


def define(tool: Tool) -> dict[str, Any]:
    """One entry of the ``tools`` parameter of a Messages request."""
    return {
        "name": tool.called,
        "description": tool.description,
        "input_schema": tool.input_schema,
    }


def build(
    toolsets: Sequence[dict[str, Any]],
    environment: str,
    remote: Mapping[str, Remote] | None = None,
) -> Catalog:
    """Make the catalog of an agent.

    Args:
        toolsets: Its ``tools``.
        environment: ``cloud`` or ``self_hosted``.
        remote: Its MCP servers that answered, by its name of them.
    """
    place: Place = "client" if environment == "self_hosted" else "sandbox"
    tools: dict[str, Tool] = {}
    for entry in toolsets:
        if entry["type"] == "agent_toolset_20260401":
            tools.update(_builtin(entry, place))
        elif entry["type"] == "custom":
            tools[entry["name"]] = _custom(entry)
        else:
            found = (remote or {}).get(entry["mcp_server_name"])
            if found is not None:
                tools.update(_remote(entry, found))
    return Catalog(tools)


def _builtin(toolset: dict[str, Any], place: Place) -> dict[str, Tool]:
    sandboxed = (_tool(toolset, definition, place) for definition in schemas.TOOLS)
    web = (_tool(toolset, definition, "web") for definition in schemas.WEB_TOOLS)
    return {tool.name: tool for tool in (*sandboxed, *web)}


_DIGESTS = {
    definition["name"]: digest_of(definition) for definition in (*schemas.TOOLS, *schemas.WEB_TOOLS)
}


def _tool(toolset: dict[str, Any], definition: dict[str, Any], place: Place) -> Tool:
    name = definition["name"]
    configs = (config for config in toolset.get("configs") or () if config["name"] == name)
    server = "web" if place == "web" else "sandbox"
    return Tool(
        name=name,
        called=name,
        facts=ToolFacts(server=server, name=name, digest=_DIGESTS[name]),
        kind="builtin",
        place=place,
        description=definition["description"],
        input_schema=definition["inputSchema"],
        permission=resolve(toolset, name),
        read_only=name in READ_ONLY,
        config=next(configs, {}),
    )


def _remote(toolset: dict[str, Any], found: Remote) -> dict[str, Tool]:
    server = toolset["mcp_server_name"]
    tools = [
        Tool(
            name=definition["name"],
            called=_called(server, definition["name"]),
            facts=ToolFacts(server=server, name=definition["name"], digest=digest_of(definition)),
            kind="mcp",
            place="server",
            description=definition.get("description") or "",
            input_schema=definition["inputSchema"],
            permission=resolve(toolset, definition["name"]),
            server=server,
            url=found.url,
        )
        for definition in found.tools
    ]
    return {tool.called: tool for tool in tools}


def _called(server: str, tool: str) -> str:
    """A name that models take: letters, digits, ``_`` and ``-``, and no two alike."""
    plain = f"mcp__{server}__{tool}"
    if _PLAIN.fullmatch(plain):
        return plain
    digest = hashlib.sha256(f"{server}\0{tool}".encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', plain)[:_LONGEST]}_{digest}"


def _custom(entry: dict[str, Any]) -> Tool:
    definition = {**entry, "inputSchema": entry["input_schema"]}
    return Tool(
        name=entry["name"],
        called=entry["name"],
        facts=ToolFacts(server="custom", name=entry["name"], digest=digest_of(definition)),
        kind="custom",
        place="client",
        description=entry["description"],
        input_schema=entry["input_schema"],
        permission=None,
    )
