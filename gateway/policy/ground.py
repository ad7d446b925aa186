"""Conditions of policies with everything filled in that is known, and what is left as formulas.

A `World` is what is known: who and what take part, with their attributes and what they are in, and
some terms of the context. The arguments of the call and the state of its session are left open.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from cedarpy import pst

from gateway.policy.formula import All, AtMost, Equals, Formula, Free, Matches, Not, Some, matches

_LITERALS = (pst.BoolLit, pst.LongLit, pst.StringLit, pst.EntityLit)
_SCALE = 10_000
"""Cedar's decimals have four places."""

CONTEXT = pst.Var("context")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is known of a call before it is made."""

    terms: Mapping[pst.Expr, pst.Expr]
    """What variables and terms of the context stand for."""
    within: Mapping[pst.EntityUid, frozenset[pst.EntityUid]]
    """Everything that a known entity is in, itself left out."""
    attributes: Mapping[pst.EntityUid, Mapping[str, pst.Expr]]
    """Every attribute of a known entity."""

    def seen_by(self, principal: pst.EntityUid) -> "World":
        """The same, with the principal whose turn it is."""
        return replace(self, terms={**self.terms, pst.Var("principal"): pst.EntityLit(principal)})


def condition(policy: pst.Template, world: World) -> Formula:
    """When a policy applies, apart from its scope, as far as the world leaves that open."""
    return All(
        tuple(
            Not(to_formula(clause.expr, world))
            if isinstance(clause, pst.Unless)
            else to_formula(clause.expr, world)
            for clause in policy.clauses
        )
    )


def to_formula(expr: pst.Expr, world: World) -> Formula:
    """An expression of type Bool as a formula."""
    return _formula(_ground(expr, world))


def _formula(expr: pst.Expr) -> Formula:
    match expr:
        case pst.BoolLit() | pst.Like():
            return expr.value if isinstance(expr, pst.BoolLit) else _match(expr)
        case pst.UnaryOp("not", arg):
            return Not(_formula(arg))
        case pst.IfThenElse(cond, then_expr, else_expr):
            asked = _formula(cond)
            chosen = (asked, _formula(then_expr)), (Not(asked), _formula(else_expr))
            return Some(tuple(map(All, chosen)))
        case pst.BinaryOp("and" | "or", left, right):
            joined = (_formula(left), _formula(right))
            return All(joined) if expr.op == "and" else Some(joined)
        case pst.BinaryOp(op, left, right):
            found = _comparison(op, left, right)
            return Free(expr) if found is None else found
        case _:
            return Free(expr)


def _match(expr: pst.Like) -> Formula:
    """A pattern without wildcards is a text."""
    plain = [each.value for each in expr.pattern if isinstance(each, pst.Char)]
    if len(plain) == len(expr.pattern):
        return Equals(expr.base, "".join(plain))
    return Matches(expr.base, expr.pattern)


def _comparison(op: pst.BinaryOpName, left: pst.Expr, right: pst.Expr) -> Formula | None:
    """A comparison of a term with a constant; None for what is none."""
    match op, left:
        case "not_eq", _:
            equal = _comparison("eq", left, right)
            return None if equal is None else Not(equal)
        case "eq", _:
            found = _equality(left, right)
            return _equality(right, left) if found is None else found
        case "contains", pst.Set(elements):
            found = [_comparison("eq", right, element) for element in elements]
            known = [each for each in found if each is not None]
            return Some(tuple(known)) if len(known) == len(found) else None
        case _:
            return _ordering(op, left, right)


def _ordering(op: pst.BinaryOpName, left: pst.Expr, right: pst.Expr) -> Formula | None:
    if op not in _ORDERS:
        return None
    direct, turned = _ORDERS[op]
    if (value := _number(right)) is not None:
        return direct(left, value)
    if (value := _number(left)) is not None:
        return turned(right, value)
    return None


def _equality(term: pst.Expr, constant: pst.Expr) -> Formula | None:
    match constant:
        case pst.BoolLit(value):
            holds = _formula(term)
            return holds if value else Not(holds)
        case pst.StringLit(value) | pst.EntityLit(value):
            return Equals(term, value)
        case _:
            number = _number(constant)
            return None if number is None else Equals(term, number)


_Bound = Callable[[pst.Expr, int], Formula]


def _at_most(term: pst.Expr, value: int) -> Formula:
    return AtMost(term, value)


def _below(term: pst.Expr, value: int) -> Formula:
    return AtMost(term, value - 1)


def _above(term: pst.Expr, value: int) -> Formula:
    return Not(AtMost(term, value))


def _at_least(term: pst.Expr, value: int) -> Formula:
    return Not(AtMost(term, value - 1))


_ORDERS: Mapping[str, tuple[_Bound, _Bound]] = {
    "less": (_below, _above),
    "less_eq": (_at_most, _at_least),
    "greater": (_above, _below),
    "greater_eq": (_at_least, _at_most),
    "decimal_less_than": (_below, _above),
    "decimal_less_eq": (_at_most, _at_least),
    "decimal_greater": (_above, _below),
    "decimal_greater_eq": (_at_least, _at_most),
}
"""What a comparison says of its left side, and of its right one."""


def _number(expr: pst.Expr) -> int | None:
    """A constant as a whole number; decimals in their smallest unit."""
    match expr:
        case pst.LongLit(value):
            return value
        case pst.UnaryOp("decimal", pst.StringLit(text)):
            return int(Decimal(text) * _SCALE)
        case _:
            return None


def _ground(expr: pst.Expr, world: World) -> pst.Expr:
    if expr in world.terms:
        return world.terms[expr]
    known = _RULES.get(type(expr))
    return expr if known is None else known(expr, world)


def _unary(expr: pst.UnaryOp, world: World) -> pst.Expr:
    inner = _ground(expr.arg, world)
    match expr.op, inner:
        case "not", pst.BoolLit(value):
            return pst.BoolLit(not value)
        case "neg", pst.LongLit(value):
            return pst.LongLit(-value)
        case _:
            return pst.UnaryOp(expr.op, inner)


def _like(expr: pst.Like, world: World) -> pst.Expr:
    inner = _ground(expr.base, world)
    if isinstance(inner, pst.StringLit):
        return pst.BoolLit(matches(expr.pattern, inner.value))
    return pst.Like(inner, expr.pattern)


def _choice(expr: pst.IfThenElse, world: World) -> pst.Expr:
    asked = _ground(expr.cond, world)
    if isinstance(asked, pst.BoolLit):
        return _ground(expr.then_expr if asked.value else expr.else_expr, world)
    return pst.IfThenElse(asked, _ground(expr.then_expr, world), _ground(expr.else_expr, world))


def _set(expr: pst.Set, world: World) -> pst.Expr:
    return pst.Set(tuple(_ground(each, world) for each in expr.elements))


def _binary(expr: pst.BinaryOp, world: World) -> pst.Expr:
    left = _ground(expr.left, world)
    if expr.op in ("and", "or"):
        decides = expr.op == "or"
        if isinstance(left, pst.BoolLit):
            return left if left.value is decides else _ground(expr.right, world)
        right = _ground(expr.right, world)
        if isinstance(right, pst.BoolLit) and right.value is not decides:
            return left
        return pst.BinaryOp(expr.op, left, right)
    right = _ground(expr.right, world)
    return _fold(expr.op, left, right, world) or pst.BinaryOp(expr.op, left, right)


def _fold(
    op: pst.BinaryOpName, left: pst.Expr, right: pst.Expr, world: World
) -> pst.BoolLit | None:
    """The truth about two constants, or about a term and itself; None if it is open."""
    match op, left, right:
        case "eq" | "not_eq", _, _ if left == right:
            return pst.BoolLit(op == "eq")
        case "eq" | "not_eq", _, _ if isinstance(left, _LITERALS) and isinstance(right, _LITERALS):
            return pst.BoolLit(op != "eq")
        case "less" | "less_eq" | "greater" | "greater_eq", pst.LongLit(one), pst.LongLit(other):
            return pst.BoolLit(_order(op, one, other))
        case "in", _, _:
            return _in(left, right, world)
        case "contains", pst.Set(elements), _ if all(
            isinstance(each, _LITERALS) for each in (right, *elements)
        ):
            return pst.BoolLit(right in elements)
        case _:
            return None


def _order(op: str, left: int, right: int) -> bool:
    if op.startswith("greater"):
        left, right = right, left
    return left <= right if op.endswith("_eq") else left < right


def _in(left: pst.Expr, right: pst.Expr, world: World) -> pst.BoolLit | None:
    wanted = right.elements if isinstance(right, pst.Set) else (right,)
    if not isinstance(left, pst.EntityLit) or left.value not in world.within:
        return None
    if not all(isinstance(each, pst.EntityLit) for each in wanted):
        return None
    names = {each.value for each in wanted if isinstance(each, pst.EntityLit)}
    return pst.BoolLit(bool(names & {left.value, *world.within[left.value]}))


def _attribute(expr: pst.GetAttr, world: World) -> pst.Expr:
    base = _ground(expr.base, world)
    term = pst.GetAttr(base, expr.attr)
    if isinstance(base, pst.EntityLit):
        return world.attributes.get(base.value, {}).get(expr.attr, term)
    return term


def _has(expr: pst.HasAttr, world: World) -> pst.Expr:
    base = _ground(expr.base, world)
    if isinstance(base, pst.EntityLit) and base.value in world.attributes and len(expr.attrs) == 1:
        return pst.BoolLit(expr.attrs[0] in world.attributes[base.value])
    return pst.HasAttr(base, expr.attrs)


def _is(expr: pst.Is, world: World) -> pst.Expr:
    base = _ground(expr.base, world)
    within = None if expr.in_expr is None else _ground(expr.in_expr, world)
    if not isinstance(base, pst.EntityLit):
        return pst.Is(base, expr.entity_type, within)
    if within is None or base.value.type != expr.entity_type:
        return pst.BoolLit(base.value.type == expr.entity_type)
    return _in(base, within, world) or pst.BinaryOp("in", base, within)


_RULES: Mapping[type, Callable[[Any, World], pst.Expr]] = {
    pst.UnaryOp: _unary,
    pst.BinaryOp: _binary,
    pst.GetAttr: _attribute,
    pst.HasAttr: _has,
    pst.Like: _like,
    pst.Is: _is,
    pst.IfThenElse: _choice,
    pst.Set: _set,
}
"""How what is known gets into each kind of expression; any other stays as it is."""
