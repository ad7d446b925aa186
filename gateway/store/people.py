"""Users and service accounts: whoever a key can act for. Where they work is `members`.

A user that is removed is archived here, so that old sessions and audit records still name
somebody; to clients it is gone. Removing or archiving somebody archives their keys with them.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store import columns, keys, pages
from gateway.store.deeds import Deed, Recorder, Told
from gateway.store.engine import Tx
from gateway.store.records import Cursor, Page
from gateway.store.schema import api_keys, members, workspaces
from gateway.store.schema import principals as table

Kind: TypeAlias = Literal["user", "service_account"]

WORDS: dict[Kind, str] = {"user": "user", "service_account": "service account"}
"""What each kind is called in messages."""

_ROLE = "developer"
"""In the organization, unless somebody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalRow:
    """A user (``user_``) or a service account (``svac_``)."""

    id: str
    kind: Kind
    name: str
    email: str | None
    """In lower case; service accounts have none."""
    role: str
    """In the organization."""
    body: dict[str, Any]
    """Of a service account: description, and who created, updated and archived it."""
    created_at: int
    updated_at: int
    archived_at: int | None

    def tell(self) -> Told:
        """What the audit trail says of it."""
        return Told("member", None, {"principal": self.id, "name": self.name, "role": self.role})


_ORDERING: pages.Ordering[PrincipalRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.id, place=lambda row: (row.created_at, row.id)
)


@dataclass(frozen=True, slots=True)
class People:
    """The principals of the organization."""

    _db: Recorder

    async def create(self, *, row: PrincipalRow, deed: Deed | None = None) -> PrincipalRow:
        """Write a principal.

        Raises:
            Conflict: A live user has the e-mail address, or a live service account the name.
        """
        try:
            return await self._db.write(lambda tx: _create(tx, row), deed)
        except IntegrityError as error:
            raise Conflict(f"email: a user with the address {row.email} exists already") from error

    async def principal(self, *, id: str) -> PrincipalRow | None:  # noqa: A002 - the wire's word
        """The user or service account, removed or not, for the gateway itself."""
        query = select(table).where(table.c.id == id)
        found = await self._db.read(lambda tx: tx.execute(query).fetchone())
        return None if found is None else _read(found)

    async def get(self, *, kind: Kind, id: str) -> PrincipalRow:  # noqa: A002 - the wire's word
        """The principal.

        Raises:
            NotFound: No such principal of this kind, or the user was removed.
        """
        return await self._db.read(lambda tx: _get(tx, kind, id))

    async def update(
        self,
        *,
        kind: Kind,
        id: str,  # noqa: A002 - the wire's word
        change: Callable[[PrincipalRow], PrincipalRow],
        deed: Deed | None = None,
    ) -> PrincipalRow:
        """Change role and body of the principal and return it.

        `change` sees the row locked and raises to refuse.

        Raises:
            NotFound: No such principal of this kind, or the user was removed.
            InvalidRequest: The service account is archived.
        """
        return await self._db.write(lambda tx: _update(tx, kind, id, change), deed)

    async def archive(
        self,
        *,
        kind: Kind,
        id: str,  # noqa: A002 - the wire's word
        now: int,
        by: str | None = None,
        deed: Deed | None = None,
    ) -> PrincipalRow:
        """Archive the principal and their keys, end their memberships, and return them.

        A service account that is archived already stays as it is. `by` is who wants it.

        Raises:
            NotFound: No such principal of this kind, or the user was removed.
        """
        return await self._db.write(lambda tx: _archive(tx, kind, id, now, by), deed)

    async def list(
        self,
        *,
        kind: Kind,
        limit: int,
        cursor: Cursor | None = None,
        name: str | None = None,
        email: str | None = None,
        roles: Collection[str] = (),
        include_archived: bool = False,
    ) -> Page[PrincipalRow]:
        """A page of principals of one kind, newest first."""
        query = select(table).where(table.c.kind == kind)
        if not include_archived:
            query = query.where(table.c.archived_at.is_(None))
        if name is not None:
            query = query.where(table.c.name == name)
        if email is not None:
            query = query.where(table.c.email == email)
        if roles:
            query = query.where(table.c.role.in_(roles))
        return await self._db.read(
            lambda tx: pages.fetch(
                tx, query, _read, _ORDERING, order="desc", limit=limit, cursor=cursor
            )
        )


