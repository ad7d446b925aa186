"""What an enterprise policy can know when it decides: facts the gateway keeps, none the model says.

Everything here is frozen and hashable, so that what was worked out for the same facts can be kept.
Money is in US cents, times in microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Effect: TypeAlias = Literal["read", "write", "destructive", "egress", "money"]
"""What calling a tool does; ``destructive`` and ``money`` are kinds of ``write``."""

Attribute: TypeAlias = int | str | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """One tool, as policies name it."""

    server: str
    """The kind of its server: ``sandbox``, ``web``, or the operator's name of an MCP server."""
    name: str
    digest: str
    """Of the definition the model was shown; a changed definition is another tool."""

    @property
    def action(self) -> str:
        """The tool's name in policies, such as ``github.create_issue``."""
        return f"{self.server}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """The server that would answer the call."""

    id: str
    """``sandbox``, ``web``, or the normalised URL of an MCP server."""
    kind: str
    pinned: bool = True
    """Its tool definitions are those that were reviewed."""
    classes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """The first key: which agent calls."""

    id: str
    version: int
    workspace: str
    classes: frozenset[str] = frozenset()
    """Groups of agents that the operator has named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFacts:
    """The second key: for whom it calls."""

    id: str
    kind: Literal["user", "service_account", "api_key"]
    groups: frozenset[str] = frozenset()
    attributes: tuple[tuple[str, Attribute], ...] = ()
    """By name, sorted; the operator declares which there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What the session has done so far."""

    id: str
    read_private: bool = False
    read_untrusted: bool = False
    data_label: str = ""
    spent_cents: int = 0
    spend_cap_cents: int = 0
    """0 means that there is no cap."""
    calls_last_minute: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFacts:
    """What a person has said of this very call."""

    by: str
    """The user who approved."""
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything about one call but the tool and its arguments."""

    agent: AgentFacts
    user: UserFacts
    server: ServerFacts
    session: SessionFacts
    now: int
    approval: ApprovalFacts | None = None
    source_ip: str | None = None
    """Where the request came from, if it came from an address."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """A tool and what it is called with."""

    tool: ToolFacts
    arguments: Mapping[str, Any]
