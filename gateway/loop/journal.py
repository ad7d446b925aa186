"""A runner's pen: events are written into the state at once, and into the log in groups.

`write` and `consume` stage; `flush` commits everything staged in one fenced transaction and then
publishes it. A runner flushes before it waits on anything outside, so nothing leaves the gateway
that is not in the log.
"""

import json
from dataclasses import replace
from typing import Any

from gateway.clock import Clock, rfc3339
from gateway.loop import fold, frame
from gateway.loop.draft import Draft
from gateway.loop.state import State, ThreadState, dump
from gateway.store.approvals import ApprovalRow
from gateway.store.bus import Bus
from gateway.store.chain import AuditRecord
from gateway.store.records import Appended, Claim, Event, Input, ThreadRow
from gateway.store.store import Store
from gateway.wire import events as wire
from gateway.wire.usage import active_micros, seconds, usage

SNAPSHOT_EVERY = 200
"""Events after which going idle writes a snapshot, so that waking up never reads many more."""


class Journal:
    """One session under one lease.

    Raises:
        Fenced: From `flush` and `rest`, when another runner has taken over. Nothing was written.
    """

    def __init__(
        self,
        claim: Claim,
        state: State,
        *,
        store: Store,
        bus: Bus[frame.Frame],
        clock: Clock,
        owner: str,
    ) -> None:
        self.state = state
        self.session = claim.session
        self.inputs = list(claim.inputs)
        self._store = store
        self._bus = bus
        self._clock = clock
        self._owner = owner
        self._epoch = claim.epoch
        self._threads = {row.id: row for row in claim.threads}
        self._since_snapshot = len(claim.tail)
        self._staged: list[Event] = []
        self._records: list[AuditRecord] = []
        self._approvals: list[ApprovalRow] = []
        self._withdrawn: list[str] = []
        self._consumed: list[str] = []
        self._taken: set[str] = set()
        """Every input this journal has consumed, also one that the store still has in its queue."""

    @property
    def id(self) -> str:
        return self.session.id

    def now(self) -> int:
        return self._clock.now()

    @property
    def staged(self) -> list[Event]:
        """Events that are written but not committed yet."""
        return self._staged

    def new_id(self, prefix: str) -> str:
        return self._clock.new_id(prefix)

    def write(self, draft: Draft, thread: str | None = None) -> str:
        """Stage an event and return its id."""
        now = self._clock.now()
        event_id = draft.id or self._clock.new_id("sevt")
        body = {"id": event_id, "type": draft.type, **draft.fields, "processed_at": rfc3339(now)}
        event = Event(
            id=event_id,
            type=draft.type,
            thread=thread or self.state.primary,
            processed_at=now,
            wire=wire.render(body),
            private=_pack(draft.private),
        )
        self._stage(event, body, draft.private)
        return event_id

    def record(self, record: AuditRecord) -> None:
        """Stage an audit record; it is written with the events, or not at all."""
        self._records.append(record)

    def approve(self, row: ApprovalRow) -> None:
        """Stage the new state of an approval."""
        self._approvals.append(row)

    def withdraw(self, event: str) -> None:
        """Nobody needs to approve this call any more."""
        self._withdrawn.append(event)

    def consume(self, inputs: list[Input]) -> None:
        """Stage accepted inputs as events of the log: same ids, processed now."""
        self._taken.update(item.id for item in inputs)
        self._keep(self.inputs)
        for item in inputs:
            body: dict[str, Any] = json.loads(item.wire)
            now = self._clock.now()
            if body.get("processed_at") is None:
                body["processed_at"] = rfc3339(now)
            event = Event(
                id=item.id,
                type=item.type,
                thread=self.state.primary,
                processed_at=now,
                wire=wire.render(body),
                private=item.private,
            )
            self._consumed.append(item.id)
            self._stage(event, body, json.loads(item.private) if item.private else None)

    def _stage(self, event: Event, body: dict[str, Any], private: dict[str, Any] | None) -> None:
        fold.apply(self.state, body, private, thread=event.thread, at=event.processed_at)
        self._staged.append(event)

    async def flush(self) -> None:
        """Commit and publish what is staged; keeps the inputs that arrived meanwhile."""
        if self._staged or self._records or self._approvals:
            await self._append(self._staged, release=False)

    async def rest(self, drafts: list[Draft]) -> bool:
        """Commit what is staged and these last events, and let go of the session.

        Returns:
            False, with nothing written, when inputs have arrived: there is more to do.
        """
        # Going idle only sets fields, so a shallow copy is enough to take it back.
        threads = {key: replace(thread) for key, thread in self.state.threads.items()}
        before, staged = replace(self.state, threads=threads), list(self._staged)
        for draft in drafts:
            self.write(draft)
        appended = await self._append(self._staged, release=True)
        if not appended.idle:
            self.state, self._staged = before, staged
        return appended.idle

    async def _append(self, events: list[Event], *, release: bool) -> Appended:
        snapshot = self._snapshot(len(events)) if release else None
        await self._withdraw()
        appended = await self._store.log.append(
            session=self.id,
            epoch=self._epoch,
            owner=self._owner,
            events=events,
            consumes=self._consumed,
            head=fold.head(self.state),
            threads=self._changed_threads(),
            snapshot=snapshot,
            records=self._records,
            approvals=self._approvals,
            release=release,
            only_if_quiet=release,
            # A wake that finds nothing to do leaves no trace, not even a time.
            now=self._clock.now() if events else self.session.updated_at,
        )
        self.inputs = appended.inputs
        if appended.idle:
            self._publish(events, appended.first_seq)
            self._since_snapshot = 0 if snapshot else self._since_snapshot + len(events)
            self._staged, self._consumed = [], []
            self._records, self._approvals = [], []
        return appended

    async def _withdraw(self) -> None:
        for event in self._withdrawn:
            row = await self._store.approvals.of(session=self.id, event=event)
            if row is not None and row.state == "pending":
                self._approvals.append(
                    replace(row, state="withdrawn", decided_at=self._clock.now())
                )
        self._withdrawn = []

    def _snapshot(self, more: int) -> bytes | None:
        due = self._since_snapshot + more >= SNAPSHOT_EVERY
        return dump(self.state) if due else None

    def _publish(self, events: list[Event], first_seq: int) -> None:
        for seq, event in enumerate(events, first_seq):
            self._bus.publish(self.id, frame.of_event(replace(event, seq=seq)))

    def preview(self, made: frame.Frame) -> None:
        """Publish something that is never stored."""
        self._bus.publish(self.id, made, local=True)

    @property
    def watched(self) -> bool:
        """Whether a stream is open, so that previews are worth making."""
        return self._bus.live(self.id)

    async def refresh(self) -> None:
        """Read again what the API may have changed: queued inputs and the session's settings."""
        self._keep(await self._store.log.inputs(session=self.id))
        self.session = await self._store.sessions.get(workspace=self.session.workspace, id=self.id)

    def _keep(self, inputs: list[Input]) -> None:
        self.inputs = [item for item in inputs if item.id not in self._taken]

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt waits to be taken."""
        return any(item.type == "user.interrupt" for item in self.inputs)

    def _changed_threads(self) -> list[ThreadRow]:
        rows = [self._thread_row(thread) for thread in self.state.threads.values()]
        changed = [row for row in rows if row != self._threads.get(row.id)]
        self._threads.update({row.id: row for row in changed})
        return changed

    def _thread_row(self, thread: ThreadState) -> ThreadRow:
        row = self._threads[thread.id]
        if row.status == thread.status:
            return row
        now = self._clock.now()
        active = active_micros(thread.active_micros, thread.running_since, now)
        body = dict(row.body)
        body["stats"] = {
            "active_seconds": seconds(active),
            "duration_seconds": seconds(now - thread.created_at),
            "startup_seconds": 0.0,
        }
        if thread.status == "idle":
            body["usage"] = usage(thread.usage, active, None)
        return replace(row, status=thread.status, body=body, updated_at=now)


def _pack(private: dict[str, Any] | None) -> bytes | None:
    return json.dumps(private, separators=(",", ":")).encode() if private is not None else None
