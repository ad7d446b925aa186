"""The types of events, and events as bytes."""

import json
from typing import Any, get_args

import pytest
from anthropic.types.beta import BetaManagedAgentsDeltaType
from anthropic.types.beta.sessions import (
    BetaManagedAgentsEventParams,
    BetaManagedAgentsSessionEvent,
    BetaManagedAgentsSessionEventType,
    BetaManagedAgentsStreamSessionEvents,
)
from pydantic import TypeAdapter
from typing_extensions import get_type_hints

from gateway.wire import events
from gateway.wire.requests import SESSION_CREATE
from tests.ledger.requirement import requirement
from tests.wire.bodies import OUTCOME, accepted, session

_WHEN = "2026-04-01T12:00:00.000000Z"
_TOOL_USE = {
    "processed_at": _WHEN,
    "name": "bash",
    "input": {"command": "echo é\u2028"},
    "id": "sevt_01",
    "type": "agent.tool_use",
}


def _constants(union: Any) -> set[str]:
    """The types of the members of an SDK union."""
    members = get_args(get_args(union)[0]) if hasattr(union, "__metadata__") else get_args(union)
    return {get_args(m.model_fields["type"].annotation)[0] for m in members}


def test_the_persisted_types_are_those_the_sdk_can_filter_by():
    assert set(events.PERSISTED) == set(get_args(BetaManagedAgentsSessionEventType))
    assert len(events.PERSISTED) == 41


def test_everything_that_can_be_persisted_or_streamed_is_known():
    assert _constants(BetaManagedAgentsSessionEvent) == {*events.PERSISTED, events.LAST}
    streamed = {*events.PERSISTED, events.LAST, *events.STREAM_ONLY}
    assert _constants(BetaManagedAgentsStreamSessionEvents) == streamed


def test_what_clients_send_is_what_the_sdk_lets_them_send():
    hints = [
        get_type_hints(m, include_extras=False) for m in get_args(BetaManagedAgentsEventParams)
    ]
    assert {get_args(hint["type"])[0] for hint in hints} == set(events.CLIENT)
    assert set(events.PREVIEWED) == set(get_args(BetaManagedAgentsDeltaType))
    assert set(events.ON_RECEIPT) < set(events.CLIENT)


def test_what_a_session_starts_with_is_a_message_or_an_outcome():
    accepted(SESSION_CREATE, session(initial_events=[OUTCOME]))
    assert set(events.INITIAL) == {"user.message", "user.define_outcome"}


def test_an_event_is_compact_and_begins_with_its_type_and_id():
    shown = events.render(_TOOL_USE)
    assert shown.startswith(b'{"type":"agent.tool_use","id":"sevt_01",')
    assert "echo é\u2028".encode() in shown
    assert b", " not in shown
    assert b"\n" not in shown


def test_an_event_has_the_same_bytes_whatever_the_order_it_was_made_in():
    assert events.render(_TOOL_USE) == events.render(dict(reversed(_TOOL_USE.items())))


@requirement("events:absence:table")
@pytest.mark.parametrize(
    ("event", "null", "absent"),
    [
        (
            {"type": "agent.tool_use", "name": "bash", "input": {}},
            set[str](),
            {"evaluation", "session_thread_id"},
        ),
        (
            {"type": "session.status_idle", "stop_reason": {"type": "end_turn"}},
            {"stop_details"},
            set[str](),
        ),
        ({"type": "session.updated", "title": "T"}, set[str](), {"agent", "budget", "metadata"}),
        ({"type": "session.usage", "usage": {}}, {"budget"}, set[str]()),
        ({"type": "user.interrupt"}, {"session_thread_id"}, set[str]()),
        ({"type": "agent.tool_result", "tool_use_id": "x"}, {"content", "is_error"}, set[str]()),
        (
            {"type": "session.thread_created", "session_thread_id": "t", "agent_name": "a"},
            {"workflow_run_id"},
            set[str](),
        ),
        (
            {"type": "agent.thread_message_sent", "to_session_thread_id": "t", "content": []},
            set[str](),
            {"to_agent_name"},
        ),
    ],
)
def test_unset_fields_are_null_or_absent_as_the_table_says(
    event: dict[str, Any], null: set[str], absent: set[str]
):
    shown = json.loads(events.render({**event, "id": "sevt_01", "processed_at": _WHEN}))
    assert {name for name, value in shown.items() if value is None} == null
    assert absent & set(shown) == set()


def test_a_queued_event_shows_that_it_was_not_processed():
    shown = json.loads(events.render({"type": "user.message", "id": "sevt_01", "content": []}))
    assert shown["processed_at"] is None


def test_an_event_without_a_field_that_is_never_null_is_our_mistake():
    with pytest.raises(KeyError, match="stop_reason"):
        events.render({"type": "session.status_idle", "id": "sevt_01", "processed_at": _WHEN})


def test_previews_are_what_the_sdk_reads():
    adapter: TypeAdapter[Any] = TypeAdapter(BetaManagedAgentsStreamSessionEvents)
    start = adapter.validate_json(events.start_preview("agent.message", "sevt_01"))
    delta = adapter.validate_json(events.text_delta("sevt_01", 0, "é"))
    assert (start.type, start.event.type, start.event.id) == (
        "event_start",
        "agent.message",
        "sevt_01",
    )
    assert (delta.event_id, delta.delta.index, delta.delta.content.text) == ("sevt_01", 0, "é")
