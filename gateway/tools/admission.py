"""What passes through the gate: calls, what is decided of them, and what comes of that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.policy.decide import Answer, Decision
from gateway.policy.facts import ApprovalFacts, Standing, ToolFacts
from gateway.policy.judge import Verdict
from gateway.rulebook import Judgement
from gateway.tools.catalog import Tool
from gateway.tools.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call as its caller knows it."""

    id: str
    """The id of its tool-use event."""
    session: str
    thread: str
    name: str
    """What the model called it."""
    input: dict[str, Any]
    broken: bool = False
    """The model's arguments were not JSON; `input` is empty."""
    denied: bool = False
    """It was denied when it was made, which stays so whatever has changed since."""
    answer: Answer | None = None
    """What a person said of this very call."""
    reason: str | None = None
    """Why a person denied it."""
    verdict: Verdict | None = None
    """What the judge said when the call was made."""
    approval: ApprovalFacts | None = None
    """Who approved this very call, where that still holds."""


@dataclass(frozen=True, slots=True)
class History:
    """What a judge is shown of a session so far."""

    events: Sequence[dict[str, Any]]
    """As clients see them, oldest first."""
    gap: bool
    """Messages of the user between the first and the others may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision on a call, and what it was made from."""

    call: Call
    tool: Tool | None
    standing: Standing
    decision: Decision
    named: ToolFacts
    """The tool as policies name it, also one that the agent does not have."""
    judgement: Judgement | None = None
    """The enterprise's; None where the agent has no such tool."""
    verdict: Verdict | None = None
    """The judge's, where it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A call that may run, once. Only the gate makes these."""

    decided: Decided
    tool: Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A call that a client runs, and sends the result of."""

    decided: Decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A call that does not run; the model reads why."""

    decided: Decided
    result: Result


Admission: TypeAlias = Admitted | Client | Refused
