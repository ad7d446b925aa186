"""Files as rows: found, listed, forgotten. Their bytes are in `gateway.store.blobs`.

A row and its bytes live in two places, so one of them is always ahead. The order is kept here: the
key of new bytes is noted as loose before the first of them is written, the file's row takes it over
in one transaction, and the transaction that forgets the last file of a blob notes it as doomed.
Whatever is killed in between leaves a note, never a lost file and never bytes nobody knows of.
`gateway.store.shelf` does both sides.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update

from gateway.errors import InvalidRequest, NotFound, Overloaded
from gateway.store import pages
from gateway.store.engine import Database, Tx
from gateway.store.records import Cursor, FileRow, Page
from gateway.store.schema import files as table
from gateway.store.schema import loose_blobs, outputs

_ORDERING: pages.Ordering[FileRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.id, place=lambda row: (row.created_at, row.id)
)
_BATCH = 500
"""Rows that one transaction of the sweep touches."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of all workspaces."""

    _db: Database

    async def begin(self, *, blob: str, now: int) -> None:
        """Note the key of bytes that are about to be written."""
        note = insert(loose_blobs).values(blob=blob, since=now, doomed=0)
        await self._db.write(lambda tx: tx.execute(note).rowcount)

    async def add(self, *, row: FileRow, now: int, quota: int) -> None:
        """Write a file whose bytes are there, noted by `begin`.

        Raises:
            InvalidRequest: The files that count would be larger than `quota` together; its code
                is ``storage_quota_exceeded`` (spec/resources F-15).
            Overloaded: The upload took so long that its bytes were swept away.
        """
        await self._db.write(lambda tx: add(tx, row, now, quota))

    async def drop(self, *, blob: str) -> None:
        """Doom bytes that were begun and that no file holds; others are left alone."""
        doom = update(loose_blobs).where(loose_blobs.c.blob == blob).values(doomed=1)
        await self._db.write(lambda tx: tx.execute(doom).rowcount)

    async def get(self, *, workspace: str, id: str) -> FileRow:  # noqa: A002 - the wire's word
        """The file.

        Raises:
            NotFound: No such file in this workspace.
        """
        found = await self.some(workspace=workspace, ids=[id])
        if not found:
            raise NotFound(f"file {id} not found")
        return found[0]

    async def some(self, *, workspace: str, ids: Collection[str]) -> list[FileRow]:
        """Those of the workspace's files that have one of `ids`, newest first."""
        query = select(table).where(table.c.workspace == workspace, table.c.id.in_(ids))
        query = query.order_by(table.c.created_at.desc(), table.c.id.desc())
        return await self._db.read(lambda tx: [read(row) for row in tx.execute(query)])

    async def named(self, *, ids: Collection[str]) -> list[FileRow]:
        """The files with these ids, whosever they are: for ids that were checked before."""
        query = select(table).where(table.c.id.in_(ids))
        return await self._db.read(lambda tx: [read(row) for row in tx.execute(query)])

    async def list(
        self, *, workspace: str, limit: int, cursor: Cursor | None = None, scope: str | None = None
    ) -> Page[FileRow]:
        """A page of files, newest first (spec/resources F-17); with `scope`, of one session."""
        query = select(table).where(table.c.workspace == workspace)
        if scope is not None:
            query = query.where(table.c.scope == scope)
        return await self._db.read(
            lambda tx: pages.fetch(
                tx, query, read, _ORDERING, order="desc", limit=limit, cursor=cursor
            )
        )

    async def used(self, *, now: int) -> int:
        """Bytes of all files that count towards the quota."""
        return await self._db.read(lambda tx: _used(tx, now))

    async def delete(self, *, workspace: str, id: str, now: int) -> None:  # noqa: A002 - the wire's word
        """Forget the file; its bytes are doomed if no other file shares them.

        Raises:
            NotFound: No such file in this workspace.
        """
        await self._db.write(lambda tx: _delete(tx, workspace, id, now))

    async def expire(self, *, now: int, keep: int) -> bool:
        """Let go of the bytes of expired files, and forget what expired before `keep`.

        Returns:
            Whether there may be more to do.
        """
        return await self._db.write(lambda tx: _expire(tx, now, keep))

    async def doomed(self, *, before: int) -> Sequence[str]:
        """Keys of bytes to delete: nothing holds them, or their upload began before `before`."""
        return await self._db.write(lambda tx: _doomed(tx, before))

    async def gone(self, *, blobs: Collection[str]) -> None:
        """The bytes of these doomed keys do not exist any more."""
        clear = delete(loose_blobs).where(loose_blobs.c.blob.in_(blobs), loose_blobs.c.doomed == 1)
        await self._db.write(lambda tx: tx.execute(clear).rowcount)


