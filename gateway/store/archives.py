"""Which sandboxes rest, since when, and what is recorded of their archives.

A resting sandbox passes through three states: its layer is kept (`idle_at` says since when); its
layer is archived as well (`archived` says which archive is the same as it); the layer is gone
(`idle_at` is empty again). Everything that is due is read from here, so that it is done whichever
process runs then. A row of an archive is written before its bytes and goes after them; until it is
finished it has no digest.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import and_, delete, func, insert, or_, select, update

from gateway.store.engine import Database, Tx
from gateway.store.records import ArchiveRow, SandboxRow
from gateway.store.sandboxes import read
from gateway.store.schema import archives as table
from gateway.store.schema import sandboxes

GENERATIONS = 2
"""How many archives of one sandbox are kept."""


@dataclass(frozen=True, slots=True)
class Archives:
    """The archives of all sandboxes."""

    _db: Database

    async def rest(self, *, owner: str, now: int, lost: int | None) -> None:
        """The sandbox was stopped; `lost` processes ended with it, None if nobody counted."""
        await self._set(owner, idle_at=now, lost=lost)

    async def wake(self, *, owner: str, host: str, ref: str) -> None:
        """The sandbox runs again: its layer is more than any archive of it."""
        await self._set(owner, idle_at=None, lost=None, archived=None, host=host, ref=ref)

    async def settle(self, *, host: str, now: int) -> None:
        """No sandbox of `host` runs: those that did rest from now on."""
        ran = and_(sandboxes.c.idle_at.is_(None), sandboxes.c.archived.is_(None))
        statement = update(sandboxes).where(sandboxes.c.host == host, ran).values(idle_at=now)
        await self._db.write(lambda tx: tx.execute(statement).rowcount)

    async def due(self, *, host: str, idle_before: int, limit: int = 100) -> list[SandboxRow]:
        """Sandboxes whose layer has been idle since before `idle_before`, the oldest first."""
        query = (
            select(sandboxes)
            .where(sandboxes.c.host == host, sandboxes.c.idle_at < idle_before)
            .order_by(sandboxes.c.idle_at)
            .limit(limit)
        )
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [read(row) for row in found]

    async def expired(
        self, *, host: str, created_before: int, limit: int = 100
    ) -> list[SandboxRow]:
        """Resting sandboxes that were made before `created_before` (spec/core 3.4)."""
        rests = or_(sandboxes.c.idle_at.is_not(None), sandboxes.c.archived.is_not(None))
        query = (
            select(sandboxes)
            .where(sandboxes.c.host == host, sandboxes.c.created_at < created_before, rests)
            .order_by(sandboxes.c.created_at)
            .limit(limit)
        )
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [read(row) for row in found]

    async def begin(self, *, owner: str, host: str, now: int) -> ArchiveRow:
        """Note that an archive is being written."""

        def write(tx: Tx) -> ArchiveRow:
            newest = select(func.max(table.c.generation)).where(table.c.owner == owner)
            generation = (tx.execute(newest).scalar() or 0) + 1
            row = ArchiveRow(
                owner=owner,
                generation=generation,
                host=host,
                created_at=now,
                size=0,
                entries=0,
                digest=None,
            )
            tx.execute(insert(table).values(asdict(row)))
            return row

        return await self._db.write(write)

    async def finish(self, *, row: ArchiveRow) -> bool:
        """The archive is whole and durable, and the same as the kept layer.

        False if nobody knows of it any more: then it is as if it had never been begun.
        """
        one = and_(table.c.owner == row.owner, table.c.generation == row.generation)

        def write(tx: Tx) -> bool:
            if not tx.execute(update(table).where(one).values(asdict(row))).rowcount:
                return False
            layer = update(sandboxes).where(sandboxes.c.owner == row.owner)
            tx.execute(layer.values(archived=row.generation))
            return True

        return await self._db.write(write)

    async def forgotten(self, *, owner: str) -> None:
        """The layer is gone; only its archives are left."""
        await self._set(owner, idle_at=None)

    async def of(self, *, owner: str) -> list[ArchiveRow]:
        """The finished archives of a sandbox, the newest first."""
        query = (
            select(table)
            .where(table.c.owner == owner, table.c.digest.is_not(None))
            .order_by(table.c.generation.desc())
        )
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [_read(row) for row in found]

    async def surplus(self, *, host: str, limit: int = 100) -> list[ArchiveRow]:
        """Archives that `host` wrote and nobody needs: of what is gone, old, or never finished."""
        other = table.alias()
        newer = (
            select(func.count())
            .where(
                other.c.owner == table.c.owner,
                other.c.generation > table.c.generation,
                other.c.digest.is_not(None),
            )
            .scalar_subquery()
        )
        owned = select(sandboxes.c.owner).where(sandboxes.c.owner == table.c.owner).exists()
        useless = or_(table.c.digest.is_(None), ~owned, newer >= GENERATIONS)
        query = select(table).where(table.c.host == host, useless).limit(limit)
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [_read(row) for row in found]

    async def delete(self, *, row: ArchiveRow) -> None:
        """The bytes of an archive are gone."""
        one = and_(table.c.owner == row.owner, table.c.generation == row.generation)
        await self._db.write(lambda tx: tx.execute(delete(table).where(one)).rowcount)

    async def _set(self, owner: str, **values: object) -> None:
        statement = update(sandboxes).where(sandboxes.c.owner == owner).values(**values)
        await self._db.write(lambda tx: tx.execute(statement).rowcount)


def _read(row: Sequence[Any]) -> ArchiveRow:
    return ArchiveRow(
        owner=row[0],
        generation=row[1],
        host=row[2],
        created_at=row[3],
        size=row[4],
        entries=row[5],
        digest=row[6],
    )
