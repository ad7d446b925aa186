"""Workspaces: what keeps one team's agents, sessions and files from another's."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store import columns, keys, pages
from gateway.store.deeds import Deed, Recorder, Told
from gateway.store.engine import Tx
from gateway.store.keys import DEFAULT
from gateway.store.records import Cursor, Page
from gateway.store.schema import workspaces as table


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRow:
    """A workspace; `body` holds display_color, tags and data_residency, if they were given."""

    id: str
    name: str
    body: dict[str, Any]
    created_at: int
    archived_at: int | None

    @property
    def default(self) -> bool:
        """It was made at the first start: it keeps its name and is never archived."""
        return self.name == DEFAULT

    def tell(self) -> Told:
        """What the audit trail says of it."""
        return Told("member", self.id, {"name": self.name, "archived_at": self.archived_at})


_columns = (table.c.id, table.c.name, table.c.body, table.c.created_at, table.c.archived_at)
_ORDERING: pages.Ordering[WorkspaceRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.id, place=lambda row: (row.created_at, row.id)
)


@dataclass(frozen=True, slots=True)
class Workspaces:
    """The workspaces of the organization."""

    _db: Recorder

    async def create(self, *, row: WorkspaceRow, deed: Deed | None = None) -> WorkspaceRow:
        """Write a workspace.

        Raises:
            Conflict: A workspace has that name, archived or not.
        """
        try:
            return await self._db.write(lambda tx: _create(tx, row), deed)
        except IntegrityError as error:
            raise _name_taken(row.name) from error

    async def get(self, *, id: str) -> WorkspaceRow:  # noqa: A002 - the wire's word
        """The workspace.

        Raises:
            NotFound: No such workspace.
        """
        return await self._db.read(lambda tx: _get(tx, id))

    async def update(
        self,
        *,
        id: str,  # noqa: A002 - the wire's word
        change: Callable[[WorkspaceRow], WorkspaceRow],
        deed: Deed | None = None,
    ) -> WorkspaceRow:
        """Change name and body of the workspace and return it.

        `change` sees the row locked and raises to refuse.

        Raises:
            NotFound: No such workspace.
            InvalidRequest: It is archived, or the default workspace was to be renamed.
            Conflict: Another workspace has the new name.
        """
        try:
            return await self._db.write(lambda tx: _update(tx, id, change), deed)
        except IntegrityError as error:
            raise _name_taken(None) from error

    async def archive(
        self,
        *,
        id: str,  # noqa: A002 - the wire's word
        now: int,
        deed: Deed | None = None,
    ) -> WorkspaceRow:
        """Archive the workspace with all its keys, or find it archived already; return it.

        Raises:
            NotFound: No such workspace.
            InvalidRequest: It is the default workspace.
        """
        return await self._db.write(lambda tx: _archive(tx, id, now), deed)

    async def list(
        self,
        *,
        limit: int,
        cursor: Cursor | None = None,
        ids: Collection[str] | None = None,
        name: str | None = None,
        include_archived: bool = False,
        include_default: bool = False,
    ) -> Page[WorkspaceRow]:
        """A page of workspaces, newest first."""
        query = select(*_columns)
        if ids is not None:
            query = query.where(table.c.id.in_(ids))
        if name is not None:
            query = query.where(table.c.name == name)
        if not include_archived:
            query = query.where(table.c.archived_at.is_(None))
        if not include_default:
            query = query.where(table.c.name != DEFAULT)
        return await self._db.read(
            lambda tx: pages.fetch(
                tx, query, _read, _ORDERING, order="desc", limit=limit, cursor=cursor
            )
        )


def check_live(tx: Tx, workspace: str) -> WorkspaceRow:
    """The workspace, which is not archived; part of the caller's transaction.

    Raises:
        NotFound: No such workspace.
        InvalidRequest: It is archived.
    """
    row = _get(tx, workspace, lock=True)
    if row.archived_at is not None:
        raise InvalidRequest(f"workspace {workspace} is archived and cannot be changed")
    return row


def _create(tx: Tx, row: WorkspaceRow) -> WorkspaceRow:
    tx.execute(
        insert(table).values(
            id=row.id,
            name=row.name,
            body=columns.to_json(row.body),
            created_at=row.created_at,
        )
    )
    return row


def _get(tx: Tx, workspace: str, *, lock: bool = False) -> WorkspaceRow:
    query = select(*_columns).where(table.c.id == workspace)
    found = tx.execute(query.with_for_update() if lock else query).fetchone()
    if found is None:
        raise NotFound(f"workspace {workspace} not found")
    return _read(found)


def _update(tx: Tx, workspace: str, change: Callable[[WorkspaceRow], WorkspaceRow]) -> WorkspaceRow:
    stored = check_live(tx, workspace)
    row = change(stored)
    if stored.default and row.name != stored.name:
        raise InvalidRequest("name: the default workspace keeps its name")
    tx.execute(
        update(table)
        .where(table.c.id == workspace)
        .values(name=row.name, body=columns.to_json(row.body))
    )
    return row


def _archive(tx: Tx, workspace: str, now: int) -> WorkspaceRow:
    row = _get(tx, workspace, lock=True)
    if row.default:
        raise InvalidRequest("the default workspace cannot be archived")
    if row.archived_at is not None:
        return row
    tx.execute(update(table).where(table.c.id == workspace).values(archived_at=now))
    keys.archive(tx, keys.of_workspace(workspace), now)
    return replace(row, archived_at=now)


def _name_taken(name: str | None) -> Conflict:
    which = "that name" if name is None else f"the name {name!r}"
    return Conflict(f"name: a workspace with {which} exists already")


def _read(row: Sequence[Any]) -> WorkspaceRow:
    return WorkspaceRow(
        id=row[0],
        name=row[1],
        body=columns.from_json(row[2]) if row[2] is not None else {},
        created_at=row[3],
        archived_at=row[4],
    )
