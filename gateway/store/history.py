"""Reading a session's log: by number for those who follow it, by page for those who list it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, select, text

from gateway.store import columns
from gateway.store.engine import Hot, Tx
from gateway.store.pages import within
from gateway.store.records import Event, Input, LogCursor, LogPage, Order, Range
from gateway.store.schema import events, inbox

_after = (events.c.session == bindparam("of"), events.c.seq > bindparam("after"))
_READ_PRIMARY = Hot(
    select(*columns.EVENT)
    .where(*_after, events.c.on_primary == bindparam("shown"))
    .order_by(events.c.seq)
    .suffix_with(text("LIMIT :most"))
)
_READ_THREAD = Hot(
    select(*columns.EVENT)
    .where(*_after, events.c.thread == bindparam("of_thread"))
    .order_by(events.c.seq)
    .suffix_with(text("LIMIT :most"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is asked of a session's events. `created` bounds `processed_at`."""

    session: str
    thread: str | None
    order: Order
    types: Sequence[str] | None
    created: Range
    limit: int
    cursor: LogCursor | None

    @property
    def queue_counts(self) -> bool:
        """Queued events have no time and belong to the session's own log (spec/core 6.9)."""
        return self.thread is None and self.created == Range()


def read(tx: Tx, *, session: str, after: int, limit: int, thread: str | None) -> list[Event]:
    params: dict[str, object] = {"of": session, "after": after, "most": limit}
    if thread is None:
        rows = tx.run(_READ_PRIMARY, {**params, "shown": 1})
    else:
        rows = tx.run(_READ_THREAD, {**params, "of_thread": thread})
    return [columns.read_event(row) for row in rows.fetchall()]


def page(tx: Tx, asked: Listing) -> LogPage:
    return _page_up(tx, asked) if asked.order == "asc" else _page_down(tx, asked)


def _page_up(tx: Tx, asked: Listing) -> LogPage:
    """The log, then the queue.

    What moves from the queue into the log between two pages gets a number above `seq`: it is seen
    once more in the log, never missed.
    """
    start = asked.cursor or LogCursor(order="asc")
    seq, position = start.seq or 0, start.position or 0
    logged = _logged(tx, asked, events.c.seq > seq, asked.limit)
    shown: list[Event | Input] = [*logged[: asked.limit]]
    seq = logged[: asked.limit][-1].seq if logged else seq
    here = LogCursor(order="asc", seq=seq, position=position)
    if len(logged) > asked.limit:
        return LogPage(rows=shown, next=here)
    room = asked.limit - len(shown)
    waiting = _waiting(tx, asked, inbox.c.position > position, room)
    if len(waiting) <= room:
        return LogPage(rows=[*shown, *(entry for _, entry in waiting)])
    waiting = waiting[:room]
    if waiting:
        here = LogCursor(order="asc", seq=seq, position=waiting[-1][0])
    return LogPage(rows=[*shown, *(entry for _, entry in waiting)], next=here)


def _page_down(tx: Tx, asked: Listing) -> LogPage:
    """The queue from its end, then the log from its end."""
    start = asked.cursor or LogCursor(order="desc")
    shown: list[Event | Input] = []
    if start.seq is None:
        below = None if start.position is None else inbox.c.position < start.position
        waiting = _waiting(tx, asked, below, asked.limit)
        shown = [entry for _, entry in waiting[: asked.limit]]
        if len(waiting) > asked.limit:
            position = waiting[asked.limit - 1][0]
            return LogPage(rows=shown, next=LogCursor(order="desc", position=position))
    room = asked.limit - len(shown)
    logged = _logged(tx, asked, None if start.seq is None else events.c.seq < start.seq, room)
    rows = [*shown, *logged[:room]]
    if len(logged) <= room:
        return LogPage(rows=rows)
    # The first row left out is the first of the next page.
    return LogPage(rows=rows, next=LogCursor(order="desc", seq=logged[room].seq + 1))


def _logged(tx: Tx, asked: Listing, beyond: ColumnElement[bool] | None, limit: int) -> list[Event]:
    """Up to one event more than `limit`, so that the caller sees whether there is more."""
    query = select(*columns.EVENT).where(events.c.session == asked.session)
    if beyond is not None:
        query = query.where(beyond)
    if asked.thread is None:
        query = query.where(events.c.on_primary == 1)
    else:
        query = query.where(events.c.thread == asked.thread)
    if asked.types:
        query = query.where(events.c.type.in_(asked.types))
    query = query.where(*within(events.c.processed_at, asked.created))
    by = events.c.seq if asked.order == "asc" else events.c.seq.desc()
    rows = tx.execute(query.order_by(by).limit(limit + 1))
    return [columns.read_event(row) for row in rows]


def _waiting(
    tx: Tx, asked: Listing, beyond: ColumnElement[bool] | None, limit: int
) -> list[tuple[int, Input]]:
    if not asked.queue_counts:
        return []
    query = select(inbox.c.position, *columns.INPUT).where(inbox.c.session == asked.session)
    if beyond is not None:
        query = query.where(beyond)
    if asked.types:
        query = query.where(inbox.c.type.in_(asked.types))
    by = inbox.c.position if asked.order == "asc" else inbox.c.position.desc()
    rows = tx.execute(query.order_by(by).limit(limit + 1))
    return [(row[0], columns.read_input(row[1:])) for row in rows]
