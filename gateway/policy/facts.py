"""What an enterprise policy can know when it decides: facts the gateway keeps, none the model says.

Everything here is frozen and hashable, so that what was worked out for the same facts can be kept.
Money is in US cents, times in microseconds since 1970 UTC.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Effect: TypeAlias = Literal["read", "write", "destructive", "egress", "money"]
"""What calling a tool does; ``destructive`` and ``money`` are kinds of ``write``."""

Attribute: TypeAlias = int | str | bool
UserKind: TypeAlias = Literal["user", "service_account", "api_key"]

_PLAIN_SERVER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLAIN_TOOL = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_SHOWN = 40
"""Characters of an odd name that stay readable."""


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
        return action_of(self.server, self.name)


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
    kind: UserKind
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
    grants: tuple[str, str] = ("", "")
    """What it gave up when it was made (`gateway.policy.grants`)."""


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


def action_of(server: str, tool: str) -> str:
    """The name of a tool in policies: ``SERVER.TOOL``, different for different tools.

    Names of other than ordinary characters, or of more than 64, are cut down to what can be read
    of them, a ``~`` and a digest: the same at all times and everywhere.
    """
    return f"{_plain(server, _PLAIN_SERVER)}.{_plain(tool, _PLAIN_TOOL)}"


def digest_of(definition: Mapping[str, Any]) -> str:
    """The digest of a tool's definition, as an MCP server gives it: all that a model is shown.

    Of ``name``, ``description``, ``inputSchema`` and ``annotations``, whatever the order of keys.
    """
    shown = {
        key: definition.get(key) for key in ("name", "description", "inputSchema", "annotations")
    }
    canonical = json.dumps(shown, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(name: str, ordinary: re.Pattern[str]) -> str:
    if ordinary.fullmatch(name):
        return name
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:_SHOWN]
    return f"{readable}~{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Who calls, for whom, in what session: the same for all calls of a moment."""

    agent: AgentFacts
    user: UserFacts
    session: SessionFacts
    source_ip: str | None = None
    """Where the client's last message came from, if it came from an address."""
