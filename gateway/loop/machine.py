"""What a session does next: a pure state machine over its log.

`step` looks at the state (the log, folded) and at what clients have sent meanwhile, and names one
effect. The runner carries it out, appends what came of it, and asks again. Nothing in here waits,
reads a clock or touches the world, so every rule can be tested by writing down a state.

The order of the rules is the behaviour (spec/core 6.7, 6.8, 8.1):

    1. an interrupt goes before everything else
    2. answers to open calls are taken as they come
    3. what may run, runs
    4. what runs is waited for
    5. calls that only a client can move on put the session to rest: `requires_action`
    6. a model that owes an answer is asked, unless a limit says otherwise
    7. work towards an outcome is graded before the turn may end
    8. queued messages start the next turn
    9. nothing is left: the session rests
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.loop.state import OpenCall, State, ThreadState
from gateway.store.records import Input


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a turn."""

    max_tool_rounds: int
    max_compactions: int
    compact_tokens: int
    """Context size, in tokens, at which the conversation is compacted before the next request."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop whatever is under way and end the turn."""

    inputs: list[Input]


@dataclass(frozen=True, slots=True)
class Take:
    """Move these inputs from the inbox into the log."""

    inputs: list[Input]


@dataclass(frozen=True, slots=True)
class Run:
    """Send these calls through the gate, all at the same time."""

    calls: list[OpenCall]


@dataclass(frozen=True, slots=True)
class Wait:
    """Calls are running; wait until one ends or a client sends something."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the model for the next answer of a thread."""

    thread: ThreadState


@dataclass(frozen=True, slots=True)
class Compact:
    """Shorten a thread's context before it is asked again."""

    thread: ThreadState


@dataclass(frozen=True, slots=True)
class Grade:
    """Have the work towards an outcome graded."""

    outcome: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the turn with a ``session.error`` that is not retried."""

    thread: ThreadState
    error: str
    """The ``error.type`` (spec/core 8.3)."""
    message: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is left to do: go idle."""

    reason: str
    """``stop_reason.type``."""
    event_ids: list[str]
    """What a ``requires_action`` waits for."""
    details: dict[str, Any] | None = None


Effect: TypeAlias = Interrupt | Take | Run | Wait | Ask | Compact | Grade | GiveUp | Rest

_ANSWERS = frozenset({"user.tool_confirmation", "user.custom_tool_result", "user.tool_result"})


def step(state: State, inputs: list[Input], limits: Limits, *, over_budget: bool = False) -> Effect:
    """Name the next effect.

    Args:
        state: The folded log.
        inputs: What was accepted and is not in the log yet, in arrival order.
        limits: Bounds of a turn.
        over_budget: The session's cost has reached its budget (spec/core 8.6).
    """
    thread = state.main
    if urgent := _urgent(inputs):
        return urgent
    if thread.calls:
        return _work_on_calls(thread)
    outcome = state.active_outcome() if thread.stop == "end_turn" else None
    if thread.owes_answer or outcome is not None:
        if over_budget:
            return Rest("budget_reached", [])
        return _ask(thread, limits) if thread.owes_answer else Grade(outcome or {})
    if inputs:
        return Take(inputs)
    reason = "end_turn" if thread.stop == "interrupted" else thread.stop
    return Rest(reason, [], thread.stop_details)


def _urgent(inputs: list[Input]) -> Effect | None:
    if interrupts := [i for i in inputs if i.type == "user.interrupt"]:
        return Interrupt(interrupts)
    if answers := [i for i in inputs if i.type in _ANSWERS]:
        return Take(answers)
    return None


def _work_on_calls(thread: ThreadState) -> Effect:
    if ready := [call for call in thread.calls.values() if call.stage == "ready"]:
        return Run(ready)
    if any(call.stage == "running" for call in thread.calls.values()):
        return Wait()
    return Rest("requires_action", [call.event for call in thread.calls.values()])


def _ask(thread: ThreadState, limits: Limits) -> Effect:
    if thread.rounds >= limits.max_tool_rounds:
        text = f"The turn ended after {thread.rounds} model requests."
        return GiveUp(thread, "tool_use_limit_reached_error", text)
    if thread.context_tokens < limits.compact_tokens:
        return Ask(thread)
    if thread.compactions >= limits.max_compactions:
        text = f"The context is still too long after {thread.compactions} compactions."
        return GiveUp(thread, "compaction_limit_reached_error", text)
    return Compact(thread)


def recover(state: State, rerun: frozenset[str]) -> list[OpenCall]:
    """After a crash: the calls that may have run, and so may not run again.

    A call without a result runs again only if its tool is read-only (spec/core 12a).

    Args:
        state: As folded from the log, before the first step.
        rerun: Names of the tools that change nothing.
    """
    return [
        call
        for thread in state.threads.values()
        for call in thread.calls.values()
        if call.stage == "ready" and call.permission != "deny" and call.name not in rerun
    ]
