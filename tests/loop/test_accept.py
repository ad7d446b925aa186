"""Which client events a session takes, in every state it can be in (spec/core 6.3)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SystemClock
from gateway.errors import Forbidden, InvalidRequest, RateLimited
from gateway.loop.accept import MAX_QUEUED, Acceptance
from gateway.loop.approval import GATEWAY, LINK, Sender
from gateway.store.approvals import Accepted, ApprovalRow
from gateway.store.records import Event, Head, Input, SessionRow
from tests.store import rows

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
    return accepted(row, *events, **more).inputs


def accepted(row: SessionRow, *events: dict[str, Any], **more: Any) -> Accepted:
    acceptance = Acceptance(
        list(events),
        CLOCK,
        lambda _: more.get("system_turns", True),
        Sender(actor=more.get("by", "user_2"), groups=frozenset(more.get("groups", ()))),
    )
    known = {event.id: event for event in more.get("log") or []}
    asked = {row.event: row for row in more.get("approvals") or []}
    return acceptance.decide(row, more.get("queued") or [], known.get, asked.get)


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
    acceptance = Acceptance([INTERRUPT], CLOCK, lambda _: True, Sender(actor="user_1"))
    row = session(Head(stop_reason="budget_reached"))
    assert acceptance.decide(row, [], lambda _: None, lambda _: None).inputs == []
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


def asked(**changes: Any) -> ApprovalRow:
    """A pending approval of `sevt_9`, which acts for `user_1` and wants somebody else."""
    return replace(rows.approval(event="sevt_9", expires_at=CLOCK.now() + HOUR), **changes)


def asked_of(*approvers: str, second_person: bool = False, **changes: Any) -> ApprovalRow:
    body = {**asked().body, "approvers": list(approvers), "second_person": second_person}
    return asked(body=body, **changes)


HOUR = 3_600_000_000
WAITING = session(waiting("sevt_9", "user.tool_confirmation"))
CALL = [logged("sevt_9", "ask")]


def test_an_answer_settles_the_approval_and_says_who_gave_it() -> None:
    result = accepted(WAITING, confirm("sevt_9"), approvals=[asked()])
    (row,) = result.approvals
    assert (row.state, row.approver) == ("approved", "user_2")
    assert row.decided_at is not None
    assert result.inputs[0].private is not None
    assert json.loads(result.inputs[0].private) == {"by": "user_2", "ip": None}


@pytest.mark.parametrize("by", ["user_1", LINK])
def test_nobody_approves_as_a_second_person_who_is_not_one(by: str) -> None:
    with pytest.raises(Forbidden, match=r"events\[0\].*second person|another person") as caught:
        kept(WAITING, confirm("sevt_9"), approvals=[asked()], by=by)
    assert "policy refunds-need-two" in str(caught.value)


def test_the_acting_user_may_approve_where_no_second_person_is_wanted() -> None:
    result = accepted(WAITING, confirm("sevt_9"), approvals=[asked_of()], by="user_1")
    assert result.approvals[0].approver == "user_1"


def test_only_a_member_of_a_named_group_approves() -> None:
    row = asked_of("finance", "security")
    with pytest.raises(Forbidden, match="a member of finance or security, which user_2 is not"):
        kept(WAITING, confirm("sevt_9"), approvals=[row], groups=["support"])
    assert kept(WAITING, confirm("sevt_9"), approvals=[row], groups=["security", "support"])


@pytest.mark.parametrize("by", ["user_1", "user_2", LINK])
def test_whoever_may_send_events_may_deny(by: str) -> None:
    row = asked_of("finance", second_person=True)
    result = accepted(WAITING, confirm("sevt_9", "deny"), approvals=[row], by=by)
    assert [(row.state, row.approver) for row in result.approvals] == [("denied", by)]


def test_what_only_the_toolset_asks_anybody_answers_at_any_time() -> None:
    row = asked_of("finance", second_person=True, expires_at=None)
    row = replace(row, body={**row.body, "enterprise": False})
    assert kept(WAITING, confirm("sevt_9"), approvals=[row], by="user_1")


@pytest.mark.parametrize("result", ["allow", "deny"])
def test_an_answer_that_comes_late_says_until_when_it_could_be_given(result: str) -> None:
    row = asked(expires_at=CLOCK.now())
    with pytest.raises(InvalidRequest, match=r"could be answered until \d{4}"):
        kept(WAITING, confirm("sevt_9", result), approvals=[row])


def test_the_gateway_denies_what_has_expired_and_nothing_before() -> None:
    late = asked(expires_at=CLOCK.now())
    result = accepted(WAITING, confirm("sevt_9", "deny"), approvals=[late], by=GATEWAY.actor)
    assert [(row.state, row.approver) for row in result.approvals] == [("expired", None)]
    with pytest.raises(InvalidRequest, match="may still be answered by somebody"):
        kept(WAITING, confirm("sevt_9", "deny"), approvals=[asked()], by=GATEWAY.actor)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("approved", "approved already, by user_3"),
        ("denied", "denied already, by user_3"),
        ("expired", "could be answered until"),
        ("used", "an approval counts once"),
        ("withdrawn", "the call was given up"),
    ],
)
def test_a_settled_approval_says_what_became_of_it(state: Any, said: str) -> None:
    row = asked(state=state, approver="user_3")
    for head in (WAITING, session()):
        with pytest.raises(InvalidRequest, match=said):
            kept(head, confirm("sevt_9"), approvals=[row], log=CALL)


def test_the_second_answer_of_one_request_hears_of_the_first() -> None:
    with pytest.raises(InvalidRequest, match=r"events\[1\].*approved already, by user_2"):
        kept(WAITING, confirm("sevt_9"), confirm("sevt_9"), approvals=[asked()], log=CALL)


def test_an_answer_to_a_call_of_another_session_names_no_call_here() -> None:
    with pytest.raises(InvalidRequest, match="no tool use of this session"):
        kept(session(), confirm("sevt_9"))


def test_one_forbidden_answer_settles_nothing_of_its_request() -> None:
    both = {"sevt_8": "user.tool_confirmation", "sevt_9": "user.tool_confirmation"}
    row = session(Head(stop_reason="requires_action", waiting=both))
    approvals = [asked(event="sevt_8", body=asked_of().body), asked()]
    with pytest.raises(Forbidden):
        kept(row, confirm("sevt_8"), confirm("sevt_9"), approvals=approvals, by="user_1")


@given(
    approvers=st.sets(st.sampled_from(["finance", "security"])),
    second_person=st.booleans(),
    answers=st.lists(
        st.tuples(
            st.sampled_from(["user_1", "user_2", "user_3", LINK, GATEWAY.actor]),
            st.sets(st.sampled_from(["finance", "security", "support"])),
            st.sampled_from(["allow", "deny"]),
            st.integers(0, 20),
        ),
        max_size=12,
    ),
)
def test_a_call_is_approved_at_most_once_in_time_and_by_somebody_who_may(
    approvers: set[str], second_person: bool, answers: list[tuple[str, set[str], str, int]]
) -> None:
    """Whatever is answered, in whichever order, and whoever it is."""
    row = asked_of(*approvers, second_person=second_person, expires_at=10)
    known: dict[str, ApprovalRow] = {row.event: row}
    queued: list[Input] = []
    allowed: list[tuple[str, set[str], int]] = []
    for by, groups, result, at in sorted(answers, key=lambda answer: answer[3]):
        sender = Sender(actor=by, groups=frozenset(groups))
        acceptance = Acceptance([confirm("sevt_9", result)], Still(at), lambda _: True, sender)
        try:
            made = acceptance.decide(WAITING, list(queued), {"sevt_9": CALL[0]}.get, known.get)
        except (InvalidRequest, Forbidden):
            continue
        queued.extend(made.inputs)
        known.update({each.event: each for each in made.approvals})
        if known["sevt_9"].state == "approved":
            allowed.append((by, groups, at))
    assert len(queued) <= 1
    assert len(allowed) == sum(b'"result":"allow"' in item.wire for item in queued)
    for by, groups, at in allowed:
        assert at < 10
        assert by != GATEWAY.actor
        assert not second_person or by not in ("user_1", LINK)
        assert not approvers or approvers & groups


class Still(SystemClock):
    """A clock that stands."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def now(self) -> int:
        return self.at
