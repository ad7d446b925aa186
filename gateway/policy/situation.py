"""A call that somebody thinks of, written down: in the cases of a policy directory and for people.

    tool = "pay.refund"
    arguments = { charge = "ch_1", cents = 20000 }
    agent = "Refunds"
    user = "ann@example.com"
    session = { read_private = true }

What is left out is harmless: nobody in particular, a fresh session, no approval.
"""

from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from gateway.policy import builtin
from gateway.policy.facts import (
    AgentFacts,
    ApprovalFacts,
    Attribute,
    CallFacts,
    Facts,
    ServerFacts,
    SessionFacts,
    ToolFacts,
    UserFacts,
    UserKind,
)
from gateway.policy.ruleset import Rules
from gateway.settings.section import Section

NOBODY, NOTHING, NOWHERE = "nobody", "no-agent", "nowhere"
"""The user, the agent and the workspace that no rule names."""

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Unknown(Exception):
    """The situation names a tool that there is not."""


class _Session(Section):
    read_private: bool = False
    read_untrusted: bool = False
    data_label: str = ""
    spent_cents: int = 0
    spend_cap_cents: int = 0
    calls_last_minute: int = 0


class _Approval(Section):
    by: str
    groups: list[str] = Field(default=[])
    """Besides those that the vocabulary puts them in."""


class Situation(Section):
    """One call and what is known of it."""

    tool: str
    """As policies name it; ``unlisted.NAME`` for one that nobody declared."""
    arguments: dict[str, Any] = Field(default={})
    agent: str = NOTHING
    """An id or a name."""
    agent_classes: list[str] = Field(default=[])
    """Besides those that the vocabulary puts it in; likewise groups."""
    agent_version: int = 1
    user: str = NOBODY
    """An id or an e-mail address."""
    user_kind: UserKind = "user"
    groups: list[str] = Field(default=[])
    attributes: dict[str, Attribute] = Field(default={})
    workspace: str = NOWHERE
    pinned: bool = True
    """Whether the tool is as it was reviewed."""
    session: _Session = _Session()
    approval: _Approval | None = None
    now: datetime = _NOW
    source_ip: str | None = None

    def facts(self, rules: Rules) -> tuple[CallFacts, Facts]:
        """What the policies are asked about.

        Raises:
            Unknown: There is no such tool.
        """
        tool, url = find_tool(rules, self.tool)
        own = tool.server in (builtin.SANDBOX, builtin.WEB)
        arguments = builtin.derive(tool.name, self.arguments) if own else self.arguments
        moment = self.now if self.now.tzinfo else self.now.replace(tzinfo=UTC)
        facts = Facts(
            agent=self._agent(rules),
            user=self._user(rules),
            server=ServerFacts(
                id=url or tool.server,
                kind=tool.server,
                pinned=self.pinned,
                classes=rules.server_classes.get(tool.server, frozenset()),
            ),
            session=SessionFacts(id="session", **self.session.model_dump()),
            now=int(moment.timestamp() * 1_000_000),
            approval=self._approved(rules),
            source_ip=self.source_ip,
        )
        return CallFacts(tool, arguments), facts

    def _agent(self, rules: Rules) -> AgentFacts:
        known = rules.agent(
            id=self.agent, name=self.agent, version=self.agent_version, workspace=self.workspace
        )
        return AgentFacts(
            id=known.id,
            version=known.version,
            workspace=known.workspace,
            classes=known.classes.union(self.agent_classes),
        )

    def _user(self, rules: Rules) -> UserFacts:
        known = rules.user(id=self.user, kind=self.user_kind)
        return UserFacts(
            id=known.id,
            kind=known.kind,
            groups=known.groups.union(self.groups),
            attributes=tuple(sorted({**dict(known.attributes), **self.attributes}.items())),
        )

    def _approved(self, rules: Rules) -> ApprovalFacts | None:
        if self.approval is None:
            return None
        known = rules.user(id=self.approval.by, kind="user").groups
        return ApprovalFacts(by=self.approval.by, groups=known.union(self.approval.groups))


def find_tool(rules: Rules, action: str) -> tuple[ToolFacts, str | None]:
    """The tool that policies call `action`, and the URL of its server if it has one.

    Raises:
        Unknown: There is none.
    """
    shape = rules.enterprise and rules.enterprise.vocabulary.tool(action)
    if shape:
        url = next((url for url, name in rules.servers.items() if name == shape.server), None)
        digest = rules.pins.get(action, "")
        return ToolFacts(server=shape.server, name=shape.name, digest=digest), url
    server, _, name = action.partition(".")
    if server != "unlisted" or not name:
        raise Unknown(f"there is no tool {action}; for one that nobody declared: unlisted.NAME")
    return ToolFacts(server=server, name=name, digest=""), None
