"""The API keys that open workspaces. A key itself is never stored, only its SHA-256."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, and_, bindparam, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from gateway.clock import Clock
from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store import columns, pages
from gateway.store.deeds import Deed, Recorder, Told
from gateway.store.engine import Hot, Tx
from gateway.store.records import Cursor, Page
from gateway.store.schema import api_keys as table
from gateway.store.schema import members, principals, workspaces

KeyStatus: TypeAlias = Literal["active", "inactive", "archived", "expired"]

DEFAULT = "default"
"""The name of the workspace made at the first start; every principal is a member of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """An API key; only its SHA-256 is stored."""

    id: str
    workspace: str
    """Where it works; for a key of the organization, where it works unless it names another."""
    name: str
    hint: str
    """The last four characters, for people."""
    created_at: int
    revoked_at: int | None
    """Since when it is archived, which is for ever."""
    principal: str | None = None
    """The user or service account that acts with it; without one the key acts for itself."""
    scopes: frozenset[str] | None = None
    """What it may do (`gateway.api.scopes`); None for everything."""
    enabled: bool = True
    organization: bool = False
    """It belongs to the organization, not to one workspace."""
    created_by: str | None = None
    """The principal or key that made it; None if that was the command line."""
    expires_at: int | None = None

    def status(self, now: int) -> KeyStatus:
        """What clients see (spec/resources 7.4); only an active key opens anything."""
        if self.revoked_at is not None:
            return "archived"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active" if self.enabled else "inactive"

    def tell(self) -> Told:
        """What the audit trail says of it."""
        body = {
            "key": self.id,
            "name": self.name,
            "principal": self.principal,
            "scopes": None if self.scopes is None else sorted(self.scopes),
            "organization": self.organization,
            "enabled": self.enabled,
            "revoked_at": self.revoked_at,
            "expires_at": self.expires_at,
        }
        return Told("key", None if self.organization else self.workspace, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """A key, and what else decides whether it opens anything."""

    key: KeyRow
    kind: Literal["user", "service_account", "api_key"]
    """Who acts with it; ``api_key`` if it is the key itself."""
    closed: bool
    """Its workspace is archived."""
    gone: bool
    """Its principal was removed, or is no member of its workspace any more."""
    email: str | None = None
    """Of the user who acts with it."""


_columns = (
    table.c.id,
    table.c.workspace,
    table.c.name,
    table.c.hint,
    table.c.created_at,
    table.c.revoked_at,
    table.c.principal,
    table.c.scopes,
    table.c.status,
    table.c.organization,
    table.c.created_by,
    table.c.expires_at,
)
_BEARER = Hot(
    select(
        *_columns,
        workspaces.c.name,
        workspaces.c.archived_at,
        principals.c.kind,
        principals.c.archived_at,
        principals.c.email,
        members.c.role,
    )
    .join_from(table, workspaces, workspaces.c.id == table.c.workspace)
    .outerjoin(principals, principals.c.id == table.c.principal)
    .outerjoin(
        members,
        and_(members.c.workspace == table.c.workspace, members.c.principal == table.c.principal),
    )
    .where(table.c.sha256 == bindparam("digest"))
)
_ADD_WORKSPACE = Hot(
    text(
        "INSERT INTO workspaces (id, name, created_at) VALUES (:id, 'default', :now)"
        " ON CONFLICT (name) DO NOTHING"
    )
)
_ORDERING: pages.Ordering[KeyRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.id, place=lambda row: (row.created_at, row.id)
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The API keys of all workspaces."""

    _db: Recorder
    _clock: Clock

    async def create(
        self,
        *,
        workspace: str,
        name: str,
        sha256: bytes,
        hint: str,
        now: int,
        principal: str | None = None,
        scopes: frozenset[str] | None = None,
        organization: bool = False,
        created_by: str | None = None,
        expires_at: int | None = None,
        deed: Deed | None = None,
    ) -> KeyRow:
        """Write a key; `sha256` is the 32 bytes of its digest.

        Raises:
            NotFound: No such workspace or principal.
            InvalidRequest: The workspace is archived, or the principal is no member of it.
            Conflict: The key exists already, revoked or not.
        """
        row = KeyRow(
            id=self._clock.new_id("apikey"),
            workspace=workspace,
            name=name,
            hint=hint,
            created_at=now,
            revoked_at=None,
            principal=principal,
            scopes=scopes,
            organization=organization,
            created_by=created_by,
            expires_at=expires_at,
        )
        try:
            return await self._db.write(lambda tx: _create(tx, row, sha256), deed)
        except IntegrityError as error:
            raise Conflict("this API key exists already") from error

    async def bearer(self, *, sha256: bytes) -> Bearer | None:
        """The key with this digest, whatever its state, and who acts with it."""
        found = await self._db.read(lambda tx: tx.run(_BEARER, {"digest": sha256}).fetchone())
        return None if found is None else _read_bearer(found)

    async def get(self, *, id: str) -> KeyRow:  # noqa: A002 - the wire's word
        """The key.

        Raises:
            NotFound: No such key.
        """
        return await self._db.read(lambda tx: _get(tx, id))

    async def list(self, *, workspace: str | None = None) -> list[KeyRow]:
        """Every key, or those of one workspace, oldest first, revoked ones included."""
        query = select(*_columns).order_by(table.c.created_at, table.c.id)
        if workspace is not None:
            query = query.where(table.c.workspace == workspace)
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [_read(row) for row in found]

    async def page(
        self,
        *,
        now: int,
        limit: int,
        cursor: Cursor | None = None,
        workspace: str | None = None,
        status: KeyStatus | None = None,
        created_by: str | None = None,
    ) -> Page[KeyRow]:
        """A page of keys with every filter that was given, newest first.

        `workspace` leaves keys of the organization out.
        """
        query = select(*_columns)
        if workspace is not None:
            query = query.where(of_workspace(workspace))
        if status is not None:
            query = query.where(_has(status, now))
        if created_by is not None:
            query = query.where(table.c.created_by == created_by)
        return await self._db.read(
            lambda tx: pages.fetch(
                tx, query, _read, _ORDERING, order="desc", limit=limit, cursor=cursor
            )
        )

    async def update(
        self,
        *,
        id: str,  # noqa: A002 - the wire's word
        now: int,
        name: str | None = None,
        status: Literal["active", "inactive", "archived"] | None = None,
        deed: Deed | None = None,
    ) -> KeyRow:
        """Give the key another name or state, and return it. None keeps what there is.

        Raises:
            NotFound: No such key.
            InvalidRequest: It is archived, and another state is asked for.
        """
        return await self._db.write(lambda tx: _update(tx, id, now, name, status), deed)

    async def revoke(
        self,
        *,
        id: str,  # noqa: A002 - the wire's word
        now: int,
        deed: Deed | None = None,
    ) -> KeyRow:
        """Archive the key, or find it archived already; return it.

        Raises:
            NotFound: No such key.
        """
        return await self.update(id=id, now=now, status="archived", deed=deed)

    async def default_workspace(self) -> str:
        """The id of the workspace made at the first start."""
        query = select(workspaces.c.id).where(workspaces.c.name == DEFAULT)
        return await self._db.read(lambda tx: tx.execute(query).scalar_one())


def add_default_workspace(tx: Tx, clock: Clock) -> None:
    """Make the default workspace unless it is there."""
    tx.run(_ADD_WORKSPACE, {"id": clock.new_id("wrkspc"), "now": clock.now()})


def of_workspace(workspace: str) -> ColumnElement[bool]:
    """Which keys belong to the workspace; those of the organization belong to none."""
    return and_(table.c.workspace == workspace, func.coalesce(table.c.organization, 0) == 0)


def archive(tx: Tx, which: ColumnElement[bool], now: int) -> None:
    """Archive the keys for which `which` holds, as part of the caller's transaction."""
    live = update(table).where(which, table.c.revoked_at.is_(None))
    tx.execute(live.values(revoked_at=now, status="archived"))


def _create(tx: Tx, row: KeyRow, sha256: bytes) -> KeyRow:
    _check_owner(tx, row)
    tx.execute(
        insert(table).values(
            id=row.id,
            workspace=row.workspace,
            name=row.name,
            sha256=sha256,
            hint=row.hint,
            created_at=row.created_at,
            principal=row.principal,
            scopes=None if row.scopes is None else columns.to_json(sorted(row.scopes)),
            organization=int(row.organization),
            created_by=row.created_by,
            expires_at=row.expires_at,
        )
    )
    return row


def _check_owner(tx: Tx, row: KeyRow) -> None:
    query = select(workspaces.c.name, workspaces.c.archived_at)
    workspace = tx.execute(query.where(workspaces.c.id == row.workspace)).mappings().first()
    if workspace is None:
        raise NotFound(f"workspace {row.workspace} not found")
    if workspace["archived_at"] is not None:
        raise InvalidRequest(f"workspace {row.workspace} is archived")
    if row.principal is None:
        return
    live = (principals.c.id == row.principal, principals.c.archived_at.is_(None))
    if tx.execute(select(principals.c.id).where(*live)).scalar() is None:
        raise NotFound(f"principal {row.principal} not found")
    member = (members.c.workspace == row.workspace, members.c.principal == row.principal)
    everybody = row.organization or workspace["name"] == DEFAULT
    if not everybody and tx.execute(select(members.c.role).where(*member)).scalar() is None:
        raise InvalidRequest(f"{row.principal} is not a member of workspace {row.workspace}")


def _get(tx: Tx, key: str, *, lock: bool = False) -> KeyRow:
    query = select(*_columns).where(table.c.id == key)
    found = tx.execute(query.with_for_update() if lock else query).fetchone()
    if found is None:
        raise NotFound(f"API key {key} not found")
    return _read(found)


def _update(tx: Tx, key: str, now: int, name: str | None, status: str | None) -> KeyRow:
    row = _get(tx, key, lock=True)
    if status == "archived":
        archive(tx, table.c.id == key, now)
    elif status is not None:
        if row.revoked_at is not None:
            raise InvalidRequest(f"status: API key {key} is archived, which is for ever")
        tx.execute(update(table).where(table.c.id == key).values(status=status))
    if name is not None:
        tx.execute(update(table).where(table.c.id == key).values(name=name))
    return _get(tx, key)


def _has(status: KeyStatus, now: int) -> ColumnElement[bool]:
    """The condition that `KeyRow.status` says `status`."""
    if status == "archived":
        return table.c.revoked_at.is_not(None)
    live = table.c.revoked_at.is_(None)
    if status == "expired":
        return and_(live, table.c.expires_at <= now)
    fresh = or_(table.c.expires_at.is_(None), table.c.expires_at > now)
    inactive = table.c.status == "inactive"
    enabled = inactive if status == "inactive" else table.c.status.is_distinct_from("inactive")
    return and_(live, fresh, enabled)


def _read(row: Sequence[Any]) -> KeyRow:
    return KeyRow(
        id=row[0],
        workspace=row[1],
        name=row[2],
        hint=row[3],
        created_at=row[4],
        revoked_at=row[5],
        principal=row[6],
        scopes=None if row[7] is None else frozenset(columns.from_json(row[7])),
        enabled=row[8] != "inactive",
        organization=bool(row[9]),
        created_by=row[10],
        expires_at=row[11],
    )


def _read_bearer(row: Sequence[Any]) -> Bearer:
    key = _read(row)
    workspace, closed, kind, removed, email, role = row[len(_columns) :]
    everybody = key.organization or workspace == DEFAULT
    return Bearer(
        key=key,
        kind=kind or "api_key",
        closed=closed is not None and not key.organization,
        gone=key.principal is not None
        and (kind is None or removed is not None or (role is None and not everybody)),
        email=email,
    )