def new_user(
    *,
    id: str,  # noqa: A002 - the wire's word
    email: str,
    name: str | None,
    role: str | None,
    now: int,
) -> PrincipalRow:
    """A user who was not there before. Addresses that differ in case only are one."""
    return PrincipalRow(
        id=id,
        kind="user",
        name=name or email,
        email=email.lower(),
        role=role or _ROLE,
        body={},
        created_at=now,
        updated_at=now,
        archived_at=None,
    )


def new_account(
    *,
    id: str,  # noqa: A002 - the wire's word
    name: str,
    description: str | None,
    role: str | None,
    by: str | None,
    now: int,
) -> PrincipalRow:
    """A service account that was not there before."""
    return PrincipalRow(
        id=id,
        kind="service_account",
        name=name,
        email=None,
        role=role or _ROLE,
        body={"description": description, "created_by": by},
        created_at=now,
        updated_at=now,
        archived_at=None,
    )


def check_live(tx: Tx, kind: Kind, principal: str) -> PrincipalRow:
    """The principal, who is not archived; part of the caller's transaction.

    Raises:
        NotFound: No such principal of this kind, or the user was removed.
        InvalidRequest: The service account is archived.
    """
    row = _get(tx, kind, principal, lock=True)
    if row.archived_at is not None:
        raise InvalidRequest(f"service account {principal} is archived")
    return row


def _create(tx: Tx, row: PrincipalRow) -> PrincipalRow:
    if row.kind == "service_account":
        _check_name(tx, row.name)
    tx.execute(
        insert(table).values(
            id=row.id,
            kind=row.kind,
            name=row.name,
            email=row.email,
            role=row.role,
            body=columns.to_json(row.body),
            created_at=row.created_at,
            updated_at=row.updated_at,
            archived_at=row.archived_at,
        )
    )
    return row


def _check_name(tx: Tx, name: str) -> None:
    # One at a time: whoever makes the second of two equal names has to see the first.
    tx.execute(select(workspaces.c.id).where(workspaces.c.name == keys.DEFAULT).with_for_update())
    same = (table.c.kind == "service_account", table.c.name == name, table.c.archived_at.is_(None))
    if tx.execute(select(table.c.id).where(*same)).scalar() is not None:
        raise Conflict(f"name: a service account with the name {name!r} exists already")


def _get(tx: Tx, kind: Kind, principal: str, *, lock: bool = False) -> PrincipalRow:
    query = select(table).where(table.c.id == principal, table.c.kind == kind)
    found = tx.execute(query.with_for_update() if lock else query).fetchone()
    row = None if found is None else _read(found)
    if row is None or (kind == "user" and row.archived_at is not None):
        raise NotFound(f"{WORDS[kind]} {principal} not found")
    return row


def _update(
    tx: Tx, kind: Kind, principal: str, change: Callable[[PrincipalRow], PrincipalRow]
) -> PrincipalRow:
    row = change(check_live(tx, kind, principal))
    tx.execute(
        update(table)
        .where(table.c.id == principal)
        .values(role=row.role, body=columns.to_json(row.body), updated_at=row.updated_at)
    )
    return row


def _archive(tx: Tx, kind: Kind, principal: str, now: int, by: str | None) -> PrincipalRow:
    row = _get(tx, kind, principal, lock=True)
    if row.archived_at is not None:
        return row
    body = {**row.body, "archived_by": by}
    tx.execute(
        update(table)
        .where(table.c.id == principal)
        .values(archived_at=now, updated_at=now, body=columns.to_json(body))
    )
    tx.execute(delete(members).where(members.c.principal == principal))
    keys.archive(tx, api_keys.c.principal == principal, now)
    return replace(row, archived_at=now, updated_at=now, body=body)


def _read(row: Sequence[Any]) -> PrincipalRow:
    return PrincipalRow(
        id=row[0],
        kind=row[1],
        name=row[2],
        email=row[3],
        role=row[4],
        body=columns.from_json(row[5]),
        created_at=row[6],
        updated_at=row[7],
        archived_at=row[8],
    )
