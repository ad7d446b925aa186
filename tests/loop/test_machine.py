"""The state machine, on logs written by hand and on logs made up by hypothesis."""

import json
import random
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.loop import draft, fold, machine
from gateway.loop.state import State, dump, fresh, load
from gateway.store.records import Input

LIMITS = machine.Limits(max_tool_rounds=5, max_compactions=2, compact_tokens=1000)
THREAD = "sthr_1"
Body = dict[str, Any]


class Log:
    """A session in memory: what a journal does, without a store."""

    def __init__(self) -> None:
        self.state = fresh(THREAD, 0)
        self.rows: list[tuple[Body, Body | None, int]] = []
        self.inputs: list[Input] = []
        self._count = 0

    def write(self, made: draft.Draft) -> str:
        self._count += 1
        body = {"id": f"sevt_{self._count}", "type": made.type, **made.fields}
        self._apply(json.loads(json.dumps(body)), made.private)
        return body["id"]

    def _apply(self, body: Body, private: Body | None) -> None:
        self.rows.append((body, private, self._count))
        fold.apply(self.state, body, private, thread=THREAD, at=self._count)

    def send(self, type_: str, target: str | None = None, **fields: Any) -> Input:
        self._count += 1
        body = {"id": f"sevt_{self._count}", "type": type_, **fields}
        item = Input(
            id=body["id"],
            type=type_,
            accepted_at=self._count,
            wire=json.dumps(body).encode(),
            target=target,
        )
        self.inputs.append(item)
        return item

    def consume(self, inputs: list[Input]) -> None:
        self.inputs = [item for item in self.inputs if item not in inputs]
        for item in inputs:
            self._apply(json.loads(item.wire), None)

    def step(self, **more: Any) -> machine.Effect:
        return machine.step(self.state, self.inputs, LIMITS, **more)

    def message(self, text: str = "hello") -> Input:
        return self.send("user.message", content=[{"type": "text", "text": text}])

    def answer(self, *calls: draft.Draft, stop: str = "end_turn", tokens: int = 10) -> list[str]:
        """A whole model request: span, tool uses, end."""
        span = self.write(draft.request_start())
        events = [self.write(call) for call in calls]
        content: list[Body] = [{"type": "text", "text": "..."}]
        for call in calls:
            assert call.private is not None
            content.append(
                {
                    "type": "tool_use",
                    "id": call.private["tool_use_id"],
                    "name": call.fields["name"],
                    "input": call.fields["input"],
                }
            )
        usage: Body = dict.fromkeys(("input_tokens", "output_tokens"), tokens)
        usage |= dict.fromkeys(("cache_read_input_tokens", "cache_creation_input_tokens"), 0)
        private = {"content": content, "stop_reason": stop, "usage": usage, "cost": "0.5"}
        self.write(draft.request_end(span, usage, is_error=False, private=private))
        return events

    def result(self, event: str, *, is_error: bool = False) -> None:
        content = [{"type": "text", "text": "done"}]
        self.write(draft.tool_result("agent.tool_use", event, content, is_error=is_error))


def tool_use(
    provider_id: str,
    *,
    permission: str = "allow",
    place: str = "sandbox",
    kind: str = "agent.tool_use",
) -> draft.Draft:
    fields: Body = {"name": "bash", "input": {"command": "true"}}
    if kind == "agent.tool_use":
        fields["evaluated_permission"] = permission
    private = {"tool_use_id": provider_id, "place": place, "broken": False}
    return draft.Draft(kind, fields, private)


def started() -> Log:
    log = Log()
    log.message()
    log.consume(log.inputs)
    return log


def test_a_new_session_rests_at_the_end_of_its_turn() -> None:
    assert Log().step() == machine.Rest("end_turn", [])


def test_a_message_is_taken_then_the_model_is_asked() -> None:
    log = Log()
    item = log.message()
    assert log.step() == machine.Take([item])
    log.consume([item])
    assert log.step() == machine.Ask(log.state.main)


