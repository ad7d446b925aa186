"""Which sandbox holds whose files, and which user id it runs under."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, select, text

from gateway.errors import Overloaded
from gateway.store.engine import Database, Hot, Tx
from gateway.store.records import SandboxRow
from gateway.store.schema import sandboxes as table
from gateway.store.schema import uids

_PUT = Hot(
    text(
        "INSERT INTO sandboxes"
        " (owner, driver, host, ref, uid, generation, created_at, idle_at, lost, archived)"
        " VALUES (:owner, :driver, :host, :ref, :uid, :generation, :created_at, :idle_at, :lost,"
        " :archived) ON CONFLICT (owner) DO UPDATE SET driver = excluded.driver,"
        " host = excluded.host, ref = excluded.ref, uid = excluded.uid,"
        " generation = excluded.generation, created_at = excluded.created_at,"
        " idle_at = excluded.idle_at, lost = excluded.lost, archived = excluded.archived"
    )
)
_TAKE_UID = Hot(
    text("INSERT INTO uids (uid, owner) VALUES (:uid, :owner) ON CONFLICT DO NOTHING RETURNING uid")
)


@dataclass(frozen=True, slots=True)
class Sandboxes:
    """The sandboxes of all owners on all hosts."""

    _db: Database

    async def get(self, *, owner: str) -> SandboxRow | None:
        query = select(table).where(table.c.owner == owner)
        found = await self._db.read(lambda tx: tx.execute(query).fetchone())
        return None if found is None else read(found)

    async def put(self, *, row: SandboxRow) -> None:
        """Insert or replace the owner's row."""
        params = asdict(row)
        await self._db.write(lambda tx: tx.run(_PUT, params).rowcount)

    async def delete(self, *, owner: str) -> SandboxRow | None:
        """Forget the owner's sandbox, free its uid, and say what it was."""
        return await self._db.write(lambda tx: remove(tx, owner))

    async def all(self, *, host: str) -> list[SandboxRow]:
        query = select(table).where(table.c.host == host).order_by(table.c.owner)
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [read(row) for row in found]

    async def take_uid(self, *, owner: str, first: int, last: int) -> int:
        """Draw a user id from `first` to `last` that no other owner has, and keep it for `owner`.

        Asked again, it answers the same until `delete` frees it.

        Raises:
            Overloaded: Every id of the range is taken.
        """
        return await self._db.write(lambda tx: _take_uid(tx, owner, first, last))


def remove(tx: Tx, owner: str) -> SandboxRow | None:
    """Delete the owner's row and free its uid, as part of the caller's transaction."""
    found = tx.execute(select(table).where(table.c.owner == owner)).fetchone()
    tx.execute(delete(table).where(table.c.owner == owner))
    tx.execute(delete(uids).where(uids.c.owner == owner))
    return None if found is None else read(found)


def _take_uid(tx: Tx, owner: str, first: int, last: int) -> int:
    in_range = select(uids.c.uid).where(uids.c.uid.between(first, last))
    kept = tx.execute(in_range.where(uids.c.owner == owner)).scalar()
    if kept is not None:
        return kept
    tx.execute(delete(uids).where(uids.c.owner == owner))
    taken = set(tx.execute(in_range).scalars())
    for uid in range(first, last + 1):
        # Another gateway may draw the same at the same time; then this insert does nothing.
        if uid not in taken and tx.run(_TAKE_UID, {"uid": uid, "owner": owner}).fetchone():
            return uid
    raise Overloaded(f"every sandbox user id from {first} to {last} is taken")


def read(row: Sequence[Any]) -> SandboxRow:
    """A row of the columns that a query of the whole table gives."""
    return SandboxRow(
        owner=row[0],
        driver=row[1],
        host=row[2],
        ref=row[3],
        uid=row[4],
        generation=row[5],
        created_at=row[6],
        idle_at=row[7],
        lost=row[8],
        archived=row[9],
    )
