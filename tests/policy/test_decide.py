"""Who has a say in whether a call may run, and what comes of it (spec/core 2.8)."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.decide import Decision, Hearing, decide
from gateway.policy.enterprise import Ruling
from gateway.policy.judge import Verdict
from gateway.policy.toolset import Permission, PolicyName, resolve

TOOLSET: dict[str, Any] = {"type": "agent_toolset_20260401"}
POLICIES: tuple[PolicyName, ...] = ("always_allow", "always_ask", "auto")
ALLOWED, ASKED, JUDGED = (Permission(True, policy) for policy in POLICIES)


def auto(outcome: str, reason: str) -> dict[str, Any]:
    verdict = {"type": outcome, "reason_code": reason}
    return {"type": "auto", "evaluated_permission": verdict}


@pytest.mark.parametrize(
    ("kind", "policy"),
    [("agent_toolset_20260401", "always_allow"), ("mcp_toolset", "always_ask")],
)
def test_a_toolset_that_says_nothing_has_the_policy_of_its_kind(kind: str, policy: str) -> None:
    assert resolve({"type": kind}, "bash") == Permission(True, policy)  # pyright: ignore[reportArgumentType] - parametrized


def test_the_default_of_a_toolset_goes_for_every_tool_it_does_not_name() -> None:
    toolset = {**TOOLSET, "default_config": {"permission_policy": {"type": "always_ask"}}}
    assert resolve(toolset, "bash") == Permission(True, "always_ask")


def test_a_tool_of_its_own_entry_goes_before_the_default_field_by_field() -> None:
    toolset = {
        **TOOLSET,
        "default_config": {"enabled": False, "permission_policy": {"type": "always_ask"}},
        "configs": [{"name": "read", "enabled": True}],
    }
    assert resolve(toolset, "read") == Permission(True, "always_ask")
    assert resolve(toolset, "bash") == Permission(False, "always_ask")


def test_a_null_in_an_entry_means_the_default() -> None:
    configs = [{"name": "read", "enabled": None, "permission_policy": None}]
    assert resolve({**TOOLSET, "configs": configs}, "read") == Permission(True, "always_allow")


def test_an_allowed_tool_runs_and_says_which_policy_allowed_it() -> None:
    decision = decide(Hearing(permission=ALLOWED))
    assert decision == Decision("allow", "policy:always_allow", {"type": "always_allow"})


def test_always_ask_asks() -> None:
    decision = decide(Hearing(permission=ASKED))
    assert decision == Decision("ask", "policy:always_ask", {"type": "always_ask"})


def test_auto_without_a_judge_asks_and_says_that_it_is_undecided() -> None:
    decision = decide(Hearing(permission=JUDGED))
    assert decision == Decision("ask", "policy:auto:no_judge", auto("ask", "indeterminate"))


@pytest.mark.parametrize(
    ("verdict", "rule", "evaluation"),
    [
        (Verdict("allow"), "policy:auto:allow", {"type": "allow"}),
        (
            Verdict("deny", "high_risk"),
            "policy:auto:deny",
            {"type": "deny", "reason_code": "high_risk"},
        ),
        (
            Verdict("ask", "indeterminate"),
            "policy:auto:ask",
            {"type": "ask", "reason_code": "indeterminate"},
        ),
    ],
)
def test_under_auto_the_judge_decides(
    verdict: Verdict, rule: str, evaluation: dict[str, Any]
) -> None:
    decision = decide(Hearing(permission=JUDGED, verdict=verdict))
    shown = {"type": "auto", "evaluated_permission": evaluation}
    assert decision == Decision(verdict.outcome, rule, shown)


@pytest.mark.parametrize("permission", [None, Permission(False, "always_allow")])
def test_a_tool_that_is_not_enabled_is_denied_before_any_policy(
    permission: Permission | None,
) -> None:
    heard = Hearing(permission=permission, ruling=Ruling(outcome="allow"), answer="allow")
    rule = "tool:unknown" if permission is None else "tool:disabled"
    assert decide(heard) == Decision("deny", rule, None)


def test_a_kill_switch_stops_what_everybody_else_allows() -> None:
    heard = Hearing(
        permission=ALLOWED, answer="allow", ruling=Ruling(outcome="allow"), blocked="tool bash"
    )
    assert decide(heard) == Decision("deny", "switch:tool bash", None)


def test_an_enterprise_that_asks_shows_as_a_verdict_of_auto() -> None:
    decision = decide(Hearing(permission=ALLOWED, ruling=Ruling(outcome="ask")))
    shown = auto("ask", "enterprise_policy")
    assert decision == Decision("ask", "enterprise:ask", shown, enterprise=True)


def test_where_both_ask_the_toolset_is_shown_and_the_enterprise_has_to_be_answered() -> None:
    decision = decide(Hearing(permission=ASKED, ruling=Ruling(outcome="ask")))
    assert decision == Decision("ask", "enterprise:ask", {"type": "always_ask"}, enterprise=True)


def test_an_answer_to_the_toolset_is_none_to_the_enterprise() -> None:
    decision = decide(Hearing(permission=ASKED, answer="allow", ruling=Ruling(outcome="ask")))
    assert (decision.outcome, decision.enterprise) == ("ask", True)


def test_what_the_enterprise_forbids_is_denied_and_says_why() -> None:
    decision = decide(Hearing(permission=ALLOWED, ruling=Ruling(outcome="deny")))
    shown = auto("deny", "enterprise_policy")
    assert decision == Decision("deny", "enterprise:deny", shown, enterprise=True)


def test_what_cannot_be_judged_is_denied() -> None:
    ruling = Ruling(outcome="deny", problem="amount is no number")
    decision = decide(Hearing(permission=ALLOWED, ruling=ruling))
    assert (decision.outcome, decision.rule) == ("deny", "enterprise:unjudgeable")


def test_a_session_can_give_up_what_its_toolset_allows() -> None:
    decision = decide(Hearing(permission=ALLOWED, session="deny"))
    assert decision == Decision("deny", "session:deny", auto("deny", "session_rules"))
    decision = decide(Hearing(permission=ALLOWED, session="ask"))
    assert decision == Decision("ask", "session:ask", auto("ask", "session_rules"))
    assert decide(Hearing(permission=ALLOWED, session="ask", answer="allow")).outcome == "allow"
    assert decide(Hearing(permission=ASKED, session="deny", answer="allow")).outcome == "deny"


def test_a_denial_of_the_toolset_is_shown_as_its_own() -> None:
    heard = Hearing(
        permission=JUDGED, verdict=Verdict("deny", "high_risk"), ruling=Ruling(outcome="deny")
    )
    assert decide(heard) == decide(replace(heard, ruling=None))


hearings = st.builds(
    Hearing,
    permission=st.none() | st.builds(Permission, st.booleans(), st.sampled_from(POLICIES)),
    verdict=st.sampled_from(
        [None, Verdict("allow"), Verdict("ask", "indeterminate"), Verdict("deny", "high_risk")]
    ),
    answer=st.sampled_from(["allow", "deny", None]),
    ruling=st.none() | st.builds(Ruling, outcome=st.sampled_from(["allow", "ask", "deny"])),
    blocked=st.sampled_from(["", "agent a"]),
    session=st.sampled_from(["allow", "ask", "deny"]),
)


def freedom(heard: Hearing) -> int:
    return ["deny", "ask", "allow"].index(decide(heard).outcome)


@given(hearings)
def test_no_voice_widens_what_the_others_allow(heard: Hearing) -> None:
    without_enterprise = replace(heard, ruling=None)
    assert freedom(heard) <= freedom(without_enterprise)
    assert freedom(heard) <= freedom(replace(heard, blocked=""))
    assert freedom(heard) <= freedom(replace(heard, session="allow"))
    if heard.ruling is not None:
        assert freedom(heard) <= ["deny", "ask", "allow"].index(heard.ruling.outcome)


@given(hearings)
def test_an_enterprise_that_allows_leaves_everything_to_the_others(heard: Hearing) -> None:
    assert decide(replace(heard, ruling=Ruling(outcome="allow"))) == decide(
        replace(heard, ruling=None)
    )


@given(hearings)
def test_a_yes_settles_an_ask_of_the_toolset_and_nothing_else(heard: Hearing) -> None:
    before, after = decide(replace(heard, answer=None)), decide(replace(heard, answer="allow"))
    if before.outcome == "ask" and not before.enterprise:
        assert (after.outcome, after.rule) == ("allow", "answer:allow")
        assert after.evaluation == before.evaluation
    else:
        assert (after.outcome, after.enterprise) == (before.outcome, before.enterprise)


@given(hearings)
def test_after_a_no_nothing_runs(heard: Hearing) -> None:
    assert decide(replace(heard, answer="deny")).outcome == "deny"
