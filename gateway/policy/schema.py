"""The vocabulary of enterprise policies: a Cedar schema made from what tools there are.

There is one action for each tool, named ``SERVER.TOOL``, a member of the groups that say what the
tool does (``read``, ``write``, ``destructive``, ``egress``, ``money``) and of ``SERVER.*``, its
server's. All are members of ``call``. Tools of servers that the operator has not declared share
the action ``unlisted.call``, which sees no arguments: who has not said what a tool does has no
rule for what it is called with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from gateway.policy.arguments import Record, declare, quote
from gateway.policy.facts import Effect, action_of

UNLISTED = "unlisted.call"
"""The action of every tool that nobody declared."""

AttributeType: TypeAlias = Literal["String", "Long", "Bool"]

_UNKNOWN: frozenset[Effect] = frozenset({"write", "destructive", "egress", "money"})
"""What an undeclared tool may do: every rule about a harm holds for it."""

_CORE = """\
entity Workspace;
entity Group;
entity AgentClass;
entity ServerClass;
entity User in [Group, Workspace] = {{ kind: String{attributes} }};
entity Agent in [AgentClass, Workspace] = {{ workspace: Workspace, version: Long }};
entity Server in [ServerClass] = {{ kind: String, pinned: Bool }};
type Session = {{
  id: String,
  read_private: Bool,
  read_untrusted: Bool,
  data_label: String,
  spent_cents: Long,
  spend_cap_cents: Long,
  calls_last_minute: Long,
}};
type Approval = {{ granted: Bool, by?: User }};
action "call";
action "read" in ["call"];
action "write" in ["call"];
action "destructive" in ["write"];
action "egress" in ["call"];
action "money" in ["write"];
"""

_CONTEXT = (
    "agent: Agent, user: User, workspace: Workspace, session: Session, approval: Approval,"
    " now: datetime, source_ip?: ipaddr, tool: String, tool_digest: String"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolShape:
    """A tool that policies can name."""

    server: str
    name: str
    arguments: Record
    effects: frozenset[Effect]
    action: str = field(init=False)
    """Its name in policies."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "action", action_of(self.server, self.name))


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Every tool that policies can name, and what is known of users."""

    tools: Sequence[ToolShape]
    attributes: Mapping[str, AttributeType] = field(default_factory=dict[str, AttributeType])

    def tool(self, action: str) -> ToolShape | None:
        """The tool with that action, if it was declared."""
        return self._by_action.get(action)

    def groups(self, action: str) -> list[str]:
        """Every action group a tool is in, directly or not."""
        tool = self.tool(action)
        effects = set[str](_UNKNOWN if tool is None else tool.effects)
        if effects & {"destructive", "money"}:
            effects.add("write")
        server = ["unlisted.*"] if tool is None else [f"{tool.server}.*"]
        return ["call", *sorted(effects), *server]

    @cached_property
    def _by_action(self) -> dict[str, ToolShape]:
        return {tool.action: tool for tool in self.tools}


def write_schema(vocabulary: Vocabulary) -> str:
    """The schema in Cedar's own language."""
    attributes = "".join(
        f", {quote(name)}?: {kind}" for name, kind in sorted(vocabulary.attributes.items())
    )
    servers = sorted({tool.server for tool in vocabulary.tools} | {"unlisted"})
    parts = [_CORE.format(attributes=attributes)]
    parts += [f'action {quote(f"{server}.*")} in ["call"];\n' for server in servers]
    parts += [
        _action(tool.action, tool.server, tool.effects, declare(tool.arguments))
        for tool in vocabulary.tools
    ]
    parts.append(_action(UNLISTED, "unlisted", _UNKNOWN, "{}"))
    return "".join(parts)


def _action(name: str, server: str, effects: frozenset[Effect], arguments: str) -> str:
    groups = ", ".join(quote(group) for group in (*sorted(effects), f"{server}.*"))
    return (
        f"action {quote(name)} in [{groups}] appliesTo {{ principal: [Agent, User],"
        f" resource: Server, context: {{ args: {arguments}, {_CONTEXT} }} }};\n"
    )
