"""From the log to the state: what each event means for the session it belongs to.

`apply` is the only place that changes a `State`. It is used for events as they are appended and
for the same events read back after a restart, so both always come to the same thing. It is pure
but for the state it is handed: no clock, no I/O. Clients' rows carry all it needs, but for what
only the loop knows, which travels beside them as `private`.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gateway.loop.state import MAX_CALLS, OpenCall, State, ThreadState
from gateway.store.records import Head

Body = dict[str, Any]
_Rule = Callable[[State, ThreadState, Body, Body, int], None]

_MINUTE = 60_000_000

INTERRUPTED = "The call was interrupted by the user before it finished. It may be tried again."


def apply(state: State, body: Body, private: Body | None, *, thread: str, at: int) -> None:
    """Take one event into the state; unknown types mean nothing to the loop and are passed over.

    Args:
        state: Changed in place.
        body: The event as clients see it.
        private: What was stored beside it.
        thread: The thread whose event this is.
        at: When it happened, in microseconds.
    """
    rule = _RULES.get(body["type"])
    if rule is not None:
        rule(state, state.threads[thread], body, private or {}, at)
    state.last_event_at = at


def head(state: State) -> Head:
    """The projections of a state, as the store keeps them beside the session."""
    return Head(
        status=state.status,
        waiting=state.waiting(),
        stop_reason=state.stop_reason,
        usage={**state.usage, "active_micros": state.active_micros},
        running_since=state.running_since,
        outcomes=state.outcomes,
        cost=state.cost,
    )


def _add_user(thread: ThreadState, content: list[Body]) -> None:
    """Append to the conversation as the user; two user turns in a row become one."""
    if thread.messages and thread.messages[-1]["role"] == "user":
        thread.messages[-1]["content"].extend(content)
    else:
        thread.messages.append({"role": "user", "content": list(content)})


def _user_message(state: State, thread: ThreadState, body: Body, private: Body, _at: int) -> None:
    state.conduct.source_ip = private.get("ip")
    _add_user(thread, body["content"])
    _start_turn(thread)


def _start_turn(thread: ThreadState) -> None:
    thread.owes_answer = True
    thread.rounds = thread.attempts = thread.compactions = 0
    thread.stop, thread.stop_details = "end_turn", None


def _system_message(_s: State, thread: ThreadState, body: Body, _p: Body, _at: int) -> None:
    thread.messages.append({"role": "system", "content": body["content"]})


def _define_outcome(state: State, thread: ThreadState, body: Body, _p: Body, _at: int) -> None:
    outcome = body["outcome_id"]
    state.rubrics[outcome] = body
    state.outcomes.append(
        {
            "type": "outcome_evaluation",
            "outcome_id": outcome,
            "description": body["description"],
            "iteration": 0,
            "result": "pending",
            "explanation": None,
            "completed_at": None,
        }
    )
    text = (
        f"Work towards this outcome: {body['description']}\n\n"
        f"It will be graded against this rubric:\n{body['rubric'].get('content', '')}"
    )
    _add_user(thread, [{"type": "text", "text": text}])
    _start_turn(thread)


def _confirmation(_s: State, thread: ThreadState, body: Body, _p: Body, _at: int) -> None:
    call = thread.calls.get(body["tool_use_id"])
    if call is None:
        return
    call.answer = body["result"]
    call.reason = body.get("deny_message")
    if call.place == "client" and call.answer == "deny":
        # Nobody will send a result for it: the denial alone resolves the call (spec/core 2.8).
        why = f": {call.reason}" if call.reason else "."
        text = f"The user denied this call to {call.name}{why}"
        _close(thread, call, [{"type": "text", "text": text}], is_error=True)


def _tool_result(state: State, thread: ThreadState, body: Body, private: Body, _at: int) -> None:
    _spend(state, private)
    add(thread.usage, private.get("usage", {}))
    target = (
        body.get("tool_use_id") or body.get("mcp_tool_use_id") or body.get("custom_tool_use_id")
    )
    call = thread.calls.get(target or "")
    if call is None:
        return
    is_error = bool(body.get("is_error"))
    by_client = body["type"].startswith("user.")
    if not private.get("refused"):
        _account(state, call, spent=not (private.get("failed") or (by_client and is_error)))
    _close(thread, call, body.get("content") or [], is_error=is_error)


def _account(state: State, call: OpenCall, *, spent: bool) -> None:
    """A call has come back. Its labels hold in any case; money is back only if its tool said so."""
    conduct = state.conduct
    conduct.labels = sorted({*conduct.labels, *call.labels})
    conduct.cents += call.cents if spent else 0


def _close(thread: ThreadState, call: OpenCall, content: list[Body], *, is_error: bool) -> None:
    """Settle a call; with the last one, all results go to the model as one turn."""
    block: Body = {"type": "tool_result", "tool_use_id": call.provider_id, "content": content}
    if is_error:
        block["is_error"] = True
    thread.results[call.provider_id] = block
    del thread.calls[call.event]
    if not thread.calls:
        _add_user(thread, [thread.results[i] for i in thread.order if i in thread.results])
        thread.results, thread.order = {}, []
        thread.owes_answer = thread.stop != "interrupted"


def _tool_use(state: State, thread: ThreadState, body: Body, private: Body, at: int) -> None:
    _spend(state, private)  # what its judge cost
    add(thread.usage, private.get("usage", {}))
    call = OpenCall(
        event=body["id"],
        type=body["type"],
        provider_id=private["tool_use_id"],
        name=private.get("name", body["name"]),
        input=body["input"],
        place=private["place"],
        permission=body.get("evaluated_permission", "allow"),
        broken=private.get("broken", False),
        evaluation=body.get("evaluation"),
        labels=private.get("labels", []),
        cents=private.get("cents", 0),
    )
    recent = [made for made in state.conduct.calls if made > at - _MINUTE]
    state.conduct.calls = [*recent[1 - MAX_CALLS :], at]
    thread.calls[call.event] = call
    thread.order.append(call.provider_id)


def _interrupt(_s: State, thread: ThreadState, _b: Body, _p: Body, _at: int) -> None:
    thread.owes_answer = False
    thread.stop, thread.stop_details = "interrupted", None
    for call in list(thread.calls.values()):
        if call.place == "client":
            text = {"type": "text", "text": INTERRUPTED}
            _close(thread, call, [text], is_error=True)


def _request_start(_s: State, thread: ThreadState, body: Body, _p: Body, _at: int) -> None:
    thread.span = body["id"]


def _request_end(state: State, thread: ThreadState, body: Body, private: Body, _at: int) -> None:
    thread.span = None
    _spend(state, private)
    add(thread.usage, private.get("usage", {}))
    if body.get("is_error"):
        thread.attempts += 1
        return
    thread.attempts = 0
    if private.get("purpose", "turn") != "turn":
        return
    _take_answer(thread, private)
    usage = body["model_usage"]
    thread.context_tokens = sum(usage[key] for key in usage if key.endswith("_tokens"))


def _take_answer(thread: ThreadState, private: Body) -> None:
    thread.compactions = 0
    thread.rounds += 1
    if private["content"]:
        author = {key: private.get(key) for key in ("endpoint", "model")}
        thread.messages.append({"role": "assistant", "content": private["content"], **author})
    stop = private["stop_reason"]
    thread.owes_answer = stop == "pause_turn"
    if stop == "refusal":
        thread.stop, thread.stop_details = "refusal", private.get("stop_details")


def _spend(state: State, private: Body) -> None:
    state.cost = str(Decimal(state.cost) + Decimal(private.get("cost", "0")))
    add(state.usage, private.get("usage", {}))


def add(total: Body, more: Body) -> None:
    """Add counters to counters, nested ones too."""
    for key, value in more.items():
        if isinstance(value, dict):
            add(total.setdefault(key, {}), value)
        elif isinstance(value, int):
            total[key] = total.get(key, 0) + value


def _compacted(_s: State, thread: ThreadState, _b: Body, private: Body, _at: int) -> None:
    thread.messages = private["messages"]
    thread.compactions += 1
    thread.context_tokens = 0


def _error(_s: State, thread: ThreadState, body: Body, _p: Body, _at: int) -> None:
    if body["error"]["retry_status"]["type"] == "exhausted":
        thread.owes_answer = False
        thread.stop, thread.stop_details = "retries_exhausted", None


def _session_running(state: State, _t: ThreadState, _b: Body, _p: Body, at: int) -> None:
    state.status = "running"
    state.running_since = at
    state.stop_reason = None
    state.shown_waiting = []
    outcome = state.active_outcome()
    if outcome is not None and outcome["result"] == "pending":
        outcome["result"] = "running"


def _session_paused(state: State, _t: ThreadState, body: Body, private: Body, at: int) -> None:
    if state.running_since is not None:
        # After a crash the clock stops at the last thing that happened, not at the restart.
        state.active_micros += private.get("stopped_at", at) - state.running_since
    state.running_since = None
    state.status = _PAUSED[body["type"].removeprefix("session.status_")]
    reason = body.get("stop_reason")
    if reason is not None:
        state.stop_reason = reason["type"]
        state.shown_waiting = reason.get("event_ids", [])


_PAUSED: dict[str, Any] = {
    "idle": "idle",
    "rescheduled": "rescheduling",
    "terminated": "terminated",
}


def _thread_running(_s: State, thread: ThreadState, _b: Body, _p: Body, at: int) -> None:
    thread.status = "running"
    thread.running_since = at


def _thread_paused(_s: State, thread: ThreadState, body: Body, private: Body, at: int) -> None:
    if thread.running_since is not None:
        thread.active_micros += private.get("stopped_at", at) - thread.running_since
    thread.running_since = None
    thread.status = _PAUSED[body["type"].removeprefix("session.thread_status_")]
    if thread.stop == "interrupted":
        thread.stop = "end_turn"


def _evaluation_start(state: State, _t: ThreadState, body: Body, _p: Body, _at: int) -> None:
    state.evaluation = body["id"]
    entry = _outcome(state, body)
    entry.update(result="evaluating", iteration=body["iteration"])


def _evaluation_end(state: State, thread: ThreadState, body: Body, private: Body, at: int) -> None:
    state.evaluation = None
    _spend(state, private)
    entry = _outcome(state, body)
    result = body["result"]
    if result == "needs_revision":
        entry.update(result="running", explanation=body["explanation"])
    else:
        entry.update(result=result, explanation=body["explanation"], completed_at=at)
    if result in ("needs_revision", "max_iterations_reached"):
        text = f"The grader answered {result}: {body['explanation']}"
        _add_user(thread, [{"type": "text", "text": text}])
        thread.owes_answer = True


def _outcome(state: State, body: Body) -> Body:
    return next(e for e in state.outcomes if e["outcome_id"] == body["outcome_id"])


_RULES: dict[str, _Rule] = {
    "user.message": _user_message,
    "system.message": _system_message,
    "user.define_outcome": _define_outcome,
    "user.tool_confirmation": _confirmation,
    "user.custom_tool_result": _tool_result,
    "user.tool_result": _tool_result,
    "user.interrupt": _interrupt,
    "agent.tool_use": _tool_use,
    "agent.mcp_tool_use": _tool_use,
    "agent.custom_tool_use": _tool_use,
    "agent.tool_result": _tool_result,
    "agent.mcp_tool_result": _tool_result,
    "agent.thread_context_compacted": _compacted,
    "span.model_request_start": _request_start,
    "span.model_request_end": _request_end,
    "span.outcome_evaluation_start": _evaluation_start,
    "span.outcome_evaluation_end": _evaluation_end,
    "session.error": _error,
    "session.status_running": _session_running,
    "session.status_idle": _session_paused,
    "session.status_rescheduled": _session_paused,
    "session.status_terminated": _session_paused,
    "session.thread_status_running": _thread_running,
    "session.thread_status_idle": _thread_paused,
    "session.thread_status_rescheduled": _thread_paused,
    "session.thread_status_terminated": _thread_paused,
}
