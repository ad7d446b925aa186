"""Who works in which workspace, and as what. Everybody is a member of the default one anyway."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, delete, insert, select, update

from gateway.errors import Conflict, NotFound
from gateway.store import pages, people, workspaces
from gateway.store.deeds import Deed, Recorder, Told
from gateway.store.engine import Tx
from gateway.store.people import WORDS, Kind
from gateway.store.records import Cursor, Page
from gateway.store.schema import members as table
from gateway.store.schema import principals


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """A principal's place in a workspace."""

    workspace: str
    principal: str
    role: str
    created_at: int
    updated_at: int

    def tell(self) -> Told:
        """What the audit trail says of it."""
        return Told("member", self.workspace, {"principal": self.principal, "role": self.role})


_BY_PRINCIPAL: pages.Ordering[MemberRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.principal, place=lambda row: (row.created_at, row.principal)
)
_BY_WORKSPACE: pages.Ordering[MemberRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.workspace, place=lambda row: (row.created_at, row.workspace)
)


@dataclass(frozen=True, slots=True)
class Members:
    """The members of all workspaces."""

    _db: Recorder

    async def add(
        self, *, kind: Kind, row: MemberRow, again: bool = False, deed: Deed | None = None
    ) -> MemberRow:
        """Make the principal a member and return the membership.

        `again` gives somebody who is a member already the new role.

        Raises:
            NotFound: No such workspace, or no such principal of this kind.
            InvalidRequest: The workspace or the service account is archived.
            Conflict: It is a member already, unless `again`.
        """
        return await self._db.write(lambda tx: _add(tx, kind, row, again=again), deed)

    async def get(self, *, kind: Kind, workspace: str, principal: str) -> MemberRow:
        """The membership.

        Raises:
            NotFound: The principal is no member of the workspace.
        """
        return await self._db.read(lambda tx: _get(tx, kind, workspace, principal))

    async def change(
        self,
        *,
        kind: Kind,
        workspace: str,
        principal: str,
        role: str,
        now: int,
        deed: Deed | None = None,
    ) -> MemberRow:
        """Give the member another role and return the membership.

        Raises:
            NotFound: No such workspace, or the principal is no member of it.
            InvalidRequest: The workspace is archived.
        """

        def write(tx: Tx) -> MemberRow:
            workspaces.check_live(tx, workspace)
            return _write(tx, _get(tx, kind, workspace, principal), role, now)

        return await self._db.write(write, deed)

    async def remove(
        self, *, kind: Kind, workspace: str, principal: str, deed: Deed | None = None
    ) -> bool:
        """End the membership; their keys to the workspace open nothing from then on.

        Returns:
            Whether there was one.

        Raises:
            NotFound: No such workspace.
            InvalidRequest: The workspace is archived.
        """
        gone = await self._db.write(lambda tx: _remove(tx, kind, workspace, principal), deed)
        return gone is not None

    async def list(
        self, *, kind: Kind, workspace: str, limit: int, cursor: Cursor | None = None
    ) -> Page[MemberRow]:
        """A page of the workspace's members of one kind, newest first."""
        query = _rows(kind).where(table.c.workspace == workspace)
        return await self._db.read(
            lambda tx: pages.fetch(
                tx, query, _read, _BY_PRINCIPAL, order="desc", limit=limit, cursor=cursor
            )
        )

    async def of(
        self, *, principal: str, limit: int, cursor: Cursor | None = None
    ) -> Page[MemberRow]:
        """A page of the principal's memberships, newest first."""
        query = select(table).where(table.c.principal == principal)
        return await self._db.read(
            lambda tx: pages.fetch(
                tx, query, _read, _BY_WORKSPACE, order="desc", limit=limit, cursor=cursor
            )
        )


def _rows(kind: Kind) -> Select[*tuple[Any, ...]]:
    mine = table.c.principal == principals.c.id
    return select(table).join(principals, mine).where(principals.c.kind == kind)


def _add(tx: Tx, kind: Kind, row: MemberRow, *, again: bool) -> MemberRow:
    workspaces.check_live(tx, row.workspace)
    people.check_live(tx, kind, row.principal)
    stored = _find(tx, kind, row.workspace, row.principal)
    if stored is None:
        tx.execute(
            insert(table).values(
                workspace=row.workspace,
                principal=row.principal,
                role=row.role,
                created_at=row.created_at,
                updated_at=row.updated_at,
            )
        )
        return row
    if not again:
        raise Conflict(f"{row.principal} is a member of workspace {row.workspace} already")
    return _write(tx, stored, row.role, row.updated_at)


def _write(tx: Tx, row: MemberRow, role: str, now: int) -> MemberRow:
    mine = (table.c.workspace == row.workspace, table.c.principal == row.principal)
    tx.execute(update(table).where(*mine).values(role=role, updated_at=now))
    return replace(row, role=role, updated_at=now)


def _remove(tx: Tx, kind: Kind, workspace: str, principal: str) -> MemberRow | None:
    workspaces.check_live(tx, workspace)
    row = _find(tx, kind, workspace, principal)
    if row is not None:
        mine = (table.c.workspace == workspace, table.c.principal == principal)
        tx.execute(delete(table).where(*mine))
    return row


def _get(tx: Tx, kind: Kind, workspace: str, principal: str) -> MemberRow:
    row = _find(tx, kind, workspace, principal)
    if row is None:
        raise NotFound(f"{WORDS[kind]} {principal} is not a member of workspace {workspace}")
    return row


def _find(tx: Tx, kind: Kind, workspace: str, principal: str) -> MemberRow | None:
    query = _rows(kind).where(table.c.workspace == workspace, table.c.principal == principal)
    found = tx.execute(query).fetchone()
    return None if found is None else _read(found)


def _read(row: Sequence[Any]) -> MemberRow:
    return MemberRow(
        workspace=row[0], principal=row[1], role=row[2], created_at=row[3], updated_at=row[4]
    )
