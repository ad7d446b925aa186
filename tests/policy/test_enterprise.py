"""Two keys, three outcomes: what the enterprise says of a call."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.cedar import PolicyInvalid
from gateway.policy.enterprise import Enterprise, Ruling
from gateway.policy.facts import ApprovalFacts, Facts
from tests.policy import shop
from tests.policy.shop import call, facts


@pytest.fixture(scope="module")
def enterprise() -> Enterprise:
    return shop.enterprise()


def refund(enterprise: Enterprise, cents: int, **changes: Any) -> Ruling:
    return enterprise.decide(call("pay.refund", charge="c", cents=cents), facts("pay", **changes))


def approved(by: str = "user_2", *groups: str) -> ApprovalFacts:
    return ApprovalFacts(by=by, groups=frozenset(groups))


def test_a_call_that_both_keys_permit_is_allowed(enterprise: Enterprise):
    ruling = refund(enterprise, 100)
    assert (ruling.outcome, ruling.policies) == ("allow", ("agents-refund", "support-refunds"))


def test_what_no_policy_permits_is_denied(enterprise: Enterprise):
    nobody = replace(shop.AGENT, classes=frozenset[str]())
    assert refund(enterprise, 100, agent=nobody) == Ruling(outcome="deny")


@pytest.mark.parametrize(
    "change",
    [
        {"agent": replace(shop.AGENT, classes=frozenset[str]())},
        {"user": replace(shop.USER, groups=frozenset[str]())},
        {"user": replace(shop.USER, attributes=())},
    ],
)
def test_neither_key_lends_the_other_anything(enterprise: Enterprise, change: dict[str, Any]):
    assert refund(enterprise, 100, **change).outcome == "deny"


def test_an_argument_over_the_user_s_own_limit_is_denied(enterprise: Enterprise):
    assert refund(enterprise, 70_000).outcome == "deny"


def test_a_denial_that_an_approval_would_lift_is_an_ask(enterprise: Enterprise):
    ruling = refund(enterprise, 20_000)
    assert ruling == Ruling(
        outcome="ask",
        policies=("large-refunds",),
        approvers=frozenset({"leads"}),
        second_person=True,
    )


def test_the_right_approval_lets_the_call_through(enterprise: Enterprise):
    assert refund(enterprise, 20_000, approval=approved("user_2", "leads")).outcome == "allow"


@pytest.mark.parametrize("approval", [approved("user_2"), approved("user_1", "leads")])
def test_an_approval_by_the_wrong_person_changes_nothing(
    enterprise: Enterprise, approval: ApprovalFacts
):
    """Not a lead; and a lead, but the very person the agent acts for."""
    assert refund(enterprise, 20_000, approval=approval).outcome == "deny"


def test_approval_lifts_no_forbid_that_does_not_ask_for_it(enterprise: Enterprise):
    hostile = call("mail.send", to=["press@example.com"])
    ruling = enterprise.decide(hostile, facts("mail", approval=approved("user_2", "leads")))
    assert (ruling.outcome, ruling.policies) == ("deny", ("no-strangers",))


def test_the_rule_of_two_asks(enterprise: Enterprise):
    tainted = replace(shop.SESSION, read_private=True, read_untrusted=True)
    ruling = enterprise.decide(call("mail.send", to=["a@b.c"]), facts("mail", session=tainted))
    assert (ruling.outcome, ruling.approvers) == ("ask", frozenset({"security"}))
    assert not ruling.second_person, "whoever is in that group may approve, the user too"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"charge": "c"}, "cents is missing"),
        ({"charge": "c", "cents": "100"}, "cents must be a number"),
        ({"charge": "c", "cents": True}, "cents must be a number"),
        ({"charge": "c", "cents": 1.5}, "cents must be a whole number of 64 bits"),
        ({"charge": "c", "cents": 2**63}, "cents must be a whole number of 64 bits"),
        ({"charge": "c", "cents": float("inf")}, "cents must be a whole number of 64 bits"),
        ({"charge": "c", "cents": 1, "amount": 1}, "amount is not an argument of this tool"),
    ],
)
def test_arguments_that_a_policy_could_misread_are_denied_before_any_is_asked(
    enterprise: Enterprise, arguments: dict[str, Any], problem: str
):
    assert enterprise.decide(call("pay.refund", **arguments), facts("pay")) == Ruling(
        outcome="deny", problem=problem
    )


def test_a_tool_that_nobody_declared_falls_under_every_rule_about_harm(enterprise: Enterprise):
    unknown = call("stranger.anything", whatever=1)
    assert enterprise.decide(unknown, facts("https://stranger.example")).outcome == "allow"
    strict = shop.enterprise(
        shop.POLICIES + '@id("none") forbid (principal, action in Action::"money", resource);'
    )
    assert strict.decide(unknown, facts("https://stranger.example")).policies == ("none",)


def test_an_evaluation_error_is_a_denial_even_beside_a_permit():
    overflow = (
        '@id("sum") permit (principal, action == Action::"pay.refund", resource)'
        " when { context.args.cents + 9223372036854775807 > 0 };"
    )
    ruling = shop.enterprise(shop.POLICIES + overflow).decide(
        call("pay.refund", charge="c", cents=100), facts("pay")
    )
    assert ruling.outcome == "deny"
    assert "overflow" in ruling.problem


@pytest.mark.parametrize(
    ("policies", "reason"),
    [
        ("permit (principal, action, resource", "unexpected"),
        ("permit (principal, action, resource);", "every policy needs an @id"),
        ('@id("a") permit (principal, action, resource);' * 2, 'two policies have @id("a")'),
        (
            (
                '@id("a") permit (principal, action == Action::"pay.refund", resource)'
                " when { context.args.amount < 5 };"
            ),
            "amount",
        ),
        (
            (
                '@id("a") permit (principal, action == Action::"pay.refund", resource)'
                ' when { context.args.note like "*x*" };'
            ),
            "note",
        ),
        ('@id("a") permit (principal, action == Action::"pay.rob", resource);', "pay.rob"),
        ('@id("a") permit (principal == ?principal, action, resource);', "?principal"),
    ],
)
def test_policies_that_cannot_be_used_are_refused_with_the_reason(policies: str, reason: str):
    with pytest.raises(PolicyInvalid) as refusal:
        shop.enterprise(policies)
    assert reason in str(refusal.value)


def test_the_same_call_and_facts_get_the_same_ruling(enterprise: Enterprise):
    everything: Facts = facts("pay", source_ip="10.1.2.3")
    rulings = {
        enterprise.decide(call("pay.refund", charge="c", cents=1), everything) for _ in range(3)
    }
    assert len(rulings) == 1


def test_an_attribute_of_the_wrong_type_is_a_denial(enterprise: Enterprise):
    wrong = replace(shop.USER, attributes=(("refund_limit_cents", "a lot"),))
    ruling = refund(enterprise, 1, user=wrong)
    assert (ruling.outcome, bool(ruling.problem)) == ("deny", True)


def test_an_attribute_that_was_not_declared_is_not_seen(enterprise: Enterprise):
    more = replace(shop.USER, attributes=(*shop.USER.attributes, ("shoe_size", 43)))
    assert refund(enterprise, 1, user=more).outcome == "allow"
