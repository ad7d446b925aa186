"""Builds of environments' packages, host by host, and what they had to say.

A build is known by a digest of what it makes, so environments that want the same share one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, select, text

from gateway.store import columns
from gateway.store.engine import Database, Hot, Tx
from gateway.store.records import BuildLine, BuildRow
from gateway.store.schema import build_lines, environments, heads, sessions
from gateway.store.schema import builds as table

MAX_LINES = 2000
"""Of one build; the first ones are kept, and the end is in the reason."""

_PUT = Hot(
    text(
        "INSERT INTO builds"
        " (host, digest, status, reason, lines, queued_at, started_at, ended_at) VALUES"
        " (:host, :digest, :status, :reason, :lines, :queued_at, :started_at, :ended_at)"
        " ON CONFLICT (host, digest) DO UPDATE SET status = excluded.status,"
        " reason = excluded.reason, lines = excluded.lines, queued_at = excluded.queued_at,"
        " started_at = excluded.started_at, ended_at = excluded.ended_at"
    )
)
_SAY = Hot(
    text(
        "INSERT INTO build_lines (host, digest, seq, at, text)"
        " VALUES (:host, :digest, :seq, :at, :text)"
    )
)


@dataclass(frozen=True, slots=True)
class Builds:
    """The builds of all hosts."""

    _db: Database

    async def get(self, *, host: str, digest: str) -> BuildRow | None:
        query = select(table).where(table.c.host == host, table.c.digest == digest)
        found = await self._db.read(lambda tx: tx.execute(query).fetchone())
        return None if found is None else _read(found)

    async def begin(self, *, row: BuildRow) -> None:
        """Insert or replace a build, without any line of an earlier attempt."""
        await self._db.write(lambda tx: _begin(tx, row))

    async def put(self, *, row: BuildRow, lines: Sequence[BuildLine] = ()) -> None:
        """Insert or replace a build, and log `lines`; those beyond `MAX_LINES` are not kept."""
        await self._db.write(lambda tx: _put(tx, row, lines))

    async def lines(self, *, host: str, digest: str, after: int, limit: int) -> list[BuildLine]:
        """The lines with a number above `after`, in order."""
        query = (
            select(build_lines.c.seq, build_lines.c.at, build_lines.c.text)
            .where(build_lines.c.host == host, build_lines.c.digest == digest)
            .where(build_lines.c.seq > after)
            .order_by(build_lines.c.seq)
            .limit(limit)
        )
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [BuildLine(*row) for row in found]

    async def all(self, *, host: str) -> list[BuildRow]:
        query = select(table).where(table.c.host == host).order_by(table.c.digest)
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [_read(row) for row in found]

    async def forget(self, *, host: str, digest: str) -> None:
        """Remove a build and its lines."""
        await self._db.write(lambda tx: _forget(tx, host, digest))

    async def wanted(self) -> list[dict[str, Any]]:
        """The packages of every environment that is live, or has a session that is."""
        in_use = (
            select(sessions.c.environment)
            .join(heads, heads.c.session == sessions.c.id)
            .where(heads.c.status != "terminated")
        )
        query = select(environments.c.body).where(
            environments.c.archived_at.is_(None) | environments.c.id.in_(in_use)
        )
        bodies = await self._db.read(lambda tx: tx.execute(query).scalars().all())
        configs = [columns.from_json(body).get("config", {}) for body in bodies]
        return [config["packages"] for config in configs if config.get("packages")]


def _begin(tx: Tx, row: BuildRow) -> None:
    _forget(tx, row.host, row.digest)
    _put(tx, row, ())


def _put(tx: Tx, row: BuildRow, lines: Sequence[BuildLine]) -> None:
    tx.run(_PUT, asdict(row))
    kept = [line for line in lines if line.seq <= MAX_LINES]
    if kept:
        owner = {"host": row.host, "digest": row.digest}
        tx.run_many(_SAY, [{**owner, **asdict(line)} for line in kept])


def _forget(tx: Tx, host: str, digest: str) -> None:
    for each in (build_lines, table):
        tx.execute(delete(each).where(each.c.host == host, each.c.digest == digest))


def _read(row: Sequence[Any]) -> BuildRow:
    return BuildRow(
        host=row[0],
        digest=row[1],
        status=row[2],
        reason=row[3],
        lines=row[4],
        queued_at=row[5],
        started_at=row[6],
        ended_at=row[7],
    )
