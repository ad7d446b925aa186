"""Whether a call may run: the one place where everything that has a say is heard.

Four voices, each of which can only narrow what the others allow: kill switches, the agent's own
toolsets (spec/core 2.8) with the judge of ``auto`` and a person's answer, the session's own rules,
and the enterprise's policies. Deny goes before ask, ask before allow. Pure: no clock, no I/O;
whatever this module cannot decide is not allowed.

What an enterprise says shows on the wire as a verdict of ``auto``, whose reason codes are open.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from gateway.policy.enterprise import Ruling
from gateway.policy.judge import Verdict
from gateway.policy.toolset import Permission

Outcome: TypeAlias = Literal["allow", "ask", "deny"]
Answer: TypeAlias = Literal["allow", "deny"]

ENTERPRISE = "enterprise_policy"
"""The ``reason_code`` of what the enterprise's policies say."""
SESSION = "session_rules"
"""That of what the session's own rules say."""
_UNJUDGED = Verdict("ask", "indeterminate")
"""Without a judge there is no judgement, and that is an ask (spec/core 2.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """What was said of one call."""

    permission: Permission | None
    """What the agent's toolset says; None when the agent has no such tool."""
    verdict: Verdict | None = None
    """The judge's, under ``auto``."""
    answer: Answer | None = None
    """What a person answered. It settles an ask of the toolset and nothing else: it never enables
    a tool. What it means to the enterprise is part of `ruling`."""
    ruling: Ruling | None = None
    """The enterprise's; None where it has no policies, or they are not enforced."""
    session: Outcome = "allow"
    """What the session's own rules leave of it."""
    blocked: str = ""
    """The kill switch that stops the call."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided, and the rule that said so."""

    outcome: Outcome
    rule: str
    """Names the deciding rule for people and for the audit record."""
    evaluation: dict[str, Any] | None
    """The event's ``evaluation``; None when no policy was reached."""
    enterprise: bool = False
    """The enterprise said so, whatever the toolset says."""


def decide(heard: Hearing) -> Decision:
    """Decide one call."""
    if heard.permission is None:
        return Decision("deny", "tool:unknown", None)
    if not heard.permission.enabled:
        return Decision("deny", "tool:disabled", None)
    if heard.blocked:
        return Decision("deny", f"switch:{heard.blocked}", None)
    given = _given_up(_toolset(heard.permission, heard.verdict), heard.session)
    own = _answered(given, heard.answer)
    return own if heard.ruling is None else _narrowed(own, heard.ruling)


def _toolset(permission: Permission, verdict: Verdict | None) -> Decision:
    if permission.policy == "always_allow":
        return Decision("allow", "policy:always_allow", {"type": "always_allow"})
    if permission.policy == "always_ask":
        return Decision("ask", "policy:always_ask", {"type": "always_ask"})
    judged = verdict or _UNJUDGED
    rule = f"policy:auto:{judged.outcome if verdict else 'no_judge'}"
    return Decision(judged.outcome, rule, _auto(judged.outcome, judged.reason))


def _given_up(own: Decision, session: Outcome) -> Decision:
    """What a session asks about is asked as the toolset would, and answered as that is."""
    if session == "deny" and own.outcome != "deny":
        return Decision("deny", "session:deny", _auto("deny", SESSION))
    if session == "ask" and own.outcome == "allow":
        return Decision("ask", "session:ask", _auto("ask", SESSION))
    return own


def _answered(own: Decision, answer: Answer | None) -> Decision:
    """A no counts whoever asked; a yes only where the toolset did."""
    if answer == "deny" or (answer == "allow" and own.outcome == "ask"):
        return replace(own, outcome=answer, rule=f"answer:{answer}")
    return own


def _narrowed(own: Decision, ruling: Ruling) -> Decision:
    if own.outcome == "deny" or ruling.outcome == "allow":
        return own
    if ruling.outcome == "ask" and own.outcome == "ask":
        return replace(own, rule="enterprise:ask", enterprise=True)
    rule = f"enterprise:{'unjudgeable' if ruling.problem else ruling.outcome}"
    return Decision(ruling.outcome, rule, _auto(ruling.outcome, ENTERPRISE), enterprise=True)


def _auto(outcome: Outcome, reason: str | None) -> dict[str, Any]:
    verdict: dict[str, Any] = {"type": outcome}
    if outcome != "allow":
        verdict["reason_code"] = reason
    return {"type": "auto", "evaluated_permission": verdict}
