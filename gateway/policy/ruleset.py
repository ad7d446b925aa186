"""One set of rules, ready to judge by: policies, and who and what their names stand for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.policy.builtin import SANDBOX, WEB
from gateway.policy.enterprise import Enterprise
from gateway.policy.facts import (
    AgentFacts,
    Attribute,
    ServerFacts,
    ToolFacts,
    UserFacts,
    UserKind,
)
from gateway.policy.labels import Labels
from gateway.policy.vocabulary import member, normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One set in force; immutable."""

    digest: str = "none"
    """Of everything in it; ``none`` where no directory is configured."""
    enterprise: Enterprise | None = None
    """None: there is no enterprise policy, and the toolsets alone decide."""
    shadow: Enterprise | None = None
    """What would decide if the shadow policies were in force too."""
    labels: Labels = field(default_factory=Labels)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Names of groups by a member's principal id or e-mail address."""
    agent_classes: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Names of classes by an agent's id or name."""
    server_classes: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """Names of classes by a server's name in the vocabulary."""
    users: Mapping[str, tuple[tuple[str, Attribute], ...]] = field(
        default_factory=dict[str, tuple[tuple[str, Attribute], ...]]
    )
    """Attributes by a user's principal id or e-mail address."""
    servers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names of MCP servers by their normalised URL."""
    pins: Mapping[str, str] = field(default_factory=dict[str, str])
    """Digests of reviewed definitions by action."""
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where each policy stands, by its id."""
    warnings: tuple[str, ...] = ()

    def agent(self, *, id: str, name: str, version: int, workspace: str) -> AgentFacts:  # noqa: A002 - as facts call it
        """An agent, in its classes."""
        return AgentFacts(
            id=id,
            version=version,
            workspace=workspace,
            classes=_of(self.agent_classes, id) | _of(self.agent_classes, name),
        )

    def user(self, *, id: str, kind: UserKind, email: str | None = None) -> UserFacts:  # noqa: A002 - as facts call it
        """Whoever is acting, in their groups and with their attributes."""
        names = [member(name) for name in (id, email) if name]
        known = {key: value for name in names for key, value in self.users.get(name, ())}
        return UserFacts(
            id=id,
            kind=kind,
            groups=frozenset[str]().union(*(_of(self.groups, name) for name in names)),
            attributes=tuple(sorted(known.items())),
        )

    def kind(self, server: str) -> str:
        """The name of a server in policies, by that name or by its URL.

        A server that nobody declared is called by its URL, and its tools are unlisted.
        """
        return server if "://" not in server else self.servers.get(_known(server), _known(server))

    def server(self, server: str, tool: ToolFacts | None = None) -> ServerFacts:
        """A server, by its name or URL; pinned if that tool is as it was reviewed."""
        kind = self.kind(server)
        known = tool is not None and self.pins.get(tool.action) == tool.digest
        return ServerFacts(
            id=next((url for url, name in self.servers.items() if name == kind), kind),
            kind=kind,
            pinned=known or kind in (SANDBOX, WEB),
            classes=_of(self.server_classes, kind),
        )


def _of(named: Mapping[str, frozenset[str]], member: str) -> frozenset[str]:
    return named.get(member, frozenset())


def _known(url: str) -> str:
    try:
        return normalise(url)
    except ValueError:
        return url