def test_several_queued_messages_are_taken_into_one_turn_in_order() -> None:
    log = Log()
    first, second = log.message("one"), log.message("two")
    assert log.step() == machine.Take([first, second])
    log.consume([first, second])
    texts = [block["text"] for block in log.state.main.messages[0]["content"]]
    assert texts == ["one", "two"]


def test_a_message_sent_during_a_turn_waits_until_the_turn_has_ended() -> None:
    log = started()
    log.message("later")
    assert isinstance(log.step(), machine.Ask)
    log.answer()
    assert isinstance(log.step(), machine.Take)


def test_allowed_calls_run_and_their_results_go_back_in_the_order_of_the_calls() -> None:
    log = started()
    first, second = log.answer(tool_use("toolu_1"), tool_use("toolu_2"), stop="tool_use")
    effect = log.step()
    assert isinstance(effect, machine.Run)
    assert [call.event for call in effect.calls] == [first, second]
    log.result(second)
    log.result(first)
    assert isinstance(log.step(), machine.Ask)
    blocks = log.state.main.messages[-1]["content"]
    assert [block["tool_use_id"] for block in blocks] == ["toolu_1", "toolu_2"]


def test_running_calls_are_waited_for_and_never_started_twice() -> None:
    log = started()
    (event,) = log.answer(tool_use("toolu_1"), stop="tool_use")
    log.state.main.calls[event].running = True
    assert log.step() == machine.Wait()


def test_a_call_that_asks_puts_the_session_to_rest_naming_it() -> None:
    log = started()
    (event,) = log.answer(tool_use("toolu_1", permission="ask"), stop="tool_use")
    assert log.step() == machine.Rest("requires_action", [event])
    assert log.state.waiting() == {event: "user.tool_confirmation"}


def test_an_allowed_sibling_runs_before_the_session_rests_for_the_one_that_asks() -> None:
    log = started()
    asks, runs = log.answer(
        tool_use("toolu_1", permission="ask"), tool_use("toolu_2"), stop="tool_use"
    )
    effect = log.step()
    assert isinstance(effect, machine.Run)
    assert [call.event for call in effect.calls] == [runs]
    log.result(runs)
    assert log.step() == machine.Rest("requires_action", [asks])


def test_a_confirmation_lets_the_call_run() -> None:
    log = started()
    (event,) = log.answer(tool_use("toolu_1", permission="ask"), stop="tool_use")
    item = log.send("user.tool_confirmation", event, tool_use_id=event, result="allow")
    assert log.step() == machine.Take([item])
    log.consume([item])
    effect = log.step()
    assert isinstance(effect, machine.Run)
    assert effect.calls[0].answer == "allow"


def test_a_denial_goes_through_the_gate_with_its_reason() -> None:
    log = started()
    (event,) = log.answer(tool_use("toolu_1", permission="ask"), stop="tool_use")
    log.consume(
        [
            log.send(
                "user.tool_confirmation",
                event,
                tool_use_id=event,
                result="deny",
                deny_message="no",
            )
        ]
    )
    effect = log.step()
    assert isinstance(effect, machine.Run)
    assert (effect.calls[0].answer, effect.calls[0].reason) == ("deny", "no")


def test_a_denied_call_of_a_self_hosted_sandbox_is_settled_by_the_denial_alone() -> None:
    log = started()
    (event,) = log.answer(tool_use("t", permission="ask", place="client"), stop="tool_use")
    log.consume([log.send("user.tool_confirmation", event, tool_use_id=event, result="deny")])
    assert isinstance(log.step(), machine.Ask)
    assert log.state.main.messages[-1]["content"][0]["is_error"] is True


def test_an_allowed_call_of_a_self_hosted_sandbox_then_waits_for_its_result() -> None:
    log = started()
    (event,) = log.answer(tool_use("t", permission="ask", place="client"), stop="tool_use")
    log.consume([log.send("user.tool_confirmation", event, tool_use_id=event, result="allow")])
    assert log.step() == machine.Rest("requires_action", [event])
    assert log.state.waiting() == {event: "user.tool_result"}


