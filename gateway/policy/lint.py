"""What is allowed in policies and surely not meant: rules that no call can ever meet.

Everything said here is proved: conditions by `gateway.policy.formula`, scopes by comparing them. So
silence does not mean that there is nothing wrong.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from cedarpy import pst

from gateway.policy.formula import All, Not, satisfiable
from gateway.policy.ground import World, condition
from gateway.policy.ruleset import Rules
from gateway.policy.schema import UNLISTED

_NOTHING = World(terms={}, within={}, attributes={})
_MOST_PAIRS = 20_000
"""Permits and forbids that are compared; more take too long."""
_NAMED = {"Group": "groups", "AgentClass": "agent_classes", "ServerClass": "server_classes"}


def find_oddities(rules: Rules) -> list[str]:
    """Everything odd, each with the place and the id of its policy."""
    assert rules.enterprise is not None, "a directory's set has policies"
    nodes = rules.enterprise.policies.nodes
    lint = _Lint(rules, nodes.values())
    problems = [
        f"{rules.places.get(name, '?')}: {name}: {problem}"
        for name, node in nodes.items()
        for problem in lint.examine(node)
    ]
    return problems + lint.examine_tools()


class _Lint:
    def __init__(self, rules: Rules, nodes: Iterable[pst.Template]) -> None:
        assert rules.enterprise is not None, "a directory's set has policies"
        self._vocabulary = rules.enterprise.vocabulary
        self._named = {
            "Group": frozenset[str]().union(*rules.groups.values()),
            "AgentClass": frozenset[str]().union(*rules.agent_classes.values()),
            "ServerClass": frozenset[str]().union(*rules.server_classes.values()),
        }
        self._actions = {
            action: frozenset(self._vocabulary.groups(action))
            for action in (*(tool.action for tool in self._vocabulary.tools), UNLISTED)
        }
        self._servers = {"sandbox", "web", *rules.servers}
        self._nodes = list(nodes)
        self._forbids = [node for node in self._nodes if node.effect == "forbid"]
        self._pairs = iter(range(_MOST_PAIRS))

    def examine(self, node: pst.Template) -> Iterator[str]:
        """What is odd about one policy."""
        own = condition(node, _NOTHING)
        if not satisfiable(own):
            yield "can never apply: its conditions contradict each other"
            return
        for uid in sorted(pst.entity_uids(node), key=str):
            kind = str(uid.type)
            if kind in _NAMED and uid.id not in self._named[kind]:
                yield f"matches nobody: {kind} {uid.id} is not in {_NAMED[kind]} of the vocabulary"
        match node.resource:
            case pst.ScopeEq(pst.EntityUid(_, id=name)) if name not in self._servers:
                yield f"matches nothing: there is no server {name}; servers are known by their URL"
            case _:
                pass
        tools = self._tools(node)
        if not tools - {UNLISTED} and not _names(node, UNLISTED):
            yield "matches no tool that was declared"
        if node.effect == "permit":
            yield from self._shadows(node, tools)

    def examine_tools(self) -> list[str]:
        """Tools that one key could never turn for, though the other does."""
        keys = {"agents": frozenset({"Agent", "AgentClass"}), "users": frozenset({"User", "Group"})}
        permitted = {
            name: frozenset[str]().union(
                *(
                    self._tools(node)
                    for node in self._nodes
                    if node.effect == "permit" and _admits(node.principal, kinds)
                )
            )
            for name, kinds in keys.items()
        }
        return [
            f"{action}: {one} are permitted and {other} are not; both keys have to turn"
            for one, other in (("agents", "users"), ("users", "agents"))
            for action in sorted(permitted[one] - permitted[other])
        ]

    def _shadows(self, permit: pst.Template, tools: frozenset[str]) -> Iterator[str]:
        """A forbid that holds whenever the permit does."""
        for forbid, _ in zip(self._forbids, islice(self._pairs, len(self._forbids)), strict=False):
            if (
                tools <= self._tools(forbid)
                and _within(permit.principal, forbid.principal)
                and _within(permit.resource, forbid.resource)
            ):
                both = All((condition(permit, _NOTHING), Not(condition(forbid, _NOTHING))))
                if not satisfiable(both):
                    yield f"never decides: {forbid.annotations['id']} forbids all that it permits"
                    return

    def _tools(self, node: pst.Template) -> frozenset[str]:
        """The actions that its scope holds for."""
        match node.action:
            case pst.ActionEq(entity):
                wanted = {entity.id}
            case pst.ActionIn(entities):
                wanted = {entity.id for entity in entities}
            case _:
                return frozenset(self._actions)
        return frozenset(
            action for action, groups in self._actions.items() if wanted & {action, *groups}
        )


def _names(node: pst.Template, action: str) -> bool:
    return any(uid.id == action for uid in pst.entity_uids(node) if str(uid.type) == "Action")


def _within(
    narrow: pst.PrincipalOrResourceConstraint, wide: pst.PrincipalOrResourceConstraint
) -> bool:
    """Whether one scope surely holds wherever the other does."""
    match wide:
        case pst.ScopeAny():
            return True
        case pst.ScopeIs(kind):
            match narrow:
                case pst.ScopeIs(own) | pst.ScopeIsIn(own, _):
                    return own == kind
                case pst.ScopeEq(pst.EntityUid(own, _)):
                    return own == kind
                case _:
                    return False
        case _:
            return narrow == wide


def _admits(scope: pst.PrincipalOrResourceConstraint, kinds: frozenset[str]) -> bool:
    match scope:
        case pst.ScopeEq(pst.EntityUid(kind, _)) | pst.ScopeIn(pst.EntityUid(kind, _)):
            # Agents and users alike are in a workspace.
            return str(kind) in kinds or str(kind) == "Workspace"
        case pst.ScopeIs(kind) | pst.ScopeIsIn(kind, _):
            return str(kind) in kinds
        case _:
            return True
