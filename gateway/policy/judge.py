"""Who decides a call under the ``auto`` policy: what a judge is asked, and what it may answer.

A protocol only. What a judge is shown of a session is `gateway.policy.evidence`; the judge that
asks a language model is `gateway.model.judge`. A judge never widens what others forbid: it is one
of the voices that `gateway.policy.decide` hears.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

Outcome: TypeAlias = Literal["allow", "deny", "ask"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge makes of one call, as ``evaluated_permission`` shows it (spec/core 2.8)."""

    outcome: Outcome
    reason: str | None = None
    """The ``reason_code``: ``high_risk`` for deny, ``indeterminate`` for ask, None for allow."""
    explanation: str = ""
    """Why, in a sentence or two: for the record and the log. Written by a model that has read
    hostile text: never show it to another model."""
    model: str = ""
    """Who judged; empty when nobody was asked."""
    spent: dict[str, Any] | None = None
    """What the judgement adds to the session: ``usage``, by wire name, and ``cost``, in cents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plea:
    """One call that wants to run."""

    tool: str
    description: str
    """The tool's own; that of a third party's tool is as little to be trusted as its results."""
    input: dict[str, Any]
    events: Sequence[dict[str, Any]]
    """The session's wire events so far, oldest first; the judge picks what it looks at."""
    gap: bool = False
    """Messages of the user between the first of `events` and the rest are not among them."""


class Judge(Protocol):
    """Judges calls."""

    async def judge(self, plea: Plea) -> Verdict:
        """Say whether the call may run without a person's word.

        Never raises: whatever goes wrong is the verdict ``ask``, ``indeterminate``.
        """
        ...
