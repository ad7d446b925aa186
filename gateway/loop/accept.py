"""Which client events a session takes right now, and as what they are queued.

`Acceptance.decide` runs inside the store's transaction, on the session row as it is then, so that
two clients can never both answer the same call. The whole request is refused if any event of it
is (spec/core 6.2). The shape of each event has been checked before.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.clock import Clock, rfc3339
from gateway.errors import Forbidden, InvalidRequest, RateLimited
from gateway.loop.approval import Sender, explain, settle
from gateway.store.approvals import Accepted, ApprovalRow
from gateway.store.records import Event, Input, SessionRow
from gateway.wire import events as wire

MAX_QUEUED = 1000
"""Inputs that may wait for one session."""

_ANSWERS = {
    "user.tool_confirmation": "tool_use_id",
    "user.custom_tool_result": "custom_tool_use_id",
    "user.tool_result": "tool_use_id",
}
_SETTLES = (*_ANSWERS, "user.interrupt")
_ACTIVE = ("pending", "running", "evaluating")

Find = Callable[[str], Event | None]
FindApproval = Callable[[str], ApprovalRow | None]


def initial(events: list[dict[str, Any]], clock: Clock, sender: Sender) -> list[Input]:
    """The inputs a session is created with."""
    return [_input(event, clock, sender) for event in events]


@dataclass(slots=True)
class Acceptance:
    """One request to send events.

    Args:
        events: Validated events, in order.
        system_turns: Whether a model, by its id, takes system turns.
        sender: Who sends them.
        approval: The id of the one approval that they may answer; None for any.
    """

    events: list[dict[str, Any]]
    clock: Clock
    system_turns: Callable[[str], bool]
    sender: Sender
    approval: str | None = None
    thread: str = ""
    """The session's primary thread, to which all of them go."""
    echoes: list[Input] = field(default_factory=list[Input])
    """What the client is answered: every event, also one that is not kept."""

    def decide(
        self, row: SessionRow, queued: list[Input], find: Find, find_approval: FindApproval
    ) -> Accepted:
        """Check all events against the session; return what to queue and what that settles.

        Raises:
            InvalidRequest: An event is not acceptable now; names it by type and index.
            Forbidden: The sender may not give this answer; the same.
        """
        if row.archived_at is not None or row.head.status == "terminated":
            raise InvalidRequest("This session has ended; it takes no more events.")
        if len(queued) + len(self.events) > MAX_QUEUED:
            raise RateLimited(f"This session has {len(queued)} events waiting; send more later.")
        system_turns = self.system_turns(row.body["agent"]["model"]["id"])
        desk = _Desk(row, list(queued), find, find_approval, system_turns)
        self.thread = row.primary_thread
        self.echoes = []
        kept: list[Input] = []
        for index, event in enumerate(self.events):
            try:
                keep = desk.check(event, kept)
                if event["type"] == "user.tool_confirmation":
                    self._settle(desk, event)
            except (InvalidRequest, Forbidden) as error:
                if self.approval is not None:
                    raise
                where = f"{event['type']} at events[{index}]: {error.message}"
                raise type(error)(where, code=error.code) from None
            item = _input(event, self.clock, self.sender)
            self.echoes.append(item)
            if keep:
                desk.queued.append(item)
                kept.append(item)
        return Accepted(kept, list(desk.settled.values()))

    def _settle(self, desk: "_Desk", confirmation: dict[str, Any]) -> None:
        """Give the answer to the approval that the call waits for, if it waits for one."""
        target = confirmation["tool_use_id"]
        approval = desk.find_approval(target)
        if approval is None:
            return
        if self.approval not in (None, approval.id):
            raise InvalidRequest(f"{target} has been asked about again, as {approval.id}")
        now = self.clock.now()
        desk.settled[target] = settle(approval, confirmation["result"], self.sender, now)


