"""What policies see of a session's past: it only grows, and money is counted where it went."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.loop import fold
from gateway.loop.state import MAX_CALLS, State, dump, fresh, load

THREAD = "sthr_1"
SECOND = 1_000_000

LABELS = ["data:secret", "private", "untrusted"]


def log(*events: tuple[str, dict[str, Any], dict[str, Any]], at: int = 0) -> State:
    state = fresh(THREAD, 0)
    for kind, body, private in events:
        fold.apply(state, {"type": kind, **body}, private, thread=THREAD, at=at)
    return state


def use(event: str, **private: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    body = {"id": event, "name": "refund", "input": {}, "evaluated_permission": "allow"}
    return "agent.tool_use", body, {"tool_use_id": event, "place": "server", **private}


def result(
    event: str, *, is_error: bool = False, **private: Any
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    body = {"tool_use_id": event, "content": [], "is_error": is_error}
    return "agent.tool_result", body, private


def test_a_label_holds_once_the_call_has_come_back() -> None:
    made = use("a", labels=["private"])
    assert log(made).conduct.labels == []
    assert log(made, result("a")).conduct.labels == ["private"]
    assert log(made, result("a", is_error=True)).conduct.labels == ["private"]


def test_a_call_that_did_not_run_taught_the_session_nothing_and_cost_nothing() -> None:
    state = log(use("a", labels=["private"], cents=5), result("a", is_error=True, refused=True))
    assert (state.conduct.labels, state.conduct.cents) == ([], 0)


def test_money_is_reserved_while_a_call_runs_and_spent_when_it_is_back() -> None:
    made = use("a", cents=500)
    running = log(made)
    assert running.conduct.cents == 0
    assert [call.cents for call in running.main.calls.values()] == [500]
    assert log(made, result("a")).conduct.cents == 500


def test_money_is_back_when_the_tool_itself_says_that_it_failed() -> None:
    made = use("a", cents=500)
    assert log(made, result("a", is_error=True, failed=True)).conduct.cents == 0


def test_money_is_gone_when_nobody_knows_what_the_tool_did() -> None:
    assert log(use("a", cents=500), result("a", is_error=True)).conduct.cents == 500


def test_a_client_that_ran_a_call_says_whether_it_failed() -> None:
    made = use("a", cents=500)
    failed: dict[str, Any] = {"tool_use_id": "a", "content": [], "is_error": True}
    assert log(made, ("user.tool_result", failed, {})).conduct.cents == 0


def test_calls_are_remembered_for_a_minute_and_not_without_number() -> None:
    state = fresh(THREAD, 0)
    for number in range(MAX_CALLS + 10):
        kind, body, private = use(f"call{number}")
        fold.apply(state, {"type": kind, **body}, private, thread=THREAD, at=SECOND)
    assert len(state.conduct.calls) == MAX_CALLS
    kind, body, private = use("late")
    fold.apply(state, {"type": kind, **body}, private, thread=THREAD, at=62 * SECOND)
    assert state.conduct.calls == [62 * SECOND]


def test_the_last_message_says_where_the_client_is() -> None:
    message = {"content": [{"type": "text", "text": "hello"}]}
    state = log(("user.message", message, {"by": "user_1", "ip": "192.0.2.7"}))
    assert state.conduct.source_ip == "192.0.2.7"


calls = st.lists(
    st.tuples(
        st.lists(st.sampled_from(LABELS), unique=True),
        st.integers(0, 10_000),
        st.booleans(),
        st.sampled_from([{}, {"refused": True}, {"failed": True}]),
    ),
    max_size=8,
)


@given(calls)
def test_nothing_that_was_read_or_spent_is_ever_taken_back(
    made: list[tuple[list[str], int, bool, dict[str, Any]]],
) -> None:
    state = fresh(THREAD, 0)
    for number, (labels, cents, is_error, private) in enumerate(made):
        before = set(state.conduct.labels), state.conduct.cents
        events = [
            use(f"call{number}", labels=labels, cents=cents),
            result(f"call{number}", is_error=is_error, **private),
        ]
        for kind, body, known in events:
            fold.apply(state, {"type": kind, **body}, known, thread=THREAD, at=number)
        assert before[0] <= set(state.conduct.labels)
        assert before[1] <= state.conduct.cents
        ran = "refused" not in private
        assert not ran or set(labels) <= set(state.conduct.labels)
    assert load(dump(state)) == state
