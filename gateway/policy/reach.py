"""What could come of calling a tool, whatever it is called with and whatever the session has done.

Only who and what are known: the agent, the user, the server and the tool. The answer is what
`gateway.policy.formula` makes of the policies' conditions: an outcome that can happen is never
missing; one that cannot may be there where conditions say more than formulas understand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from cedarpy import pst

from gateway.policy.cedar import Member, Uid
from gateway.policy.facts import AgentFacts, Attribute, ServerFacts, ToolFacts, UserFacts
from gateway.policy.formula import All, Formula, Not, Some, satisfiable
from gateway.policy.ground import CONTEXT, World, condition

Outcome: TypeAlias = Literal["allow", "ask", "deny"]

_APPROVAL = pst.GetAttr(CONTEXT, "approval")


def describe(
    *,
    tool: ToolFacts,
    action: Member,
    members: Sequence[Member],
    agent: AgentFacts,
    user: UserFacts,
    server: ServerFacts,
    attributes: frozenset[str],
) -> World:
    """What is known before a call: those who take part, and what the tool is.

    Args:
        tool: What would be called.
        action: Its action, and every group that is in.
        members: The agent, the user and the server.
        agent: The first of them.
        user: The second.
        server: The third.
        attributes: Names of users' attributes that were declared.
    """
    principals = [entity(member.uid) for member in members]
    known: dict[pst.EntityUid, dict[str, pst.Expr]] = {
        principals[0]: {
            "workspace": pst.EntityLit(entity(("Workspace", agent.workspace))),
            "version": pst.LongLit(agent.version),
        },
        principals[1]: {
            "kind": pst.StringLit(user.kind),
            **{name: _literal(value) for name, value in user.attributes if name in attributes},
        },
        principals[2]: {
            "kind": pst.StringLit(server.kind),
            "pinned": pst.BoolLit(server.pinned),
        },
    }
    workspace = entity(("Workspace", agent.workspace))
    within = {entity(each.uid): frozenset(map(entity, each.within)) for each in (*members, action)}
    return World(
        terms={
            pst.Var("action"): pst.EntityLit(entity(action.uid)),
            pst.Var("resource"): pst.EntityLit(principals[2]),
            pst.GetAttr(CONTEXT, "agent"): pst.EntityLit(principals[0]),
            pst.GetAttr(CONTEXT, "user"): pst.EntityLit(principals[1]),
            pst.GetAttr(CONTEXT, "workspace"): pst.EntityLit(workspace),
            pst.GetAttr(CONTEXT, "tool"): pst.StringLit(tool.name),
            pst.GetAttr(CONTEXT, "tool_digest"): pst.StringLit(tool.digest),
        },
        within=within | {workspace: frozenset()},
        attributes=known,
    )


def outcomes(
    keys: Sequence[tuple[Member, Sequence[pst.Template]]], world: World, somebody: Member
) -> frozenset[Outcome]:
    """Every outcome that calls could have.

    Args:
        keys: Each principal, and the policies whose scope it is in.
        world: What is known.
        somebody: Who would approve, as `Enterprise.decide` supposes it.
    """
    now = _permitted(keys, _unapproved(world))
    then = _permitted(keys, _approved(world, somebody))
    possible: dict[Outcome, Formula] = {
        "allow": now,
        "ask": All((Not(now), then)),
        "deny": All((Not(now), Not(then))),
    }
    return frozenset(name for name, formula in possible.items() if satisfiable(formula))


def entity(uid: Uid) -> pst.EntityUid:
    """An entity as policies name it."""
    return pst.EntityUid(pst.EntityType(uid[0]), uid[1])


def _permitted(keys: Sequence[tuple[Member, Sequence[pst.Template]]], world: World) -> Formula:
    """When both keys turn."""
    turns: list[Formula] = []
    for member, policies in keys:
        seen = world.seen_by(entity(member.uid))
        by_effect: Mapping[str, list[Formula]] = {"permit": [], "forbid": []}
        for policy in policies:
            by_effect[policy.effect].append(condition(policy, seen))
        turns += [Some(tuple(by_effect["permit"])), Not(Some(tuple(by_effect["forbid"])))]
    return All(tuple(turns))


def _unapproved(world: World) -> World:
    return _knowing(world, {"granted": pst.BoolLit(False)}, by=False)


def _approved(world: World, somebody: Member) -> World:
    by = entity(somebody.uid)
    known = _knowing(world, {"granted": pst.BoolLit(True), "by": pst.EntityLit(by)}, by=True)
    return replace(
        known,
        within={**world.within, by: frozenset(map(entity, somebody.within))},
        attributes={**world.attributes, by: {"kind": pst.StringLit("user")}},
    )


def _knowing(world: World, terms: Mapping[str, pst.Expr], *, by: bool) -> World:
    return replace(
        world,
        terms={
            **world.terms,
            **{pst.GetAttr(_APPROVAL, name): value for name, value in terms.items()},
            pst.HasAttr(_APPROVAL, ("by",)): pst.BoolLit(by),
            pst.HasAttr(CONTEXT, ("approval", "by")): pst.BoolLit(by),
        },
    )


def _literal(value: Attribute) -> pst.Expr:
    if isinstance(value, bool):
        return pst.BoolLit(value)
    return pst.LongLit(value) if isinstance(value, int) else pst.StringLit(value)
