"""Whether a call may run: a pure function of the tool, its policy and what is known.

The outcome is what the tool-use event shows as ``evaluated_permission`` and ``evaluation``
(spec/core 2.8). Anything this module cannot decide is never allowed by default.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gateway.policy.toolset import Permission

Outcome: TypeAlias = Literal["allow", "ask", "deny"]
Answer: TypeAlias = Literal["allow", "deny"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided, and the rule that said so."""

    outcome: Outcome
    rule: str
    """Names the deciding rule for people and for the audit record."""
    evaluation: dict[str, Any] | None
    """The event's ``evaluation``; None when no policy was reached."""


def decide(permission: Permission | None, answer: Answer | None = None) -> Decision:
    """Decide one call.

    Args:
        permission: What the agent's toolset says; None when the agent has no such tool.
        answer: A person's answer to this very call, if one was given. It can settle an ask and
            nothing else: it never enables a tool.
    """
    if permission is None:
        return Decision("deny", "tool:unknown", None)
    if not permission.enabled:
        return Decision("deny", "tool:disabled", None)
    if permission.policy == "always_allow":
        return Decision("allow", "policy:always_allow", {"type": "always_allow"})
    ask = _ask(permission)
    if answer is None:
        return ask
    return Decision(answer, f"answer:{answer}", ask.evaluation)


def _ask(permission: Permission) -> Decision:
    if permission.policy == "always_ask":
        return Decision("ask", "policy:always_ask", {"type": "always_ask"})
    # `auto` needs a judge; without one there is no judgement, and that is an ask (spec/core 2.8).
    verdict = {"type": "ask", "reason_code": "indeterminate"}
    evaluation = {"type": "auto", "evaluated_permission": verdict}
    return Decision("ask", "policy:auto:no_judge", evaluation)
