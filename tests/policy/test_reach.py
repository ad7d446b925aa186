"""What is listed is what could be called: never less, and no more where conditions are understood."""

from dataclasses import replace
from itertools import product
from typing import Any

import hypothesis.strategies as st
import pytest
from cedarpy import pst
from hypothesis import given, settings

from gateway.policy.enterprise import Enterprise
from gateway.policy.facts import CallFacts, SessionFacts, ToolFacts
from gateway.policy.formula import All, Equals, Free, atoms, satisfiable
from gateway.policy.ground import CONTEXT, World, to_formula
from gateway.policy.schema import Vocabulary
from tests.policy import shop
from tests.policy.shop import call, facts

REFUND = ToolFacts(server="pay", name="refund", digest="d")
PAID = shop.tool("pay.refund", "money", required="cents", cents="integer", charge="string")
VOCABULARY = Vocabulary(tools=[PAID], attributes={"refund_limit_cents": "Long"})

LIMIT = 50_000
"""The user's own."""
CENTS = (*range(-1, 6), LIMIT, LIMIT + 1)
CHARGES = (None, "a", "b", "c", "ab", "bab")
NOTES = (False, True)
OUTCOMES = ("allow", "ask", "deny")

comparisons = st.builds(
    "context.args.cents {} {}".format,
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.integers(0, 4),
)
turned = st.builds(
    "{} {} context.args.cents".format,
    st.integers(0, 4),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
)
flags = st.sampled_from(
    [
        "context.session.read_private",
        "context.session.read_untrusted == true",
        "context.session.read_untrusted == false",
        "context.approval.granted",
        "context.approval has by",
        'context has approval.by && context.approval.by in Group::"leads"',
        "context.approval has by && context.approval.by != context.user",
        'context.tool == "refund"',
        'context.tool like "re*"',
        'context.tool_digest == "other"',
        "[1, 3].contains(context.args.cents)",
        '(if context.args has charge then context.args.charge == "a" else true)',
        'context.args has charge && context.args.charge == "b"',
        "context.workspace == context.agent.workspace",
        'context.agent in AgentClass::"refunds"',
        'context.user in [Group::"support", Group::"none"]',
        'context.agent is Agent in AgentClass::"none"',
        "context.user is Agent",
    ]
)
scoped = st.sampled_from(
    [
        (
            "principal is User && principal has refund_limit_cents"
            " && context.args.cents <= principal.refund_limit_cents"
        ),
        'principal is Agent && principal.version < 2 && principal in AgentClass::"refunds"',
        'principal is User && principal.kind == "user"',
        "resource is Server && resource.pinned",
        'action in Action::"money"',
        'action == Action::"unlisted.call"',
    ]
)
patterns = st.builds(
    'context.args has charge && context.args.charge like "{}"'.format,
    st.sampled_from(["a*", "*b", "*a*", "ab", "*", "b*b"]),
)


def conditions(*leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        st.one_of(*leaves),
        lambda inner: st.one_of(
            st.builds("({} && {})".format, inner, inner),
            st.builds("({} || {})".format, inner, inner),
            st.builds("!({})".format, inner),
        ),
        max_leaves=4,
    )


understood = conditions(comparisons, turned, flags, scoped)
anything = conditions(comparisons, flags, scoped, patterns)
principals = st.sampled_from(
    [
        "principal",
        "principal is Agent",
        "principal is User",
        'principal in Group::"support"',
        'principal in AgentClass::"refunds"',
        'principal == User::"user_2"',
    ]
)
resources = st.sampled_from(
    [
        "resource",
        "resource is Server",
        'resource in ServerClass::"none"',
        'resource == Server::"pay"',
    ]
)
scopes = st.builds('{}, action == Action::"pay.refund", {}'.format, principals, resources)


def policies(inner: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str, str, str]]]:
    clause = st.one_of(st.just(""), inner.map(" when {{ {} }}".format))
    exception = st.one_of(
        st.just(""),
        st.just(" unless { context.approval.granted }"),
        inner.map(" unless {{ {} }}".format),
    )
    effects = st.sampled_from(["permit", "permit", "forbid"])
    return st.lists(st.tuples(effects, scopes, clause, exception), min_size=1, max_size=5)


