"""The events the loop itself writes, before they have an id and a time.

One function for each event type, so that its fields are spelled once (spec/core 6.4).
"""

from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event to be: its type, its own fields, and what only the loop may see of it."""

    type: str
    fields: Body = field(default_factory=dict[str, Any])
    private: Body | None = None
    id: str | None = None
    """Given when a preview has already announced the id."""


def session_running() -> Draft:
    return Draft("session.status_running")


def session_idle(reason: str, event_ids: list[str], details: Body | None) -> Draft:
    fields = {"stop_reason": _stop(reason, event_ids), "stop_details": details}
    return Draft("session.status_idle", fields)


def session_rescheduled(stopped_at: int | None = None) -> Draft:
    private = {"stopped_at": stopped_at} if stopped_at is not None else None
    return Draft("session.status_rescheduled", {}, private)


def thread_running(thread: str, agent: str) -> Draft:
    return Draft("session.thread_status_running", _thread(thread, agent))


def thread_idle(
    thread: str, agent: str, reason: str, event_ids: list[str], details: Body | None
) -> Draft:
    stop = {"stop_reason": _stop(reason, event_ids), "stop_details": details}
    return Draft("session.thread_status_idle", {**_thread(thread, agent), **stop})


def thread_rescheduled(thread: str, agent: str, stopped_at: int | None = None) -> Draft:
    private = {"stopped_at": stopped_at} if stopped_at is not None else None
    return Draft("session.thread_status_rescheduled", _thread(thread, agent), private)


def _thread(thread: str, agent: str) -> Body:
    return {"session_thread_id": thread, "agent_name": agent}


def _stop(reason: str, event_ids: list[str]) -> Body:
    if reason == "requires_action":
        return {"type": reason, "event_ids": event_ids}
    return {"type": reason}


def usage(shown: Body, budget: Body | None) -> Draft:
    return Draft("session.usage", {"usage": shown, "budget": budget})


def error(kind: str, message: str, retry: str, **extra: Any) -> Draft:
    """A ``session.error``; `retry` is ``retrying``, ``exhausted`` or ``terminal``."""
    body = {"type": kind, "message": message, "retry_status": {"type": retry}, **extra}
    return Draft("session.error", {"error": body})


def request_start() -> Draft:
    return Draft("span.model_request_start")


def request_end(start: str, usage: Body, *, is_error: bool, private: Body) -> Draft:
    fields = {"model_request_start_id": start, "is_error": is_error, "model_usage": usage}
    return Draft("span.model_request_end", fields, private)


def thinking(event: str | None) -> Draft:
    return Draft("agent.thinking", id=event)


def message(texts: list[str], event: str | None) -> Draft:
    content = [{"type": "text", "text": text} for text in texts]
    return Draft("agent.message", {"content": content}, id=event)


def tool_result(
    type_: str, event: str, content: list[Body], *, is_error: bool, private: Body | None = None
) -> Draft:
    """The result of a call that ran on our side; `type_` is that of its tool-use event."""
    fields: Body = {"content": content, "is_error": is_error}
    if type_ == "agent.mcp_tool_use":
        return Draft("agent.mcp_tool_result", {"mcp_tool_use_id": event, **fields}, private)
    return Draft("agent.tool_result", {"tool_use_id": event, **fields}, private)


def compacted(messages: list[Body]) -> Draft:
    return Draft("agent.thread_context_compacted", {}, {"messages": messages})


def evaluation_start(outcome: str, iteration: int) -> Draft:
    return Draft("span.outcome_evaluation_start", {"outcome_id": outcome, "iteration": iteration})


def evaluation_ongoing(outcome: str, iteration: int) -> Draft:
    return Draft("span.outcome_evaluation_ongoing", {"outcome_id": outcome, "iteration": iteration})


def evaluation_end(
    outcome: str, iteration: int, start: str, verdict: Body, private: Body | None = None
) -> Draft:
    """The end of an evaluation; `start` is empty when none had begun (spec/core 6.4)."""
    fields = {
        "outcome_evaluation_start_id": start,
        "outcome_id": outcome,
        "iteration": iteration,
        **verdict,
    }
    return Draft("span.outcome_evaluation_end", fields, private)
