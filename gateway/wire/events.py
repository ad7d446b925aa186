"""The event types of a session, as data, and how one becomes bytes.

The names are written out, so that asking about a type does not import the SDK; a test holds them
against the SDK's own lists.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from gateway.wire.responses import SESSION_EVENT

CLIENT = (
    "user.message",
    "user.interrupt",
    "user.tool_confirmation",
    "user.custom_tool_result",
    "user.tool_result",
    "user.define_outcome",
    "system.message",
)
"""What a client may send (spec/core 6.3)."""

INITIAL = ("user.message", "user.define_outcome")
"""What a session may be created with (spec/core 5.4)."""

ON_RECEIPT = ("user.define_outcome", "user.custom_tool_result", "user.tool_result")
"""Client events that have their ``processed_at`` as soon as they are accepted (spec/core 6.1)."""

PERSISTED = (
    *CLIENT,
    "agent.message",
    "agent.thinking",
    "agent.tool_use",
    "agent.tool_result",
    "agent.mcp_tool_use",
    "agent.mcp_tool_result",
    "agent.custom_tool_use",
    "agent.thread_message_sent",
    "agent.thread_message_received",
    "agent.thread_context_compacted",
    "session.status_running",
    "session.status_idle",
    "session.status_rescheduled",
    "session.status_terminated",
    "session.updated",
    "session.error",
    "session.usage",
    "session.thread_created",
    "session.thread_status_running",
    "session.thread_status_idle",
    "session.thread_status_rescheduled",
    "session.thread_status_terminated",
    "span.model_request_start",
    "span.model_request_end",
    "span.outcome_evaluation_start",
    "span.outcome_evaluation_ongoing",
    "span.outcome_evaluation_end",
    "workflow_run.created",
    "workflow_run.status_running",
    "workflow_run.status_idle",
    "workflow_run.status_ended",
    "workflow_run.phase_started",
    "workflow_run.phase_ended",
    "workflow_run.error",
)
"""What a list of events can show and filter by (spec/core 6.4)."""

LAST = "session.deleted"
"""Streamed once, never listed: the history it would be in is gone."""

PREVIEWED = ("agent.message", "agent.thinking")
"""Events that a stream can announce before they are complete (spec/core 6.5)."""

STREAM_ONLY = ("event_start", "event_delta")


def render(event: Mapping[str, Any]) -> bytes:
    """The bytes of an event as every client sees them, made once.

    Compact JSON in UTF-8; ``type`` and ``id`` first, then the SDK's order. Unset fields are null,
    but for those in `gateway.wire.responses.ABSENT_WHEN_UNSET`.

    Raises:
        KeyError: A required field is missing.
    """
    return SESSION_EVENT.render(event)


def start_preview(kind: str, event: str) -> bytes:
    """The announcement of an event that is being produced."""
    return to_json({"type": "event_start", "event": {"type": kind, "id": event}})


def text_delta(event: str, index: int, text: str) -> bytes:
    """A further piece of the text block `index` of an announced message."""
    delta = {"type": "content_delta", "index": index, "content": {"type": "text", "text": text}}
    return to_json({"type": "event_delta", "event_id": event, "delta": delta})