def add(tx: Tx, row: FileRow, now: int, quota: int) -> None:
    """See `Files.add`; part of the caller's transaction."""
    held = delete(loose_blobs).where(loose_blobs.c.blob == row.blob, loose_blobs.c.doomed == 0)
    if tx.execute(held).rowcount == 0:
        raise Overloaded("the upload took too long; send the file again")
    if row.counted and _used(tx, now) + row.size > quota:
        raise over_quota(quota)
    write(tx, [row])


def write(tx: Tx, rows: Sequence[FileRow]) -> None:
    """Insert rows; the caller knows that their bytes are held."""
    if rows:
        tx.connection.execute(insert(table), [_params(row) for row in rows])


def forget(tx: Tx, ids: Collection[str], now: int) -> int:
    """Delete files, and doom the bytes that only they had; return how many there were."""
    blobs = _lock_blobs(tx, ids)
    deleted = tx.execute(delete(table).where(table.c.id.in_(ids))).rowcount
    _release(tx, blobs, now)
    return deleted


def forget_scope(tx: Tx, session: str, now: int) -> None:
    """Forget every copy and output of a session that is deleted (spec/resources F-26)."""
    ids = tx.execute(select(table.c.id).where(table.c.scope == session)).scalars().all()
    forget(tx, ids, now)
    tx.execute(delete(outputs).where(outputs.c.session == session))


def read(row: Sequence[Any]) -> FileRow:
    return FileRow(
        id=row[0],
        workspace=row[1],
        filename=row[2],
        mime_type=row[3],
        size=row[4],
        sha256=row[5],
        blob=row[6],
        downloadable=bool(row[7]),
        counted=bool(row[8]),
        scope=row[9],
        created_at=row[10],
        expires_at=row[11],
    )


def over_quota(quota: int) -> InvalidRequest:
    """The answer to a file that there is no room for."""
    return InvalidRequest(
        f"the storage quota of {quota} bytes is used up; delete files and try again",
        code="storage_quota_exceeded",
    )


def _params(row: FileRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "workspace": row.workspace,
        "filename": row.filename,
        "mime_type": row.mime_type,
        "size": row.size,
        "sha256": row.sha256,
        "blob": row.blob,
        "downloadable": int(row.downloadable),
        "counted": int(row.counted),
        "scope": row.scope,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }


def _used(tx: Tx, now: int) -> int:
    live = or_(table.c.expires_at.is_(None), table.c.expires_at > now)
    query = select(func.coalesce(func.sum(table.c.size), 0)).where(table.c.counted == 1, live)
    return int(tx.execute(query).scalar_one())


def _delete(tx: Tx, workspace: str, file: str, now: int) -> None:
    known = select(table.c.id).where(table.c.id == file, table.c.workspace == workspace)
    # Not locked by itself: all that share its bytes are locked together, always in one order.
    if tx.execute(known).scalar() is None or not forget(tx, [file], now):
        raise NotFound(f"file {file} not found")


def _lock_blobs(tx: Tx, ids: Collection[str]) -> set[str]:
    """Hold all files that share bytes with `ids`, so that the last of them is seen to be the last.

    Returns:
        The keys of those bytes.
    """
    wanted = select(table.c.blob).where(table.c.id.in_(ids), table.c.blob.is_not(None))
    sharing = select(table.c.blob).where(table.c.blob.in_(wanted))
    return set(tx.execute(sharing.order_by(table.c.id).with_for_update()).scalars())


def _release(tx: Tx, blobs: Collection[str], now: int) -> None:
    if not blobs:
        return
    held = set(tx.execute(select(table.c.blob).where(table.c.blob.in_(blobs))).scalars())
    doomed = [{"blob": blob, "since": now, "doomed": 1} for blob in blobs if blob not in held]
    if doomed:
        tx.connection.execute(insert(loose_blobs), doomed)


def _expire(tx: Tx, now: int, keep: int) -> bool:
    over = select(table.c.id).where(table.c.expires_at <= now, table.c.blob.is_not(None))
    ids = tx.execute(over.limit(_BATCH)).scalars().all()
    blobs = _lock_blobs(tx, ids)
    tx.execute(update(table).where(table.c.id.in_(ids)).values(blob=None))
    _release(tx, blobs, now)
    tx.execute(delete(table).where(table.c.expires_at <= keep, table.c.blob.is_(None)))
    return len(ids) == _BATCH


def _doomed(tx: Tx, before: int) -> Sequence[str]:
    # Marked in this transaction, so that a late upload finds its note gone and gives up.
    stale = update(loose_blobs).where(loose_blobs.c.doomed == 0, loose_blobs.c.since < before)
    tx.execute(stale.values(doomed=1))
    query = select(loose_blobs.c.blob).where(loose_blobs.c.doomed == 1).limit(_BATCH)
    return tx.execute(query).scalars().all()