def test_a_partly_answered_turn_rests_for_the_remainder() -> None:
    log = started()
    custom = {"kind": "agent.custom_tool_use", "place": "client"}
    first, second = log.answer(tool_use("t1", **custom), tool_use("t2", **custom), stop="tool_use")
    log.consume([log.send("user.custom_tool_result", first, custom_tool_use_id=first)])
    assert log.step() == machine.Rest("requires_action", [second])


def test_an_interrupt_goes_before_messages_that_were_queued_earlier() -> None:
    log = started()
    log.message("queued")
    interrupt = log.send("user.interrupt")
    assert log.step() == machine.Interrupt([interrupt])


def test_after_an_interrupt_the_turn_ends_and_a_queued_message_starts_the_next() -> None:
    log = started()
    log.consume([log.send("user.interrupt")])
    assert log.step() == machine.Rest("end_turn", [])
    log.message("next")
    assert isinstance(log.step(), machine.Take)


def test_results_that_follow_an_interrupt_do_not_start_another_request() -> None:
    log = started()
    (event,) = log.answer(tool_use("toolu_1"), stop="tool_use")
    log.consume([log.send("user.interrupt")])
    log.result(event, is_error=True)
    assert log.step() == machine.Rest("end_turn", [])


def test_an_interrupt_settles_calls_that_only_a_client_could_have_answered() -> None:
    log = started()
    log.answer(tool_use("t", kind="agent.custom_tool_use", place="client"), stop="tool_use")
    log.consume([log.send("user.interrupt")])
    assert log.state.main.calls == {}
    assert log.step() == machine.Rest("end_turn", [])


def test_a_refusal_is_the_reason_the_session_rests() -> None:
    log = started()
    log.answer(stop="refusal")
    assert log.step() == machine.Rest("refusal", [])


def test_a_paused_turn_is_continued() -> None:
    log = started()
    log.answer(stop="pause_turn")
    assert isinstance(log.step(), machine.Ask)


def test_a_turn_ends_after_the_last_allowed_round() -> None:
    log = started()
    for number in range(LIMITS.max_tool_rounds):
        (event,) = log.answer(tool_use(f"toolu_{number}"), stop="tool_use")
        log.result(event)
    effect = log.step()
    assert isinstance(effect, machine.GiveUp)
    assert effect.error == "tool_use_limit_reached_error"


def test_a_long_context_is_compacted_before_the_next_request() -> None:
    log = started()
    (event,) = log.answer(tool_use("toolu_1"), stop="tool_use", tokens=600)
    log.result(event)
    assert log.step() == machine.Compact(log.state.main)


def test_a_context_that_stays_too_long_ends_the_turn() -> None:
    log = started()
    log.state.main.context_tokens = 5000
    log.state.main.compactions = LIMITS.max_compactions
    effect = log.step()
    assert isinstance(effect, machine.GiveUp)
    assert effect.error == "compaction_limit_reached_error"


def test_a_reached_budget_stops_the_next_request_and_nothing_else() -> None:
    log = started()
    assert log.step(over_budget=True) == machine.Rest("budget_reached", [])
    (event,) = log.answer(tool_use("toolu_1"), stop="tool_use")
    assert isinstance(log.step(over_budget=True), machine.Run)
    log.result(event)
    assert log.step(over_budget=True) == machine.Rest("budget_reached", [])


def test_an_error_that_is_not_retried_ends_the_turn() -> None:
    log = started()
    log.write(draft.error("model_overloaded_error", "busy", "exhausted"))
    assert log.step() == machine.Rest("retries_exhausted", [])


def test_an_outcome_is_graded_before_the_session_rests() -> None:
    log = Log()
    item = log.send(
        "user.define_outcome",
        outcome_id="outc_1",
        description="a file",
        rubric={"type": "text", "content": "it exists"},
        max_iterations=2,
    )
    log.consume([item])
    log.answer()
    effect = log.step()
    assert isinstance(effect, machine.Grade)
    start = log.write(draft.evaluation_start("outc_1", 0))
    verdict = {"result": "needs_revision", "explanation": "missing"}
    log.write(draft.evaluation_end("outc_1", 0, start, verdict))
    assert isinstance(log.step(), machine.Ask)


