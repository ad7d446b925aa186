"""The wire's own permission policies (spec/core 2.8)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.decide import decide
from gateway.policy.toolset import Permission, PolicyName, resolve

TOOLSET: dict[str, Any] = {"type": "agent_toolset_20260401"}
POLICIES: tuple[PolicyName, ...] = ("always_allow", "always_ask", "auto")


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
    decision = decide(Permission(True, "always_allow"))
    assert (decision.outcome, decision.evaluation) == ("allow", {"type": "always_allow"})


def test_auto_without_a_judge_asks_and_says_that_it_is_undecided() -> None:
    decision = decide(Permission(True, "auto"))
    assert decision.outcome == "ask"
    assert decision.evaluation == {
        "type": "auto",
        "evaluated_permission": {"type": "ask", "reason_code": "indeterminate"},
    }


@pytest.mark.parametrize("permission", [None, Permission(False, "always_allow")])
def test_a_tool_that_is_not_enabled_is_denied_before_any_policy(
    permission: Permission | None,
) -> None:
    decision = decide(permission)
    assert (decision.outcome, decision.evaluation) == ("deny", None)


@given(
    enabled=st.booleans(),
    policy=st.sampled_from(POLICIES),
    answer=st.sampled_from(["allow", "deny", None]),
)
def test_an_answer_settles_an_ask_and_nothing_else(
    enabled: bool, policy: PolicyName, answer: Any
) -> None:
    permission = Permission(enabled, policy)
    before, after = decide(permission), decide(permission, answer)
    if before.outcome == "ask" and answer is not None:
        assert after.outcome == answer
    else:
        assert after == before
