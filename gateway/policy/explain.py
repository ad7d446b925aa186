"""Why one call is decided as it is, and what would have it decided otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cedarpy import pst

from gateway.policy.enterprise import Enterprise, Ruling
from gateway.policy.facts import ApprovalFacts, CallFacts, Facts
from gateway.policy.probes import argument_sets, find_values
from gateway.policy.ruleset import Rules

_ANOTHER = "somebody-else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A policy that decided."""

    id: str
    place: str
    effect: str
    rule: str = ""
    """The rule of an allow, ask or deny list that it was made of."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One thing that would change the outcome."""

    change: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    ruling: Ruling
    reasons: tuple[Reason, ...]
    flips: tuple[Flip, ...]


def explain(rules: Rules, call: CallFacts, facts: Facts) -> Explanation:
    """Decide a call, and everything that is like it but for one thing."""
    enterprise = rules.enterprise
    assert enterprise is not None, "a directory's set has policies"
    ruling = enterprise.decide(call, facts)
    flips: dict[str, Flip] = {}
    for change, other_call, other_facts in _others(enterprise, call, facts):
        outcome = enterprise.decide(other_call, other_facts).outcome
        if outcome != ruling.outcome:
            flips.setdefault(change, Flip(change, outcome))
    nodes = enterprise.policies.nodes
    return Explanation(
        ruling=ruling,
        reasons=tuple(_reason(rules, nodes[name]) for name in ruling.policies),
        flips=tuple(flips.values()),
    )


def _reason(rules: Rules, node: pst.Template) -> Reason:
    name = node.annotations["id"]
    return Reason(
        id=name,
        place=rules.places.get(name, ""),
        effect=node.effect,
        rule=node.annotations.get("rule", ""),
    )


def _others(
    enterprise: Enterprise, call: CallFacts, facts: Facts
) -> Iterator[tuple[str, CallFacts, Facts]]:
    nodes = enterprise.policies.nodes.values()
    named = sorted({(str(uid.type), uid.id) for node in nodes for uid in pst.entity_uids(node)})
    yield from _approvals(enterprise, call, facts)
    for kind, name in named:
        if kind == "Group" and name not in facts.user.groups:
            user = replace(facts.user, groups=facts.user.groups | {name})
            yield f"the user is in the group {name}", call, replace(facts, user=user)
        if kind == "AgentClass" and name not in facts.agent.classes:
            agent = replace(facts.agent, classes=facts.agent.classes | {name})
            yield f"the agent is in the class {name}", call, replace(facts, agent=agent)
    pinned = replace(facts.server, pinned=not facts.server.pinned)
    said = "is as it was reviewed" if pinned.pinned else "is not as it was reviewed"
    yield f"the tool {said}", call, replace(facts, server=pinned)
    values = find_values(nodes)
    yield from _sessions(values, call, facts)
    yield from _arguments(enterprise, values, call, facts)


def _approvals(
    enterprise: Enterprise, call: CallFacts, facts: Facts
) -> Iterator[tuple[str, CallFacts, Facts]]:
    if facts.approval is not None:
        yield "nobody approved it", call, replace(facts, approval=None)
        return
    plain = ApprovalFacts(by=_ANOTHER)
    own = ApprovalFacts(by=facts.user.id, groups=facts.user.groups)
    yield "the user approves it", call, replace(facts, approval=own)
    yield "somebody else approves it", call, replace(facts, approval=plain)
    for group in sorted(set(filter(None, enterprise.policies.asks.values()))):
        someone = replace(plain, groups=frozenset({group}))
        yield f"somebody in {group} approves it", call, replace(facts, approval=someone)


def _sessions(
    values: Mapping[tuple[str, ...], list[Any]], call: CallFacts, facts: Facts
) -> Iterator[tuple[str, CallFacts, Facts]]:
    for path, options in values.items():
        if path[0] != "session" or len(path) != 2:  # noqa: PLR2004 - a term of the session
            continue
        for value in options:
            if path[1] != "id" and value != getattr(facts.session, path[1]):
                session = replace(facts.session, **{path[1]: value})
                yield f"session.{path[1]} is {value}", call, replace(facts, session=session)


def _arguments(
    enterprise: Enterprise,
    values: Mapping[tuple[str, ...], list[Any]],
    call: CallFacts,
    facts: Facts,
) -> Iterator[tuple[str, CallFacts, Facts]]:
    tool = enterprise.vocabulary.tool(call.tool.action)
    if tool is None:
        return
    for path, options in values.items():
        if path[0] != "args" or len(path) != 2:  # noqa: PLR2004 - an argument, not a part of one
            continue
        name = path[1]
        for chosen in argument_sets(tool.arguments, {path: options}):
            if name in chosen and chosen[name] != call.arguments.get(name):
                arguments = {**call.arguments, name: chosen[name]}
                yield f"{name} is {chosen[name]!r}", CallFacts(call.tool, arguments), facts
            elif name not in chosen and name in call.arguments:
                less = {key: value for key, value in call.arguments.items() if key != name}
                yield f"{name} is left out", CallFacts(call.tool, less), facts