def enterprise(drawn: list[tuple[str, str, str, str]]) -> Enterprise:
    text = "\n".join(
        f'@id("{number}") @ask("leads") {effect} ({scope}){clause}{exception};'
        for number, (effect, scope, clause, exception) in enumerate(drawn)
    )
    return Enterprise(text, VOCABULARY)


def outcomes(enterprise: Enterprise) -> set[str]:
    """Of every call in a small world, which holds every boundary that the policies name."""
    found: set[str] = set()
    for cents, charge, private, untrusted in product(CENTS, CHARGES, NOTES, NOTES):
        arguments: dict[str, Any] = {"cents": cents}
        if charge is not None:
            arguments["charge"] = charge
        session = SessionFacts(id="s", read_private=private, read_untrusted=untrusted)
        ruling = enterprise.decide(CallFacts(REFUND, arguments), facts("pay", session=session))
        assert not ruling.problem
        found.add(ruling.outcome)
        if len(found) == len(OUTCOMES):
            break
    return found


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(policies(understood))
def test_what_could_come_of_a_call_is_known_exactly(drawn: list[tuple[str, str, str, str]]):
    asked = enterprise(drawn)
    known = asked.outcomes(REFUND, facts("pay"))
    assert known == outcomes(asked)
    assert asked.reachable(REFUND, facts("pay")) == (known != {"deny"})


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(policies(anything))
def test_no_outcome_that_can_happen_is_missing(drawn: list[tuple[str, str, str, str]]):
    asked = enterprise(drawn)
    assert outcomes(asked) <= asked.outcomes(REFUND, facts("pay"))


@pytest.mark.parametrize(
    ("condition", "possible"),
    [
        ('context.args.charge like "a*" && context.args.charge like "b*"', False),
        ('context.args.charge like "*a" && context.args.charge like "*b"', False),
        ('context.args.charge like "a*" && context.args.charge == "b"', False),
        ('context.args.charge like "ab*" && !(context.args.charge like "a*")', False),
        ('context.args.charge like "a*" && !(context.args.charge like "ab*")', True),
        ('context.args.charge like "a*" && !(context.args.charge like "*")', False),
        ('context.args.charge like "a" && context.args.charge like "aa"', False),
        ('context.args.charge like "a*" && context.args.charge like "aa*b"', True),
        ('context.args.charge == "a" && context.args.charge == "b"', False),
        ('context.args.charge == "a" && !(context.args.charge == "a")', False),
        ('context.args.charge == "a" && !(context.args.charge like "b*")', True),
        ('context.args.charge == "ab" && !(context.args.charge like "a*")', False),
        ("context.args.cents > 3 && context.args.cents < 4", False),
        ("context.args.cents > 3 && context.args.cents < 5 && context.args.cents != 4", False),
        ("context.args.cents > -3 && context.args.cents < 5 && context.args.cents != 4", True),
        ("context.args.cents == 3 && context.args.cents > 3", False),
        ("context.args.cents == 3 && context.args.cents < 3", False),
        ("context.args.cents == 9223372036854775807", True),
        ("-context.args.cents > 3 && -context.args.cents < 4", False),
        ("5 < 3 || -3 > 2", False),
        ("context.args.cents == context.args.cents", True),
        ("context.args.cents + 1 > context.args.cents", True),
        ('["x", "y"].contains("z")', False),
        ('["x", "y"].contains("x")', True),
        ("[context.args.cents, 2].contains(3)", True),
        ("[1, 2] == [2, 1]", True),
        ("[1, 2].containsAll([context.args.cents])", True),
        ('{"a": 1}.a == 1', True),
        ("if context.args.cents < 3 then context.args.cents > 4 else false", False),
        ('if context.tool == "refund" then false else true', False),
        ('ip("10.0.0.1").isInRange(ip("10.0.0.0/8"))', True),
        ('context.now < datetime("2020-01-01")', True),
        ('context.user == User::"user_1"', True),
        ('context.user == User::"user_2"', False),
        ('context.user in Group::"none"', False),
        ('context.workspace in Workspace::"w"', True),
        ('context.workspace in [Workspace::"v"]', False),
        ('context.agent.workspace == Workspace::"w"', True),
        ("context.agent.version == 2", False),
        ("context.user has refund_limit_cents && context.user.refund_limit_cents > 9", True),
        ("context.user has kind", True),
        ('context.user is User in Group::"support"', True),
        ("principal has version || principal has kind", True),
        ("!(context.approval.granted) && context.approval has by", False),
        ('context.approval has by && context.approval.by == User::"user_2"', False),
        ('context.approval has by && context.approval.by.kind == "user"', True),
        ("context.approval.granted != true && context.approval.granted", False),
        ("context has source_ip", True),
        ("-context.agent.version == -1", True),
        ('context.tool like "re*"', True),
        ('context.tool like "*x*"', False),
    ],
)
def test_conditions_are_understood_as_far_as_is_promised(condition: str, possible: bool):
    text = (
        '@id("p") permit (principal, action == Action::"pay.refund", resource)'
        f" when {{ context.args has charge && ({condition}) }};"
        '@id("q") @ask("leads") forbid (principal, action, resource) when { 1 == 2 };'
    )
    asked = Enterprise(text, VOCABULARY)
    assert asked.reachable(REFUND, facts("pay")) == possible


