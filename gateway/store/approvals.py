"""Calls that a person has to agree to: asked, answered, and when the asking ends.

A row belongs to one tool use of one session and is written in the transaction that asks for it,
answers it or makes it pointless; see `Log.append` and `Log.accept`. Who may answer is decided in
the loop, not here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import Select, and_, bindparam, select, text, update

from gateway.errors import NotFound
from gateway.store import columns, pages
from gateway.store.engine import Database, Hot, Tx
from gateway.store.records import Cursor, Input, Page
from gateway.store.schema import approvals as table

State: TypeAlias = Literal["pending", "approved", "denied", "expired", "used", "withdrawn"]
"""``used``: approved, and the call has left. ``withdrawn``: nobody needs an answer any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRow:
    """One call that waits for a person, or has been answered.

    `body` holds thread, tool (its action), tool_digest, arguments (redacted), arguments_digest,
    policy_set, policies (ids of those that ask), actor (for whom it acts), approvers (names of
    groups, any of which will do), second_person, wire and enterprise (who asks).
    """

    id: str
    """Names one asking: what is asked again about the same call has another id."""
    workspace: str
    session: str
    event: str
    """The id of the tool-use event."""
    state: State
    body: dict[str, Any]
    created_at: int
    approver: str | None = None
    """Who answered."""
    expires_at: int | None = None
    """When it is denied; None for what the agent's own toolset asks (spec/core 2.8)."""
    decided_at: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is made of events that a client sent: inputs to queue, and approvals they answer."""

    inputs: list[Input]
    approvals: Sequence[ApprovalRow] = ()


_ROW = [column for column in table.c if column.name != "notify_at"]
_ORDERING: pages.Ordering[ApprovalRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.id, place=lambda row: (row.created_at, row.id)
)
_OF = Hot(
    select(*_ROW).where(
        table.c.session == bindparam("of"), table.c.event == bindparam("about")
    )
)  # fmt: skip
_PUT = Hot(
    text(
        "INSERT INTO approvals (id, workspace, session, event, state, body, approver, created_at,"
        " expires_at, decided_at, notify_at) VALUES (:id, :workspace, :session, :event, :state,"
        " :body, :approver, :created_at, :expires_at, :decided_at, :notify_at)"
        " ON CONFLICT (session, event) DO UPDATE SET id = excluded.id, state = excluded.state,"
        " body = excluded.body, approver = excluded.approver, created_at = excluded.created_at,"
        " expires_at = excluded.expires_at, decided_at = excluded.decided_at,"
        " notify_at = excluded.notify_at"
    )
)
_WITHDRAW = Hot(
    text(
        "UPDATE approvals SET state = 'withdrawn', decided_at = :now, notify_at = NULL"
        " WHERE session = :of AND state = 'pending'"
    )
)


@dataclass(frozen=True, slots=True)
class Approvals:
    """The approvals of all workspaces."""

    _db: Database

    async def of(self, *, session: str, event: str) -> ApprovalRow | None:
        """The approval that a tool use waits for or has had."""
        return await self._db.read(lambda tx: of(tx, session, event))

    async def get(self, *, workspace: str, id: str) -> ApprovalRow:  # noqa: A002 - the wire's word
        """The approval.

        Raises:
            NotFound: No such approval in this workspace.
        """
        row = await self.find(id=id)
        if row is None or row.workspace != workspace:
            raise NotFound(f"approval {id} not found")
        return row

    async def find(self, *, id: str) -> ApprovalRow | None:  # noqa: A002 - the wire's word
        """The approval, whichever workspace it is of."""
        query = select(*_ROW).where(table.c.id == id)
        found = await self._db.read(lambda tx: tx.execute(query).fetchone())
        return None if found is None else _read(found)

    async def expired(self, *, now: int, limit: int = 100) -> list[ApprovalRow]:
        """Those that nobody has answered in time, the longest overdue first."""
        query = (
            select(*_ROW)
            .where(table.c.state == "pending", table.c.expires_at <= now)
            .order_by(table.c.expires_at)
            .limit(limit)
        )
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [_read(row) for row in found]

    async def withdraw(self, *, id: str, now: int) -> None:  # noqa: A002 - the wire's word
        """Nobody needs an answer to it any more, if it has none yet."""
        pending = and_(table.c.id == id, table.c.state == "pending")
        values: dict[str, Any] = {"state": "withdrawn", "decided_at": now, "notify_at": None}
        statement = update(table).where(pending).values(values)
        await self._db.write(lambda tx: tx.execute(statement).rowcount)

    async def take_unannounced(self, *, now: int, again: int, limit: int) -> list[ApprovalRow]:
        """Approvals with time left whose approvers are to be told now, each for one caller alone.

        Until `announced` is called of one it comes back, to whoever asks then: after `again`
        microseconds or as long as it has waited so far, whichever is more.
        """
        if not await self._db.read(lambda tx: tx.execute(_unannounced(now, 1)).fetchall()):
            return []
        return await self._db.write(lambda tx: _take_unannounced(tx, now, again, limit))

    async def announced(self, *, id: str) -> None:  # noqa: A002 - the wire's word
        """Its approvers were told, or cannot be."""
        statement = update(table).where(table.c.id == id).values(notify_at=None)
        await self._db.write(lambda tx: tx.execute(statement).rowcount)

    async def list(
        self,
        *,
        workspace: str,
        limit: int,
        states: Sequence[str] = (),
        cursor: Cursor | None = None,
    ) -> Page[ApprovalRow]:
        """A page of approvals in one of `states`, or in any; newest first."""
        query = select(*_ROW).where(table.c.workspace == workspace)
        if states:
            query = query.where(table.c.state.in_(states))
        return await self._db.read(
            lambda tx: pages.fetch(
                tx, query, _read, _ORDERING, order="desc", limit=limit, cursor=cursor
            )
        )


def of(tx: Tx, session: str, event: str) -> ApprovalRow | None:
    found = tx.run(_OF, {"of": session, "about": event}).fetchone()
    return None if found is None else _read(found)


def put(tx: Tx, rows: Sequence[ApprovalRow]) -> None:
    """Write each row as it is given, in the place of the one of the same tool use."""
    if rows:
        tx.run_many(_PUT, [_params(row) for row in rows])


def withdraw_all(tx: Tx, session: str, now: int) -> None:
    """The session has ended: nothing of it waits any more."""
    tx.run(_WITHDRAW, {"of": session, "now": now})


def _unannounced(now: int, limit: int) -> Select[*tuple[Any, ...]]:
    waits = and_(table.c.state == "pending", table.c.expires_at > now)
    return (
        select(*_ROW)
        .where(waits, table.c.notify_at <= now)
        .order_by(table.c.notify_at)
        .limit(limit)
    )


def _take_unannounced(tx: Tx, now: int, again: int, limit: int) -> list[ApprovalRow]:
    query = _unannounced(now, limit).with_for_update(skip_locked=True)
    rows = [_read(row) for row in tx.execute(query).fetchall()]
    for row in rows:
        later = now + max(again, now - row.created_at)
        tx.execute(update(table).where(table.c.id == row.id).values(notify_at=later))
    return rows


def _params(row: ApprovalRow) -> dict[str, Any]:
    # What expires is worth telling people about; the agent's own asks reach those who follow it.
    tell = row.state == "pending" and row.expires_at is not None
    return {
        "id": row.id,
        "workspace": row.workspace,
        "session": row.session,
        "event": row.event,
        "state": row.state,
        "body": columns.to_json(row.body),
        "approver": row.approver,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "decided_at": row.decided_at,
        "notify_at": row.created_at if tell else None,
    }


def _read(row: Sequence[Any]) -> ApprovalRow:
    return ApprovalRow(
        id=row[0],
        workspace=row[1],
        session=row[2],
        event=row[3],
        state=row[4],
        body=columns.from_json(row[5]),
        approver=row[6],
        created_at=row[7],
        expires_at=row[8],
        decided_at=row[9],
    )
