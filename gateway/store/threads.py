"""Threads of a session, as rows. They are written with the log."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from gateway.errors import NotFound
from gateway.store import columns, pages
from gateway.store.engine import Database
from gateway.store.records import Cursor, Page, SessionStatus, ThreadRow
from gateway.store.schema import threads as table

_ORDERING: pages.Ordering[ThreadRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.id, place=lambda row: (row.created_at, row.id)
)


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads of all sessions. Whose session it is was checked by the caller."""

    _db: Database

    async def get(self, *, session: str, id: str) -> ThreadRow:  # noqa: A002 - the wire's word
        """The thread.

        Raises:
            NotFound: The session has no such thread.
        """
        query = select(*columns.THREAD).where(table.c.id == id, table.c.session == session)
        found = await self._db.read(lambda tx: tx.execute(query).fetchone())
        if found is None:
            raise NotFound(f"thread {id} not found")
        return columns.read_thread(found)

    async def list(
        self,
        *,
        session: str,
        limit: int,
        statuses: Sequence[SessionStatus] = (),
        cursor: Cursor | None = None,
    ) -> Page[ThreadRow]:
        """A page of threads, the primary one first, archived ones included."""
        query = select(*columns.THREAD).where(table.c.session == session)
        if statuses:
            query = query.where(table.c.status.in_(statuses))
        return await self._db.read(
            lambda tx: pages.fetch(
                tx,
                query,
                columns.read_thread,
                _ORDERING,
                order="asc",
                limit=limit,
                cursor=cursor,
            )
        )
