"""What the API changes of a session by itself: settings and its end, not its work.

Each function sees the session locked, refuses or returns the `Change` that the store writes with
its events in one transaction. They run off the event loop, perhaps twice, and do no I/O.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from gateway.api import budget, snapshot
from gateway.api.definition import patched
from gateway.clock import Clock, rfc3339
from gateway.errors import InvalidRequest
from gateway.model.price import Prices
from gateway.policy.grants import ASK, DENY, read_grants
from gateway.store.records import Change, Event, Locked, SessionRow, ThreadRow
from gateway.wire import events, rules
from gateway.wire.usage import seconds

Json: TypeAlias = dict[str, Any]
Amend: TypeAlias = Callable[[Locked], Change | None]


@dataclass(frozen=True, slots=True)
class Update:
    """``POST /v1/sessions/{id}`` (spec/core 5.6)."""

    patch: Json
    prices: Prices
    clock: Clock

    def __call__(self, locked: Locked) -> Change | None:
        row = locked.session
        if row.head.status == "terminated":
            raise InvalidRequest(f"session {row.id} has ended and cannot be changed")
        body = self._revise(locked)
        keys = ("title", "metadata", "agent", "budget")
        changed = {key: body[key] for key in keys if body[key] != row.body[key]}
        if not changed:
            return None
        agent = changed.get("agent")
        return Change(
            session=replace(row, body=body),
            events=[_event(self.clock, row.primary_thread, "session.updated", changed)],
            threads=[_with_agent(t, agent) for t in _primary(locked)] if agent else [],
        )

    def _revise(self, locked: Locked) -> Json:
        row, patch = locked.session, self.patch
        body = dict(row.body)
        if "title" in patch:
            body["title"] = patch["title"]
        if patch.get("metadata") is not None:
            body["metadata"] = patched(body["metadata"], patch["metadata"])
            rules.check_metadata(body["metadata"])
            if read_grants(body["metadata"]) != read_grants(row.body["metadata"]):
                raise InvalidRequest(
                    f"metadata: {DENY} and {ASK} are what a session was made with, and stay"
                )
        if "agent" in patch:
            check_resting(locked, "its agent cannot be changed")
            body["agent"] = snapshot.replaced(body["agent"], patch["agent"])
            snapshot.check_reach(body["agent"], body["networking"])
        if "budget" in patch:
            given = patch["budget"]
            if given is not None and given != body["budget"]:
                budget.check_change(row, given, self.prices, self.clock.now())
            body["budget"] = given
        return body


@dataclass(frozen=True, slots=True)
class Archive:
    """``POST /v1/sessions/{id}/archive`` (spec/core 5.7); repeated, it changes nothing."""

    clock: Clock

    def __call__(self, locked: Locked) -> Change | None:
        row = locked.session
        if row.archived_at is not None:
            return None
        check_resting(locked, "it cannot be archived; interrupt it first")
        live = [t for t in locked.threads if t.status != "terminated"]
        made = [_thread_ended(self.clock, thread) for thread in live]
        if row.head.status != "terminated":
            made.append(_event(self.clock, row.primary_thread, "session.status_terminated", {}))
        now = self.clock.now()
        return Change(
            session=replace(row, archived_at=now, head=replace(row.head, status="terminated")),
            events=made,
            threads=[_ended(thread, now) for thread in live],
        )


@dataclass(frozen=True, slots=True)
class ArchiveThread:
    """``POST /v1/sessions/{id}/threads/{thread}/archive`` (spec/core 7.2)."""

    thread: str
    clock: Clock

    def __call__(self, locked: Locked) -> Change | None:
        thread = next(t for t in locked.threads if t.id == self.thread)
        if thread.parent is None:
            raise InvalidRequest("the primary thread cannot be archived; archive the session")
        if thread.archived_at is not None:
            return None
        if thread.status not in ("idle", "terminated"):
            raise InvalidRequest(f"thread {thread.id} is {thread.status}; interrupt it first")
        return Change(
            session=locked.session,
            events=[] if thread.status == "terminated" else [_thread_ended(self.clock, thread)],
            threads=[_ended(thread, self.clock.now())],
        )


def check_resting(locked: Locked, otherwise: str) -> None:
    """Check that the session has nothing to do.

    Raises:
        InvalidRequest: It runs, or is about to.
    """
    row = locked.session
    if row.head.status in ("running", "rescheduling") or locked.inputs:
        raise InvalidRequest(f"session {row.id} is running: {otherwise}")


def deleted(clock: Clock, row: SessionRow) -> Event:
    """The last event of a session, which only open streams see."""
    return _event(clock, row.primary_thread, events.LAST, {})


def _event(clock: Clock, thread: str, kind: str, fields: Json) -> Event:
    now = clock.now()
    event = clock.new_id("sevt")
    body = {"id": event, "type": kind, **fields, "processed_at": rfc3339(now)}
    return Event(id=event, type=kind, thread=thread, processed_at=now, wire=events.render(body))


def _thread_ended(clock: Clock, thread: ThreadRow) -> Event:
    fields = {"session_thread_id": thread.id, "agent_name": thread.body["agent"].get("name", "")}
    return _event(clock, thread.id, "session.thread_status_terminated", fields)


def _ended(thread: ThreadRow, now: int) -> ThreadRow:
    stats = {
        "active_seconds": 0.0,
        "startup_seconds": 0.0,
        **(thread.body["stats"] or {}),
        "duration_seconds": seconds(now - thread.created_at),
    }
    return replace(
        thread,
        status="terminated",
        body={**thread.body, "stats": stats},
        archived_at=now,
        updated_at=now,
    )


def _primary(locked: Locked) -> list[ThreadRow]:
    return [thread for thread in locked.threads if thread.id == locked.session.primary_thread]


def _with_agent(thread: ThreadRow, agent: Json) -> ThreadRow:
    return replace(thread, body={**thread.body, "agent": snapshot.without_multiagent(agent)})
