"""What tools an agent has: names, schemas, where each runs, and what its toolset says of it.

Built from the session's agent snapshot alone, so that the list the model sees and the calls that
may run can never differ. MCP toolsets have their place here (`Tool.server`); their tools join the
catalog once something connects to the server.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gateway.policy.toolset import Permission, resolve
from toolservers import schemas

Kind: TypeAlias = Literal["builtin", "mcp", "custom"]
Place: TypeAlias = Literal["sandbox", "web", "server", "client"]
"""Where a tool runs. ``web`` is the sandbox for web tools, on our side in every environment."""

READ_ONLY = frozenset({"read", "glob", "grep"})
"""Tools that may run again after a crash without changing anything (spec/core 12a)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool of one agent."""

    name: str
    kind: Kind
    place: Place
    description: str
    input_schema: dict[str, Any]
    permission: Permission | None
    """None for custom tools, which are never subject to policies (spec/core 2.7.3)."""
    server: str | None = None
    read_only: bool = False
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    """Its own entry in the toolset's ``configs``, for a web tool."""

    @property
    def offered(self) -> bool:
        return self.permission is None or self.permission.enabled


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
        return [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.input_schema,
            }
            for tool in self.visible()
        ]


def build(toolsets: Sequence[dict[str, Any]], environment: str) -> Catalog:
    """Make the catalog of an agent's ``tools`` for a ``cloud`` or ``self_hosted`` environment."""
    place: Place = "client" if environment == "self_hosted" else "sandbox"
    tools: dict[str, Tool] = {}
    for entry in toolsets:
        if entry["type"] == "agent_toolset_20260401":
            tools.update(_builtin(entry, place))
        elif entry["type"] == "custom":
            tools[entry["name"]] = _custom(entry)
    return Catalog(tools)


def _builtin(toolset: dict[str, Any], place: Place) -> dict[str, Tool]:
    sandboxed = (_tool(toolset, definition, place) for definition in schemas.TOOLS)
    web = (_tool(toolset, definition, "web") for definition in schemas.WEB_TOOLS)
    return {tool.name: tool for tool in (*sandboxed, *web)}


def _tool(toolset: dict[str, Any], definition: dict[str, Any], place: Place) -> Tool:
    name = definition["name"]
    configs = (config for config in toolset.get("configs") or () if config["name"] == name)
    return Tool(
        name=name,
        kind="builtin",
        place=place,
        description=definition["description"],
        input_schema=definition["inputSchema"],
        permission=resolve(toolset, name),
        read_only=name in READ_ONLY,
        config=next(configs, {}),
    )


def _custom(entry: dict[str, Any]) -> Tool:
    return Tool(
        name=entry["name"],
        kind="custom",
        place="client",
        description=entry["description"],
        input_schema=entry["input_schema"],
        permission=None,
    )
