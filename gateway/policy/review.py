"""Who can call what: every kind of agent for every kind of user, tool by tool."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.policy.facts import (
    AgentFacts,
    Attribute,
    Facts,
    ServerFacts,
    SessionFacts,
    ToolFacts,
    UserFacts,
)
from gateway.policy.reach import Outcome
from gateway.policy.ruleset import Rules
from gateway.policy.schema import UNLISTED
from gateway.policy.situation import NOBODY, NOTHING, NOWHERE, find_tool

ANY_AGENT, ANYONE = "any other agent", "anyone else"
_ORDER: tuple[Outcome, ...] = ("allow", "ask", "deny")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What could come of calls: by whom, for whom, of which tool."""

    agent: str
    """``class NAME``, or `ANY_AGENT`."""
    user: str
    """``group NAME``, the id or e-mail address of a user with attributes, or `ANYONE`."""
    tool: str
    outcomes: tuple[Outcome, ...]
    """One means always; several, that it depends on arguments, session or time."""

    @property
    def verdict(self) -> str:
        return self.outcomes[0] if len(self.outcomes) == 1 else "depends"


def review(rules: Rules) -> list[Cell]:
    """The whole matrix, the tools of one agent and user together."""
    assert rules.enterprise is not None, "a directory's set has policies"
    cells: list[Cell] = []
    for agent_name, agent in agents(rules):
        for user_name, user in users(rules):
            for action in tools(rules):
                tool, facts = situate(rules, action, agent, user)
                found = rules.enterprise.outcomes(tool, facts)
                cells.append(
                    Cell(
                        agent=agent_name,
                        user=user_name,
                        tool=action,
                        outcomes=tuple(each for each in _ORDER if each in found),
                    )
                )
    return cells


def agents(*sets: Rules) -> list[tuple[str, AgentFacts]]:
    """One agent of each class, and one of none."""
    classes = sorted(_names(rules.agent_classes.values() for rules in sets))
    nobody = AgentFacts(id=NOTHING, version=1, workspace=NOWHERE)
    return [
        *((f"class {name}", replace(nobody, classes=frozenset({name}))) for name in classes),
        (ANY_AGENT, nobody),
    ]


def users(*sets: Rules) -> list[tuple[str, UserFacts]]:
    """One user of each group, everyone with attributes of their own, and one of neither."""
    groups = sorted(_names(rules.groups.values() for rules in sets))
    named = sorted({user for rules in sets for user in rules.users})
    nobody = UserFacts(id=NOBODY, kind="user")
    return [
        *((f"group {name}", replace(nobody, groups=frozenset({name}))) for name in groups),
        *((name, _merged([rules.user(id=name, kind="user") for rules in sets])) for name in named),
        (ANYONE, nobody),
    ]


def tools(*sets: Rules) -> list[str]:
    """Every tool that was declared, and one that nobody did."""
    known = {
        tool.action
        for rules in sets
        if rules.enterprise is not None
        for tool in rules.enterprise.vocabulary.tools
    }
    return [*sorted(known), UNLISTED]


def situate(
    rules: Rules, action: str, agent: AgentFacts, user: UserFacts
) -> tuple[ToolFacts, Facts]:
    """A tool, and all that is known before it is called; unlisted where the set has none such."""
    known = rules.enterprise is not None and rules.enterprise.vocabulary.tool(action) is not None
    tool, url = find_tool(rules, action if known else UNLISTED)
    facts = Facts(
        agent=agent,
        user=user,
        server=ServerFacts(
            id=url or tool.server,
            kind=tool.server,
            pinned=known,
            classes=rules.server_classes.get(tool.server, frozenset()),
        ),
        session=SessionFacts(id="session"),
        now=0,
    )
    return tool, facts


def _names(named: Iterable[Iterable[frozenset[str]]]) -> set[str]:
    return {name for each in named for names in each for name in names}


def _merged(known: list[UserFacts]) -> UserFacts:
    """Who somebody is, if not all sets know the same of them."""
    attributes: dict[str, Attribute] = {}
    for user in known:
        attributes.update(user.attributes)
    groups = frozenset[str]().union(*(user.groups for user in known))
    return replace(known[0], groups=groups, attributes=tuple(sorted(attributes.items())))