@dataclass(slots=True)
class _Desk:
    """The session as it will be once everything queued so far has been taken."""

    row: SessionRow
    queued: list[Input]
    find: Find
    find_approval: FindApproval
    system_turns: bool
    settled: dict[str, ApprovalRow] = field(default_factory=dict[str, ApprovalRow])
    """Approvals that the events so far have answered, by the call."""

    def check(self, event: dict[str, Any], before: list[Input]) -> bool:
        """Refuse the event or say whether it is kept."""
        kind = event["type"]
        if self._at_budget():
            return self._check_at_budget(kind, event)
        if kind in _ANSWERS:
            self._check_answer(kind, event[_ANSWERS[kind]])
        elif kind == "user.interrupt":
            self._check_interrupt(event)
        elif kind == "system.message":
            self._check_system_message(before)
        else:
            self._check_not_waiting()
            if kind == "user.define_outcome":
                self._check_outcome()
        return True

    def _at_budget(self) -> bool:
        return self.row.head.status == "idle" and self.row.head.stop_reason == "budget_reached"

    def _check_at_budget(self, kind: str, event: dict[str, Any]) -> bool:
        if kind == "user.interrupt":
            return False
        if kind not in _ANSWERS:
            raise InvalidRequest(
                "the session has reached its budget; only these events are accepted: "
                + ", ".join(_SETTLES)
            )
        self._check_answer(kind, event[_ANSWERS[kind]])
        return True

    def _open(self) -> dict[str, str]:
        """Calls that still wait for the client, by event id, with the type that answers them."""
        if any(item.type == "user.interrupt" for item in self.queued):
            return {}
        waiting = dict(self.row.head.waiting)
        for item in self.queued:
            if item.target is None:
                continue
            if item.type == "user.tool_confirmation" and self._client_runs(item):
                waiting[item.target] = "user.tool_result"
            else:
                waiting.pop(item.target, None)
        return waiting

    def _client_runs(self, confirmation: Input) -> bool:
        """An allowed call that the client's own worker will now run (spec/core 4.9)."""
        allowed = b'"result":"allow"' in confirmation.wire
        return allowed and self.row.body["environment_type"] == "self_hosted"

    def _check_answer(self, kind: str, target: str) -> None:
        hosted = self.row.body["environment_type"] == "self_hosted"
        if kind == "user.tool_result" and not hosted:
            raise InvalidRequest("tool results are sent only to self_hosted environments")
        if self._open().get(target) == kind:
            return
        known = self.find(target)
        if known is None or not known.type.endswith("tool_use"):
            raise InvalidRequest(f"{_ANSWERS[kind]} names no tool use of this session: {target}")
        if kind == "user.tool_confirmation" and b'"evaluated_permission":"ask"' not in known.wire:
            raise InvalidRequest(f"{target} does not ask for a confirmation")
        approval = self.settled.get(target) or self.find_approval(target)
        if approval is not None and approval.state != "pending":
            raise InvalidRequest(f"{target} {explain(approval)}")
        raise InvalidRequest(f"{target} does not wait for this; it may be answered already")

    def _check_interrupt(self, event: dict[str, Any]) -> None:
        thread = event.get("session_thread_id")
        if thread is not None and thread != self.row.primary_thread:
            raise InvalidRequest(
                f"session_thread_id names no live thread of this session: {thread}"
            )

    def _check_not_waiting(self) -> None:
        waiting = self._open() if self.row.head.status == "idle" else {}
        if waiting:
            raise InvalidRequest(
                f"the session is waiting on responses to events {', '.join(waiting)}; "
                f"only these events are accepted: {', '.join(_SETTLES)}"
            )

    def _check_system_message(self, before: list[Input]) -> None:
        if not self.system_turns:
            raise InvalidRequest(
                "the session's model does not support system messages inside the conversation",
                code="model_does_not_support_mid_conversation_system",
            )
        if not (before and before[-1].type in _ANSWERS):
            self._check_not_waiting()

    def _check_outcome(self) -> None:
        active = any(entry["result"] in _ACTIVE for entry in self.row.head.outcomes)
        if active or any(item.type == "user.define_outcome" for item in self.queued):
            raise InvalidRequest("an outcome is active already; define the next one after it")


def _input(event: dict[str, Any], clock: Clock, sender: Sender) -> Input:
    now = clock.now()
    kind = event["type"]
    body: dict[str, Any] = {"id": clock.new_id("sevt"), **event}
    if kind == "user.define_outcome":
        body["outcome_id"] = clock.new_id("outc")
        body["max_iterations"] = event.get("max_iterations") or 3
    elif kind == "user.tool_confirmation":
        body.setdefault("deny_message", None)
    elif kind in _ANSWERS:
        body["content"] = event.get("content") or []
        body["is_error"] = bool(event.get("is_error"))
    if kind != "user.interrupt":
        body.pop("session_thread_id", None)
    body["processed_at"] = rfc3339(now) if kind in wire.ON_RECEIPT else None
    return Input(
        id=body["id"],
        type=kind,
        accepted_at=now,
        wire=wire.render(body),
        target=event[_ANSWERS[kind]] if kind in _ANSWERS else None,
        private=json.dumps({"by": sender.actor, "ip": sender.ip}).encode(),
    )
