"""Files in sessions: each session has copies of its own, listed among its resources.

A copy is a row with a new id and the session's scope; the bytes are shared (spec/resources F-21).
What a resource looks like is decided by whoever attaches; it carries the copy's id as ``file_id``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from gateway.errors import NotFound
from gateway.store import columns, files, journal
from gateway.store.engine import Database, Tx
from gateway.store.records import Change, FileRow, Locked, SessionRow
from gateway.store.schema import files as table
from gateway.store.schema import sessions

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A file to copy for a session."""

    of: str
    """The id of the original, or of another copy."""
    id: str
    """The id of the copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A file resource of a session; `file` is None when the copy was deleted."""

    mount_path: str
    file_id: str
    file: FileRow | None


@dataclass(frozen=True, slots=True)
class Attachments:
    """The file resources of all sessions."""

    _db: Database

    async def add(
        self,
        *,
        session: str,
        workspace: str,
        copy: Copy,
        now: int,
        place: Callable[[SessionRow], Json],
    ) -> None:
        """Copy a file and add the resource that `place` makes; it sees the session locked.

        Raises:
            NotFound: No such session, or no such file that can be read, in this workspace.
            ApiError: Whatever `place` refuses with.
        """

        def write(tx: Tx) -> None:
            def change(found: Locked) -> Change:
                entry = place(found.session)
                return _with_resources(found, [*found.session.body["resources"], entry])

            journal.append_now(tx, session=session, workspace=workspace, now=now, change=change)
            copy_files(tx, workspace, session, [copy], now)

        await self._db.write(write)

    async def remove(
        self,
        *,
        session: str,
        workspace: str,
        resource: str,
        now: int,
        check: Callable[[Json], None],
    ) -> Json:
        """Take a resource out of its session, and its copy with it; return what it was.

        Raises:
            NotFound: No such session in this workspace, or no such resource in it.
            ApiError: Whatever `check` refuses with.
        """

        def write(tx: Tx) -> Json:
            taken: list[Json] = []

            def change(found: Locked) -> Change:
                resources = found.session.body["resources"]
                taken[:] = [entry for entry in resources if entry.get("id") == resource]
                if not taken:
                    raise NotFound(f"resource {resource} not found")
                check(taken[0])
                return _with_resources(found, [e for e in resources if e is not taken[0]])

            journal.append_now(tx, session=session, workspace=workspace, now=now, change=change)
            if taken[0]["type"] == "file":
                files.forget(tx, [taken[0]["file_id"]], now)
            return taken[0]

        return await self._db.write(write)

    async def list(self, *, session: str) -> list[Attached]:
        """The session's file resources; none when there is no such session."""
        return await self._db.read(lambda tx: _list(tx, session))


def copy_files(tx: Tx, workspace: str, session: str, copies: Sequence[Copy], now: int) -> None:
    """Make the copies, as part of the caller's transaction.

    Raises:
        NotFound: An original is not in this workspace, or its bytes are gone or expired.
    """
    wanted = {copy.of for copy in copies}
    query = select(table).where(table.c.workspace == workspace, table.c.id.in_(wanted))
    found = tx.execute(query.order_by(table.c.id).with_for_update()).fetchall()
    originals = {row[0]: files.read(row) for row in found}
    rows: list[FileRow] = []
    for offset, copy in enumerate(copies):
        original = originals.get(copy.of)
        if original is None or not original.readable(now):
            raise NotFound(f"file {copy.of} not found, or expired")
        rows.append(
            # Lists are ordered by creation time, so no two have the same.
            replace(original, id=copy.id, scope=session, counted=False, created_at=now + offset)
        )
    files.write(tx, rows)


def _with_resources(found: Locked, resources: Sequence[Json]) -> Change:
    row = found.session
    return Change(session=replace(row, body={**row.body, "resources": list(resources)}))


def _list(tx: Tx, session: str) -> list[Attached]:
    body = tx.execute(select(sessions.c.body).where(sessions.c.id == session)).scalar()
    if body is None:
        return []
    resources: list[Json] = columns.from_json(body)["resources"]
    entries = [entry for entry in resources if entry["type"] == "file"]
    ids = [entry["file_id"] for entry in entries]
    rows = tx.execute(select(table).where(table.c.id.in_(ids))).fetchall()
    known = {row[0]: files.read(row) for row in rows}
    return [
        Attached(
            mount_path=entry["mount_path"],
            file_id=entry["file_id"],
            file=known.get(entry["file_id"]),
        )
        for entry in entries
    ]
