"""Environments: not versioned, named uniquely among the live ones of a workspace."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.errors import Conflict, NotFound
from gateway.store import columns, pages
from gateway.store.engine import Database, Tx
from gateway.store.records import Cursor, EnvironmentRow, Page
from gateway.store.schema import environments as table
from gateway.store.schema import heads, sessions

_ORDERING: pages.Ordering[EnvironmentRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.id, place=lambda row: (row.created_at, row.id)
)


@dataclass(frozen=True, slots=True)
class Environments:
    """The environments of all workspaces."""

    _db: Database

    async def create(self, *, row: EnvironmentRow) -> None:
        """Write an environment.

        Raises:
            Conflict: A live environment of the workspace has that name (spec/core 3.3).
        """
        statement = insert(table).values(
            id=row.id,
            workspace=row.workspace,
            name=_to_bytes(row.name),
            body=columns.to_json(row.body),
            created_at=row.created_at,
            updated_at=row.updated_at,
            archived_at=row.archived_at,
        )
        try:
            await self._db.write(lambda tx: tx.execute(statement).rowcount)
        except IntegrityError as error:
            raise _name_taken(row.name) from error

    async def get(self, *, workspace: str, id: str) -> EnvironmentRow:  # noqa: A002 - the wire's word
        """The environment.

        Raises:
            NotFound: No such environment in this workspace.
        """
        return await self._db.read(lambda tx: _get(tx, workspace, id))

    async def update(
        self,
        *,
        workspace: str,
        id: str,  # noqa: A002 - the wire's word
        now: int,
        change: Callable[[EnvironmentRow], dict[str, Any] | None],
    ) -> EnvironmentRow:
        """Change the environment and return it.

        `change` sees the row locked and returns the new body, whose ``name`` is the new name, or
        None if nothing would change. It raises to refuse.

        Raises:
            NotFound: No such environment in this workspace.
            Conflict: Another live environment has the new name.
        """
        try:
            return await self._db.write(lambda tx: _update(tx, workspace, id, now, change))
        except IntegrityError as error:
            raise _name_taken(None) from error

    async def archive(self, *, workspace: str, id: str, now: int) -> EnvironmentRow:  # noqa: A002 - the wire's word
        """Archive the environment, or find it archived already; return it."""
        return await self._db.write(lambda tx: _archive(tx, workspace, id, now))

    async def delete(self, *, workspace: str, id: str) -> None:  # noqa: A002 - the wire's word
        """Delete the environment.

        Raises:
            NotFound: No such environment in this workspace.
            Conflict: A session that is not terminated uses it (spec/core 3.3).
        """
        await self._db.write(lambda tx: _delete(tx, workspace, id))

    async def list(
        self,
        *,
        workspace: str,
        limit: int,
        include_archived: bool = False,
        cursor: Cursor | None = None,
    ) -> Page[EnvironmentRow]:
        """A page of environments, newest first."""
        query = select(table).where(table.c.workspace == workspace)
        if not include_archived:
            query = query.where(table.c.archived_at.is_(None))
        return await self._db.read(
            lambda tx: pages.fetch(
                tx, query, _read, _ORDERING, order="desc", limit=limit, cursor=cursor
            )
        )


def _get(tx: Tx, workspace: str, environment: str, *, lock: bool = False) -> EnvironmentRow:
    query = select(table).where(table.c.id == environment, table.c.workspace == workspace)
    found = tx.execute(query.with_for_update() if lock else query).fetchone()
    if found is None:
        raise NotFound(f"environment {environment} not found")
    return _read(found)


def _update(
    tx: Tx,
    workspace: str,
    environment: str,
    now: int,
    change: Callable[[EnvironmentRow], dict[str, Any] | None],
) -> EnvironmentRow:
    row = _get(tx, workspace, environment, lock=True)
    body = change(row)
    if body is None:
        return row
    name = body.get("name", row.name)
    tx.execute(
        update(table)
        .where(table.c.id == environment)
        .values(name=_to_bytes(name), body=columns.to_json(body), updated_at=now)
    )
    return _get(tx, workspace, environment)


def _archive(tx: Tx, workspace: str, environment: str, now: int) -> EnvironmentRow:
    row = _get(tx, workspace, environment, lock=True)
    if row.archived_at is not None:
        return row
    archived = update(table).where(table.c.id == environment)
    tx.execute(archived.values(archived_at=now, updated_at=now))
    return _get(tx, workspace, environment)


def _delete(tx: Tx, workspace: str, environment: str) -> None:
    _get(tx, workspace, environment, lock=True)
    used = exists().where(
        sessions.c.environment == environment,
        sessions.c.id == heads.c.session,
        heads.c.status != "terminated",
    )
    if tx.execute(select(used)).scalar():
        raise Conflict(f"environment {environment} is used by a session that is not terminated")
    tx.execute(delete(table).where(table.c.id == environment))


def _name_taken(name: str | None) -> Conflict:
    which = "that name" if name is None else f"the name {name!r}"
    return Conflict(f"name: an environment with {which} exists already")


def _to_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _read(row: Sequence[Any]) -> EnvironmentRow:
    return EnvironmentRow(
        id=row[0],
        workspace=row[1],
        name=row[2].decode("utf-8", "surrogatepass"),
        body=columns.from_json(row[3]),
        created_at=row[4],
        updated_at=row[5],
        archived_at=row[6],
    )
