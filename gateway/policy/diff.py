"""What changes when one set of policies takes the place of another: the calls, not the text.

Both sets are asked the same calls, at the boundaries that either of them names
(`gateway.policy.probes`), by one agent of each class and for one user of each kind.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.policy.arguments import Record
from gateway.policy.enterprise import Ruling
from gateway.policy.facts import AgentFacts, CallFacts, Facts, ToolFacts, UserFacts
from gateway.policy.probes import Path, argument_sets, find_values, session_states
from gateway.policy.review import agents, situate, tools, users
from gateway.policy.ruleset import Rules

_NO_ARGUMENTS = Record((), open=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Calls that one set decides otherwise than the other."""

    agent: str
    user: str
    tool: str
    before: str
    after: str
    arguments: Mapping[str, Any]
    """Of one such call, the plainest."""
    session: Mapping[str, Any]
    calls: int
    """How many of those that were asked change like this."""


def diff(old: Rules, new: Rules) -> list[Change]:
    """Every change, one for each agent, user, tool, and outcomes before and after."""
    changes: list[Change] = []
    values = _values(old, new)
    for agent_name, agent in agents(old, new):
        for user_name, user in users(old, new):
            for tool in tools(old, new):
                found: dict[tuple[str, str], Change] = {}
                for change in _compare((old, new), tool, agent, user, values):
                    key = (change.before, change.after)
                    seen = found.get(key)
                    found[key] = (
                        replace(change, agent=agent_name, user=user_name)
                        if seen is None
                        else replace(seen, calls=seen.calls + 1)
                    )
                changes += found.values()
    return changes


def _compare(
    sets: tuple[Rules, Rules],
    action: str,
    agent: AgentFacts,
    user: UserFacts,
    values: Mapping[Path, list[Any]],
) -> Iterator[Change]:
    for arguments in argument_sets(_shape(action, *sets), values):
        for session in session_states(values):
            before, after = (
                _decide(rules, *situate(rules, action, agent, user), arguments, session).outcome
                for rules in sets
            )
            if before != after:
                yield Change(
                    agent="",
                    user="",
                    tool=action,
                    before=before,
                    after=after,
                    arguments=arguments,
                    session=session,
                    calls=1,
                )


def _decide(
    rules: Rules,
    tool: ToolFacts,
    facts: Facts,
    arguments: Mapping[str, Any],
    session: Mapping[str, Any],
) -> Ruling:
    assert rules.enterprise is not None, "a directory's set has policies"
    state = replace(facts.session, **session)
    return rules.enterprise.decide(CallFacts(tool, arguments), replace(facts, session=state))


def _values(*sets: Rules) -> dict[Path, list[Any]]:
    nodes = [
        node
        for rules in sets
        if rules.enterprise is not None
        for node in rules.enterprise.policies.nodes.values()
    ]
    return find_values(nodes)


def _shape(action: str, *sets: Rules) -> Record:
    """The arguments of a tool, as the latest set that knows it has them."""
    for rules in reversed(sets):
        tool = rules.enterprise and rules.enterprise.vocabulary.tool(action)
        if tool:
            return tool.arguments
    return _NO_ARGUMENTS