def test_only_calls_that_change_nothing_may_run_again_after_a_crash() -> None:
    log = started()
    reads = tool_use("toolu_1")
    reads.fields["name"] = "read"
    _, writes, asks = log.answer(
        reads, tool_use("toolu_2"), tool_use("toolu_3", permission="ask"), stop="tool_use"
    )
    lost = machine.recover(log.state, frozenset({"read"}))
    assert [call.event for call in lost] == [writes]
    assert asks not in [call.event for call in lost]


PERMISSIONS = ("allow", "ask", "deny")
PLACES = (
    ("agent.tool_use", "sandbox"),
    ("agent.tool_use", "client"),
    ("agent.custom_tool_use", "client"),
)


class Play:
    """Carries out effects with made-up outcomes until the session rests with nothing to do."""

    def __init__(self, log: Log, seed: int) -> None:
        self.log = log
        self.chance = random.Random(seed)
        self.calls = 0

    def run(self) -> None:
        for _ in range(500):
            if self.chance.random() < 0.05:
                self.log.message()
            if self.chance.random() < 0.05:
                self.log.send("user.interrupt")
            if self.take(self.log.step()):
                return
        raise AssertionError("the session never came to rest")

    def take(self, effect: machine.Effect) -> bool:
        log = self.log
        match effect:
            case machine.Take(inputs) | machine.Interrupt(inputs):
                log.consume(inputs)
                if isinstance(effect, machine.Interrupt):
                    self.finish(list(log.state.main.calls))
            case machine.Run(calls):
                self.finish([call.event for call in calls])
            case machine.GiveUp(error=error):
                log.write(draft.error(error, "limit", "exhausted"))
            case machine.Rest(reason="requires_action", event_ids=ids):
                answer_one(log, self.chance.choice(ids))
            case machine.Rest():
                return True
            case _:
                calls = [self.invent() for _ in range(self.chance.choice((0, 0, 1, 2, 3)))]
                log.answer(*calls, stop="tool_use" if calls else "end_turn")
        return False

    def finish(self, events: list[str]) -> None:
        self.chance.shuffle(events)
        for event in events:
            self.log.result(event)

    def invent(self) -> draft.Draft:
        self.calls += 1
        kind, place = self.chance.choice(PLACES)
        permission = self.chance.choice(PERMISSIONS)
        return tool_use(f"toolu_{self.calls}", permission=permission, kind=kind, place=place)


def answer_one(log: Log, event: str) -> None:
    kind = log.state.waiting()[event]
    if kind == "user.tool_confirmation":
        log.send(kind, event, tool_use_id=event, result="allow")
    elif kind == "user.custom_tool_result":
        log.send(kind, event, custom_tool_use_id=event)
    else:
        log.send(kind, event, tool_use_id=event)


def assert_valid_conversation(messages: list[Body]) -> None:
    """What the Messages API asks of a conversation: every call answered, right after it."""
    for before, after in pairwise(messages):
        assert before["role"] != after["role"] or before["role"] == "assistant"
        calls = [b["id"] for b in before["content"] if b["type"] == "tool_use"]
        results = [b["tool_use_id"] for b in after["content"] if b["type"] == "tool_result"]
        assert results == calls


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_every_session_comes_to_rest_with_every_call_answered(seed: int) -> None:
    log = Log()
    log.message()
    Play(log, seed).run()
    assert log.state.main.calls == {}
    assert log.inputs == []
    assert_valid_conversation(log.state.main.messages)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9))
def test_reading_a_log_back_from_any_point_comes_to_the_same_state(seed: int) -> None:
    log = Log()
    log.message()
    Play(log, seed).run()
    cut = random.Random(seed).randint(0, len(log.rows))
    again = fresh(THREAD, 0)
    replay(again, log.rows[:cut])
    restored = load(dump(again))
    assert restored is not None
    replay(restored, log.rows[cut:])
    assert restored == log.state
    assert fold.head(restored) == fold.head(log.state)


def replay(state: State, rows: list[tuple[Body, Body | None, int]]) -> None:
    for body, private, at in rows:
        fold.apply(
            state,
            json.loads(json.dumps(body)),
            json.loads(json.dumps(private)),
            thread=THREAD,
            at=at,
        )
