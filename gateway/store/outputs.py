"""What was last seen in a session's outputs, and the file that was made of each.

A file that is as it was is not taken again, even when a client has deleted what was made of it; one
that changed becomes a new file in the place of the old one (spec/resources F-25).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from gateway.store import files, journal
from gateway.store.engine import Database, Tx
from gateway.store.records import FileRow
from gateway.store.schema import outputs as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A file in the outputs, as it was when it was last taken."""

    path: bytes
    """Below the outputs."""
    mark: str
    """Changes whenever the file may have changed."""
    sha256: str
    file: str
    """The id of the file that was made of it; it may have been deleted since."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of all sessions."""

    _db: Database

    async def seen(self, *, session: str) -> dict[bytes, Seen]:
        """What was taken so far, by path."""
        query = select(table).where(table.c.session == session)
        found = await self._db.read(lambda tx: list(map(_read, tx.execute(query))))
        return {seen.path: seen for seen in found}

    async def remark(self, *, session: str, path: bytes, mark: str) -> None:
        """The same bytes have another mark now."""
        at = update(table).where(table.c.session == session, table.c.path == path)
        await self._db.write(lambda tx: tx.execute(at.values(mark=mark)).rowcount)

    async def take(self, *, row: FileRow, path: bytes, mark: str, now: int, quota: int) -> None:
        """Write the file made of an output, whose bytes `Files.begin` noted; forget the last one.

        Raises:
            NotFound: The session was deleted.
            InvalidRequest: The quota is used up.
        """
        seen = Seen(path=path, mark=mark, sha256=row.sha256, file=row.id)
        await self._db.write(lambda tx: _take(tx, row, seen, now, quota))


def _take(tx: Tx, row: FileRow, seen: Seen, now: int, quota: int) -> None:
    session = row.scope
    assert session is not None, "an output belongs to its session"
    journal.lock(tx, session, row.workspace)
    here = (table.c.session == session, table.c.path == seen.path)
    before = tx.execute(select(table.c.file).where(*here)).scalar()
    if before is not None:
        files.forget(tx, [before], now)
        tx.execute(delete(table).where(*here))
    files.add(tx, row, now, quota)
    made = {"mark": seen.mark, "sha256": seen.sha256, "file": seen.file}
    tx.execute(insert(table).values(session=session, path=seen.path, **made))


def _read(row: Sequence[Any]) -> Seen:
    return Seen(path=row[1], mark=row[2], sha256=row[3], file=row[4])
