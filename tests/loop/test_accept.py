"""Which client events a session takes, in every state it can be in (spec/core 6.3)."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.errors import InvalidRequest, RateLimited
from gateway.loop.accept import MAX_QUEUED, Acceptance
from gateway.store.records import Event, Head, Input, SessionRow

CLOCK = SystemClock()
TEXT = [{"type": "text", "text": "hello"}]
MESSAGE = {"type": "user.message", "content": TEXT}
INTERRUPT = {"type": "user.interrupt"}
SYSTEM = {"type": "system.message", "content": TEXT}
OUTCOME = {
    "type": "user.define_outcome",
    "description": "d",
    "rubric": {"type": "text", "content": "c"},
}


def session(head: Head = Head(), *, hosted: str = "cloud") -> SessionRow:  # noqa: B008 - frozen
    return SessionRow(
        id="sesn_1",
        workspace="wrkspc_1",
        environment="env_1",
        agent="agent_1",
        agent_version=1,
        deployment=None,
        primary_thread="sthr_1",
        body={"agent": {"model": {"id": "claude-haiku-4-5"}}, "environment_type": hosted},
        head=head,
        seq=0,
        created_at=0,
        updated_at=0,
        archived_at=None,
    )


def waiting(event: str, kind: str, status: Any = "idle") -> Head:
    return Head(status=status, stop_reason="requires_action", waiting={event: kind})


def confirm(event: str, result: str = "allow") -> dict[str, Any]:
    return {"type": "user.tool_confirmation", "tool_use_id": event, "result": result}


def answer(event: str) -> dict[str, Any]:
    return {"type": "user.custom_tool_result", "custom_tool_use_id": event}


def hosted_result(event: str) -> dict[str, Any]:
    return {"type": "user.tool_result", "tool_use_id": event}


def logged(event: str, permission: str) -> Event:
    body = {"id": event, "type": "agent.tool_use", "evaluated_permission": permission}
    return Event(
        id=event,
        type="agent.tool_use",
        thread="sthr_1",
        processed_at=0,
        wire=json.dumps(body, separators=(",", ":")).encode(),
    )


def kept(row: SessionRow, *events: dict[str, Any], **more: Any) -> list[Input]:
    acceptance = Acceptance(list(events), CLOCK, lambda _: more.get("system_turns", True))
    known = {event.id: event for event in more.get("log") or []}
    return acceptance.decide(row, more.get("queued") or [], known.get)


@pytest.mark.parametrize("status", ["idle", "running", "rescheduling"])
def test_a_message_is_taken_whatever_the_session_does(status: Any) -> None:
    (item,) = kept(session(Head(status=status)), MESSAGE)
    assert json.loads(item.wire)["processed_at"] is None


@pytest.mark.parametrize("event", [MESSAGE, INTERRUPT, SYSTEM, OUTCOME])
def test_a_session_that_has_ended_takes_nothing(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="ended"):
        kept(session(Head(status="terminated")), event)
    with pytest.raises(InvalidRequest, match="ended"):
        kept(replace(session(), archived_at=1), event)


def test_a_message_to_a_session_that_waits_names_the_events_and_what_is_accepted() -> None:
    row = session(waiting("sevt_9", "user.tool_confirmation"))
    with pytest.raises(InvalidRequest) as caught:
        kept(row, MESSAGE)
    message = str(caught.value)
    assert "user.message at events[0]" in message
    assert "waiting on responses to events sevt_9" in message
    for allowed in ("user.tool_confirmation", "user.custom_tool_result", "user.interrupt"):
        assert allowed in message


def test_a_message_may_follow_the_last_answer_in_the_same_request() -> None:
    row = session(waiting("sevt_9", "user.tool_confirmation"))
    assert len(kept(row, confirm("sevt_9"), MESSAGE)) == 2


def test_a_message_may_follow_an_interrupt_in_the_same_request() -> None:
    row = session(waiting("sevt_9", "user.tool_confirmation"))
    assert len(kept(row, INTERRUPT, MESSAGE)) == 2


def test_an_answer_may_come_before_the_session_is_idle() -> None:
    row = session(waiting("sevt_9", "user.custom_tool_result", "running"))
    (item,) = kept(row, answer("sevt_9"))
    assert json.loads(item.wire)["processed_at"] is not None
    assert item.target == "sevt_9"


def test_a_second_answer_to_the_same_call_is_refused_even_in_one_request() -> None:
    row = session(waiting("sevt_9", "user.custom_tool_result"))
    log = [replace(logged("sevt_9", "allow"), type="agent.custom_tool_use")]
    with pytest.raises(InvalidRequest, match="answered already"):
        kept(row, answer("sevt_9"), answer("sevt_9"), log=log)
    first = kept(row, answer("sevt_9"))
    with pytest.raises(InvalidRequest, match="answered already"):
        kept(row, answer("sevt_9"), queued=first, log=log)


def test_an_answer_to_a_call_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no tool use of this session"):
        kept(session(), confirm("sevt_nope"))


def test_a_confirmation_of_a_call_that_did_not_ask_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="does not ask"):
        kept(session(), confirm("sevt_9"), log=[logged("sevt_9", "allow")])


def test_tool_results_are_only_for_self_hosted_environments() -> None:
    head = waiting("sevt_9", "user.tool_result")
    with pytest.raises(InvalidRequest, match="self_hosted"):
        kept(session(head), hosted_result("sevt_9"))
    assert kept(session(head, hosted="self_hosted"), hosted_result("sevt_9"))


def test_a_worker_may_send_its_result_right_after_the_confirmation() -> None:
    row = session(waiting("sevt_9", "user.tool_confirmation"), hosted="self_hosted")
    first = kept(row, confirm("sevt_9"))
    assert kept(row, hosted_result("sevt_9"), queued=first)


def test_a_denied_call_takes_no_result() -> None:
    row = session(waiting("sevt_9", "user.tool_confirmation"), hosted="self_hosted")
    first = kept(row, confirm("sevt_9", "deny"))
    with pytest.raises(InvalidRequest):
        kept(row, hosted_result("sevt_9"), queued=first, log=[logged("sevt_9", "ask")])


def test_an_interrupt_may_name_the_primary_thread_and_no_unknown_one() -> None:
    assert kept(session(), {**INTERRUPT, "session_thread_id": "sthr_1"})
    with pytest.raises(InvalidRequest, match="session_thread_id"):
        kept(session(), {**INTERRUPT, "session_thread_id": "sthr_2"})


def test_a_system_message_needs_a_model_that_takes_it() -> None:
    with pytest.raises(InvalidRequest) as caught:
        kept(session(), SYSTEM, system_turns=False)
    assert caught.value.code == "model_does_not_support_mid_conversation_system"


def test_a_system_message_may_trail_an_answer_and_nothing_else_while_waiting() -> None:
    row = session(waiting("sevt_9", "user.custom_tool_result"))
    assert len(kept(row, answer("sevt_9"), SYSTEM)) == 2
    with pytest.raises(InvalidRequest, match="waiting on responses"):
        kept(row, SYSTEM)


def test_only_one_outcome_is_active_at_a_time() -> None:
    (item,) = kept(session(), OUTCOME)
    body = json.loads(item.wire)
    assert body["outcome_id"].startswith("outc_")
    assert body["max_iterations"] == 3
    with pytest.raises(InvalidRequest, match="active already"):
        kept(session(), OUTCOME, queued=[item])
    with pytest.raises(InvalidRequest, match="active already"):
        kept(session(Head(outcomes=[{"result": "evaluating"}])), OUTCOME)
    assert kept(session(Head(outcomes=[{"result": "satisfied"}])), OUTCOME)


def test_at_the_budget_only_events_that_settle_calls_are_accepted() -> None:
    row = session(Head(stop_reason="budget_reached", waiting={"sevt_9": "user.tool_confirmation"}))
    with pytest.raises(InvalidRequest, match=r"budget.*user\.tool_confirmation"):
        kept(row, MESSAGE)
    assert kept(row, confirm("sevt_9"))


def test_at_the_budget_an_interrupt_is_answered_and_not_kept() -> None:
    acceptance = Acceptance([INTERRUPT], CLOCK, lambda _: True)
    row = session(Head(stop_reason="budget_reached"))
    assert acceptance.decide(row, [], lambda _: None) == []
    assert len(acceptance.echoes) == 1


def test_one_bad_event_refuses_the_whole_request() -> None:
    with pytest.raises(InvalidRequest, match=r"events\[1\]"):
        kept(session(), MESSAGE, confirm("sevt_nope"))


def test_a_full_inbox_refuses_more() -> None:
    (item,) = kept(session(), MESSAGE)
    with pytest.raises(RateLimited):
        kept(session(), MESSAGE, queued=[item] * MAX_QUEUED)


def test_events_are_kept_in_order_with_ids_of_their_own() -> None:
    items = kept(session(), MESSAGE, MESSAGE, INTERRUPT)
    assert [item.type for item in items] == ["user.message", "user.message", "user.interrupt"]
    assert len({item.id for item in items}) == 3
