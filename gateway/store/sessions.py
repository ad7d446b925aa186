"""Sessions as rows: made with their first events, found, listed, deleted. Not their log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, exists, insert, select

from gateway.errors import NotFound
from gateway.store import columns, files, journal, pages, repositories, sandboxes
from gateway.store.attachments import Copy, copy_files
from gateway.store.engine import Database, Hot, Tx
from gateway.store.records import (
    Cursor,
    Event,
    Input,
    Locked,
    Order,
    Page,
    Range,
    SandboxRow,
    SessionRow,
    SessionStatus,
    ThreadRow,
)
from gateway.store.repositories import RepositoryRow
from gateway.store.schema import (
    events,
    heads,
    inbox,
    session_memory_stores,
    snapshots,
)
from gateway.store.schema import sessions as table

_ORDERING: pages.Ordering[SessionRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.id, place=lambda row: (row.created_at, row.id)
)
_waiting = exists().where(inbox.c.session == table.c.id)
_rows = select(*columns.SESSION, _waiting).join_from(table, heads, table.c.id == heads.c.session)
_shown_status = case((and_(heads.c.status == "idle", _waiting), "running"), else_=heads.c.status)
"""An idle session that was given something is as good as running (spec/core 5.5)."""
_GET = Hot(_rows.where(table.c.id == bindparam("of"), table.c.workspace == bindparam("workspace")))
_FIND = Hot(_rows.where(table.c.id == bindparam("of")))


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of all workspaces."""

    _db: Database

    async def create(
        self,
        *,
        row: SessionRow,
        thread: ThreadRow,
        events: Sequence[Event] = (),
        inputs: Sequence[Input] = (),
        copies: Sequence[Copy] = (),
        checkouts: Sequence[RepositoryRow] = (),
    ) -> SessionRow:
        """Write a session with its primary thread, its first log rows and its first inputs.

        `row.seq` is not read; the row that comes back has it. With inputs, the first stream
        replays the log from its beginning (spec/core 6.10). `copies` are the files among its
        resources, `checkouts` the repositories.

        Raises:
            NotFound: A file to copy is not there any more.
        """

        def write(tx: Tx) -> SessionRow:
            copy_files(tx, row.workspace, row.id, copies, row.created_at)
            created = _create(tx, row, thread, events, inputs)
            repositories.put(tx, row.id, checkouts)
            return created

        return await self._db.write(write)

    async def get(self, *, workspace: str, id: str) -> SessionRow:  # noqa: A002 - the wire's word
        """The session.

        Raises:
            NotFound: No such session in this workspace.
        """
        params = {"of": id, "workspace": workspace}
        found = await self._db.read(lambda tx: tx.run(_GET, params).fetchone())
        if found is None:
            raise NotFound(f"session {id} not found")
        return _read(found)

    async def find(self, *, id: str) -> SessionRow | None:  # noqa: A002 - the wire's word
        """The session, for the gateway itself: whichever workspace it is of."""
        found = await self._db.read(lambda tx: tx.run(_FIND, {"of": id}).fetchone())
        return None if found is None else _read(found)

    async def list(
        self,
        *,
        workspace: str,
        limit: int,
        order: Order = "desc",
        cursor: Cursor | None = None,
        agent: str | None = None,
        agent_version: int | None = None,
        deployment: str | None = None,
        memory_store: str | None = None,
        statuses: Sequence[SessionStatus] = (),
        created: Range = Range(),  # noqa: B008 - it is frozen
        include_archived: bool = False,
    ) -> Page[SessionRow]:
        """A page of sessions with every filter that was given (spec/core 5.9).

        Raises:
            InvalidRequest: The cursor was made for another order, or lies outside `created`.
        """
        query = _rows.where(table.c.workspace == workspace)
        if not include_archived:
            query = query.where(table.c.archived_at.is_(None))
        if agent is not None:
            query = query.where(table.c.agent == agent)
        if agent_version is not None:
            query = query.where(table.c.agent_version == agent_version)
        if deployment is not None:
            query = query.where(table.c.deployment == deployment)
        if statuses:
            query = query.where(_shown_status.in_(statuses))
        if memory_store is not None:
            using = select(session_memory_stores.c.session).where(
                session_memory_stores.c.memory_store == memory_store
            )
            query = query.where(table.c.id.in_(using))
        return await self._db.read(
            lambda tx: pages.fetch(
                tx,
                query,
                _read,
                _ORDERING,
                order=order,
                limit=limit,
                cursor=cursor,
                created=created,
            )
        )

    async def delete(
        self,
        *,
        workspace: str,
        id: str,  # noqa: A002 - the wire's word
        now: int,
        check: Callable[[Locked], None],
    ) -> SandboxRow | None:
        """Delete a session and everything it wrote; give back which sandbox held its files.

        `check` sees the session locked and raises to refuse.

        Raises:
            NotFound: No such session in this workspace.
        """
        return await self._db.write(lambda tx: _delete(tx, workspace, id, now, check))


def _read(row: Sequence[Any]) -> SessionRow:
    return columns.read_session(row, queued=bool(row[-1]))


def _create(
    tx: Tx,
    row: SessionRow,
    thread: ThreadRow,
    events: Sequence[Event],
    inputs: Sequence[Input],
) -> SessionRow:
    tx.execute(
        insert(table).values(
            id=row.id,
            workspace=row.workspace,
            environment=row.environment,
            agent=row.agent,
            agent_version=row.agent_version,
            deployment=row.deployment,
            primary_thread=row.primary_thread,
            body=columns.to_json(row.body),
            created_at=row.created_at,
            archived_at=row.archived_at,
            actor=row.actor,
        )
    )
    tx.execute(
        insert(heads).values(
            session=row.id,
            seq=len(events),
            arrivals=0,
            replay_from=None,
            epoch=0,
            owner=None,
            lease_until=0,
            status=row.head.status,
            head=columns.head_json(row.head),
            updated_at=row.updated_at,
        )
    )
    journal.put_threads(tx, [thread])
    journal.add_events(tx, row.id, 1, events)
    if inputs:
        journal.add_inputs(tx, row.id, inputs, replay_from=0, now=row.updated_at)
    for store in _memory_stores(row):
        tx.execute(insert(session_memory_stores).values(memory_store=store, session=row.id))
    return replace(row, seq=len(events), queued=bool(inputs))


def _memory_stores(row: SessionRow) -> set[str]:
    """Memory stores are named at creation only (spec/core 5.8), so they are indexed once."""
    resources = row.body.get("resources") or []
    return {
        resource["memory_store_id"]
        for resource in resources
        if resource.get("type") == "memory_store"
    }


def _delete(
    tx: Tx, workspace: str, session: str, now: int, check: Callable[[Locked], None]
) -> SandboxRow | None:
    check(journal.lock(tx, session, workspace))
    sandbox = sandboxes.remove(tx, session)
    files.forget_scope(tx, session, now)
    for owned in (events, inbox, snapshots):
        tx.execute(delete(owned).where(owned.c.session == session))
    tx.execute(delete(table).where(table.c.id == session))
    return sandbox