def test_users_are_known_by_attributes_of_every_type():
    vocabulary = Vocabulary(tools=[PAID], attributes={"trusted": "Bool", "team": "String"})
    text = (
        '@id("p") permit (principal, action == Action::"pay.refund", resource) when {{'
        " context.user has trusted && context.user.trusted &&"
        ' context.user has team && context.user.team == "{}" }};'
    )
    user = replace(shop.USER, attributes=(("team", "red"), ("trusted", True)))
    assert Enterprise(text.format("red"), vocabulary).reachable(REFUND, facts("pay", user=user))
    assert not Enterprise(text.format("blue"), vocabulary).reachable(
        REFUND, facts("pay", user=user)
    )


def test_being_in_something_unknown_is_open():
    user = pst.EntityUid(pst.EntityType("User"), "u")
    world = World(terms={}, within={user: frozenset()}, attributes={})
    unknown = pst.BinaryOp("in", pst.EntityLit(user), pst.GetAttr(CONTEXT, "group"))
    assert to_formula(unknown, world) == Free(unknown)


def test_an_unknown_term_can_be_one_entity_and_not_two():
    term = pst.GetAttr(CONTEXT, "by")
    ann, bob = (pst.EntityUid(pst.EntityType("User"), name) for name in ("ann", "bob"))
    assert satisfiable(Equals(term, ann))
    assert not satisfiable(All((Equals(term, ann), Equals(term, bob))))
    assert list(atoms(True)) == []


def test_decimals_are_compared_as_numbers():
    amount = shop.tool("pay.refund", "money", required="amount", amount="number")
    condition = (
        'context.args.amount.greaterThan(decimal("1.5"))'
        ' && context.args.amount.lessThan(decimal("1.5001"))'
    )
    text = f'@id("p") permit (principal, action, resource) when {{ {condition} }};'
    # Without a scope, the policy would have to hold for tools without an amount.
    text = text.replace("action,", 'action == Action::"pay.refund",')
    assert not Enterprise(text, Vocabulary(tools=[amount])).reachable(REFUND, facts("pay"))
    wider = text.replace("1.5001", "1.5002")
    assert Enterprise(wider, Vocabulary(tools=[amount])).reachable(REFUND, facts("pay"))


def test_a_formula_too_large_to_search_counts_as_possible(monkeypatch: pytest.MonkeyPatch):
    text = (
        '@id("p") permit (principal, action == Action::"pay.refund", resource)'
        " when { context.args.cents > 3 && context.args.cents < 4 };"
    )
    assert not Enterprise(text, VOCABULARY).reachable(REFUND, facts("pay"))
    monkeypatch.setattr("gateway.policy.formula._BUDGET", 1)
    assert Enterprise(text, VOCABULARY).reachable(REFUND, facts("pay"))


def test_a_tool_that_nobody_declared_is_reachable_as_unlisted():
    unknown = ToolFacts(server="https://stranger.example", name="x", digest="d")
    asked = Enterprise('@id("p") permit (principal, action, resource);', VOCABULARY)
    assert asked.reachable(unknown, facts("https://stranger.example"))
    strict = Enterprise(
        '@id("p") permit (principal, action in Action::"pay.*", resource);', VOCABULARY
    )
    assert not strict.reachable(unknown, facts("https://stranger.example"))
    assert strict.decide(call("stranger.x"), facts("stranger")).outcome == "deny"
