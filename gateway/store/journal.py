"""The statements that change a session's log, each a synchronous function of a transaction.

Here is the fence: the statement that takes sequence numbers also checks who holds the lease, so a
runner that lost it can write nothing. Not here: reading the log (`history`), and the rows of
sessions beyond their head (`sessions`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from sqlalchemy import bindparam, delete, insert, select, text, update

from gateway.errors import Fenced, NotFound
from gateway.store import approvals as asked
from gateway.store import columns
from gateway.store.approvals import Accepted, ApprovalRow
from gateway.store.engine import Hot, Params, Tx
from gateway.store.records import (
    Appended,
    Change,
    Claim,
    Event,
    Head,
    Input,
    Locked,
    SessionRow,
    ThreadRow,
)
from gateway.store.schema import events, heads, inbox, sessions, snapshots, threads

Decide: TypeAlias = Callable[
    [
        SessionRow,
        list[Input],
        Callable[[str], Event | None],
        Callable[[str], ApprovalRow | None],
    ],
    Accepted,
]
"""What makes inputs of what a client sent; see `Log.accept`."""

LEASE_MICROS = 3_600_000_000
"""A lease nobody renewed for this long is void, even if its owner seems alive."""

_of = bindparam("of")
_session_rows = select(*columns.SESSION).join_from(
    sessions, heads, sessions.c.id == heads.c.session
)
# NO KEY: foreign keys into these rows may be checked meanwhile without a deadlock.
_LOCK = Hot(
    _session_rows.where(sessions.c.id == _of, sessions.c.workspace == bindparam("workspace"))
    .with_for_update(key_share=True)
)  # fmt: skip
_LEASE = Hot(
    select(heads.c.owner, heads.c.lease_until)
    .where(heads.c.session == _of)
    .with_for_update(key_share=True)
)
_TAKE_LEASE = Hot(
    update(heads)
    .where(heads.c.session == _of)
    .values(
        epoch=heads.c.epoch + text("1"),
        owner=bindparam("holder"),
        lease_until=bindparam("until"),
    )
    .returning(heads.c.epoch)
)
_SESSION = Hot(_session_rows.where(sessions.c.id == _of))
_fenced = (
    heads.c.session == _of,
    heads.c.epoch == bindparam("fence"),
    heads.c.owner == bindparam("holder"),
)
_CHECK_FENCE = Hot(select(heads.c.seq).where(*_fenced).with_for_update(key_share=True))
_ADVANCE = Hot(
    update(heads)
    .where(*_fenced)
    .values(
        seq=heads.c.seq + bindparam("count"),
        status=bindparam("new_status"),
        head=bindparam("new_head"),
        owner=bindparam("next_holder"),
        lease_until=bindparam("until"),
        updated_at=bindparam("moment"),
    )
    .returning(heads.c.seq)
)
_ARRIVE = Hot(
    update(heads)
    .where(heads.c.session == _of)
    .values(
        arrivals=heads.c.arrivals + bindparam("count"),
        replay_from=bindparam("replay"),
        updated_at=bindparam("moment"),
    )
    .returning(heads.c.arrivals)
)
_TAKE_REPLAY = Hot(
    text("UPDATE heads SET replay_from = NULL WHERE session = :of AND replay_from IS NOT NULL")
)
_REPLAY = Hot(
    select(heads.c.replay_from).where(heads.c.session == _of).with_for_update(key_share=True)
)
_ADD_EVENT = Hot(insert(events))
_ADD_INPUT = Hot(insert(inbox))
_CONSUME = Hot(delete(inbox).where(inbox.c.session == _of, inbox.c.id == bindparam("input")))
_QUEUED = Hot(
    select(*columns.INPUT).where(inbox.c.session == _of).order_by(inbox.c.position)
)  # fmt: skip
_FIND = Hot(
    select(*columns.EVENT).where(events.c.session == _of, events.c.id == bindparam("event"))
)
_TAIL = Hot(
    select(*columns.EVENT)
    .where(events.c.session == _of, events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
)
_THREADS = Hot(
    select(*columns.THREAD)
    .where(threads.c.session == _of)
    .order_by(threads.c.created_at, threads.c.id)
)
_PUT_THREAD = Hot(
    text(
        "INSERT INTO threads"
        " (id, session, parent, status, body, created_at, updated_at, archived_at) VALUES"
        " (:id, :session, :parent, :status, :body, :created_at, :updated_at, :archived_at)"
        " ON CONFLICT (id) DO UPDATE SET status = excluded.status, body = excluded.body,"
        " updated_at = excluded.updated_at, archived_at = excluded.archived_at"
    )
)
_SNAPSHOT = Hot(select(snapshots.c.seq, snapshots.c.state).where(snapshots.c.session == _of))
_PUT_SNAPSHOT = Hot(
    text(
        "INSERT INTO snapshots (session, seq, state) VALUES (:of, :seq, :state)"
        " ON CONFLICT (session) DO UPDATE SET seq = excluded.seq, state = excluded.state"
    )
)


def accept(
    tx: Tx,
    *,
    session: str,
    workspace: str,
    now: int,
    decide: Decide,
    live: bool,
) -> list[Input]:
    row, waiting = _lock(tx, session, workspace)
    chosen = decide(
        row,
        waiting,
        lambda event: find(tx, session, event),
        lambda event: asked.of(tx, session, event),
    )
    if chosen.inputs:
        replay = None if live else row.seq
        add_inputs(tx, session, chosen.inputs, replay_from=replay, now=now)
    asked.put(tx, chosen.approvals)
    return chosen.inputs


def claim(
    tx: Tx, *, session: str, owner: str, now: int, lives: Callable[[Tx, str], bool]
) -> Claim | None:
    """Take the lease unless `lives` says its owner does; see `Log.claim`."""
    lease = tx.run(_LEASE, {"of": session}).fetchone()
    if lease is None:
        return None
    holder, until = lease
    if holder is not None and holder != owner and until > now and lives(tx, holder):
        return None
    taken = {"of": session, "holder": owner, "until": now + LEASE_MICROS}
    epoch = _one(tx, _TAKE_LEASE, taken)
    of = {"of": session}
    row = tx.run(_SESSION, of).fetchone()
    assert row is not None
    at, state = tx.run(_SNAPSHOT, of).fetchone() or (0, None)
    tail = tx.run(_TAIL, {"of": session, "after": at}).fetchall()
    inputs = queued(tx, session)
    return Claim(
        epoch=epoch,
        session=columns.read_session(row, queued=bool(inputs)),
        threads=threads_of(tx, session),
        snapshot=state,
        snapshot_seq=at,
        tail=[columns.read_event(event) for event in tail],
        inputs=inputs,
    )


def append(
    tx: Tx,
    *,
    session: str,
    epoch: int,
    owner: str,
    events: Sequence[Event],
    consumes: Sequence[str],
    head: Head,
    threads: Sequence[ThreadRow],
    snapshot: bytes | None,
    approvals: Sequence[ApprovalRow],
    release: bool,
    only_if_quiet: bool,
    now: int,
) -> Appended:
    fence = {"of": session, "fence": epoch, "holder": owner}
    if only_if_quiet:
        # The row is locked before the inbox is looked at, so that nothing arrives in between.
        at = _under_fence(tx, _CHECK_FENCE, fence)
        waiting = [entry for entry in queued(tx, session) if entry.id not in consumes]
        if waiting:
            return Appended(first_seq=at + 1, inputs=waiting, idle=False)
    advance = {
        **fence,
        "count": len(events),
        "new_status": head.status,
        "new_head": columns.head_json(head),
        "next_holder": None if release else owner,
        "until": now + LEASE_MICROS,
        "moment": now,
    }
    last = _under_fence(tx, _ADVANCE, advance)
    first = last - len(events) + 1
    add_events(tx, session, first, events)
    if consumes:
        tx.run_many(_CONSUME, [{"of": session, "input": entry} for entry in consumes])
    put_threads(tx, threads)
    asked.put(tx, approvals)
    if snapshot is not None:
        tx.run(_PUT_SNAPSHOT, {"of": session, "seq": last, "state": snapshot})
    return Appended(first_seq=first, inputs=queued(tx, session))


def append_now(
    tx: Tx,
    *,
    session: str,
    workspace: str,
    now: int,
    change: Callable[[Locked], Change | None],
) -> SessionRow:
    found = lock(tx, session, workspace)
    row = found.session
    changed = change(found)
    if changed is None:
        return row
    new = changed.session
    seq = row.seq + len(changed.events)
    tx.execute(
        update(sessions)
        .where(sessions.c.id == session)
        .values(body=columns.to_json(new.body), archived_at=new.archived_at)
    )
    tx.execute(
        update(heads)
        .where(heads.c.session == session)
        .values(
            seq=seq,
            status=new.head.status,
            head=columns.head_json(new.head),
            # A runner on its way to rest must not bring an ended session back to life.
            epoch=heads.c.epoch + int(new.head.status == "terminated"),
            updated_at=now,
        )
    )
    add_events(tx, session, row.seq + 1, changed.events)
    put_threads(tx, changed.threads)
    if new.archived_at is not None or new.head.status == "terminated":
        asked.withdraw_all(tx, session, now)
    return replace(new, seq=seq, updated_at=now)


def lock(tx: Tx, session: str, workspace: str) -> Locked:
    """Read a session so that nobody else changes it before this transaction ends."""
    row, waiting = _lock(tx, session, workspace)
    return Locked(session=row, threads=threads_of(tx, session), inputs=waiting)


def take_replay(tx: Tx, session: str) -> int | None:
    row = tx.run(_REPLAY, {"of": session}).fetchone()
    if row is None or row[0] is None:
        return None
    tx.run(_TAKE_REPLAY, {"of": session})
    return row[0]


def find(tx: Tx, session: str, event: str) -> Event | None:
    row = tx.run(_FIND, {"of": session, "event": event}).fetchone()
    return None if row is None else columns.read_event(row)


def queued(tx: Tx, session: str) -> list[Input]:
    """What was accepted and not consumed yet, in the order it arrived."""
    rows = tx.run(_QUEUED, {"of": session}).fetchall()
    return [columns.read_input(row) for row in rows]


def threads_of(tx: Tx, session: str) -> list[ThreadRow]:
    """The threads of a session, oldest first."""
    rows = tx.run(_THREADS, {"of": session}).fetchall()
    return [columns.read_thread(row) for row in rows]


def add_events(tx: Tx, session: str, first: int, events: Sequence[Event]) -> None:
    """Write `events` under the numbers from `first` on; the caller has taken them."""
    if events:
        rows = [columns.event_params(session, first + i, event) for i, event in enumerate(events)]
        tx.run_many(_ADD_EVENT, rows)


def add_inputs(
    tx: Tx, session: str, inputs: Sequence[Input], *, replay_from: int | None, now: int
) -> None:
    """Queue `inputs` in their order, and note where a stream opened later has to begin."""
    arrive = {"of": session, "count": len(inputs), "replay": replay_from, "moment": now}
    first = _one(tx, _ARRIVE, arrive) - len(inputs) + 1
    rows = [columns.input_params(session, first + i, entry) for i, entry in enumerate(inputs)]
    tx.run_many(_ADD_INPUT, rows)


def put_threads(tx: Tx, threads: Sequence[ThreadRow]) -> None:
    """Insert or replace; whose thread it is and since when never changes."""
    if threads:
        tx.run_many(_PUT_THREAD, [columns.thread_params(thread) for thread in threads])


def _lock(tx: Tx, session: str, workspace: str) -> tuple[SessionRow, list[Input]]:
    row = tx.run(_LOCK, {"of": session, "workspace": workspace}).fetchone()
    if row is None:
        raise NotFound(f"session {session} not found")
    # Looked at after the row is locked, so that it is what it will stay.
    waiting = queued(tx, session)
    return columns.read_session(row, queued=bool(waiting)), waiting


def _under_fence(tx: Tx, statement: Hot, params: Params) -> int:
    row = tx.run(statement, params).fetchone()
    if row is None:
        raise Fenced(f"the lease on session {params['of']} was lost")
    return row[0]


def _one(tx: Tx, statement: Hot, params: Params) -> int:
    row = tx.run(statement, params).fetchone()
    assert row is not None, "the session's row was locked"
    return row[0]
