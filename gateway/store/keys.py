"""Workspaces and the API keys that open them. A key itself is never stored, only its SHA-256."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from gateway.clock import Clock
from gateway.errors import Conflict, NotFound
from gateway.store.engine import Database, Hot, Tx
from gateway.store.records import KeyRow
from gateway.store.schema import api_keys, workspaces

_columns = (
    api_keys.c.id,
    api_keys.c.workspace,
    api_keys.c.name,
    api_keys.c.hint,
    api_keys.c.created_at,
    api_keys.c.revoked_at,
)
_BY_HASH = Hot(select(*_columns).where(api_keys.c.sha256 == bindparam("digest")))
_ADD_WORKSPACE = Hot(
    text(
        "INSERT INTO workspaces (id, name, created_at) VALUES (:id, 'default', :now)"
        " ON CONFLICT (name) DO NOTHING"
    )
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The API keys of all workspaces."""

    _db: Database
    _clock: Clock

    async def create(
        self, *, workspace: str, name: str, sha256: bytes, hint: str, now: int
    ) -> KeyRow:
        """Write a key; `sha256` is the 32 bytes of its digest.

        Raises:
            Conflict: The key exists already, revoked or not.
        """
        row = KeyRow(
            id=self._clock.new_id("apikey"),
            workspace=workspace,
            name=name,
            hint=hint,
            created_at=now,
            revoked_at=None,
        )
        statement = insert(api_keys).values(
            id=row.id,
            workspace=workspace,
            name=name,
            sha256=sha256,
            hint=hint,
            created_at=now,
        )
        try:
            await self._db.write(lambda tx: tx.execute(statement).rowcount)
        except IntegrityError as error:
            raise Conflict("this API key exists already") from error
        return row

    async def by_hash(self, *, sha256: bytes) -> KeyRow | None:
        """The key with this digest, revoked or not."""
        found = await self._db.read(lambda tx: tx.run(_BY_HASH, {"digest": sha256}).fetchone())
        return None if found is None else _read(found)

    async def list(self, *, workspace: str) -> list[KeyRow]:
        """Every key of the workspace, oldest first, revoked ones included."""
        query = (
            select(*_columns)
            .where(api_keys.c.workspace == workspace)
            .order_by(api_keys.c.created_at, api_keys.c.id)
        )
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [_read(row) for row in found]

    async def revoke(self, *, id: str, now: int) -> KeyRow:  # noqa: A002 - the wire's word
        """Revoke the key, or find it revoked already; return it.

        Raises:
            NotFound: No such key.
        """

        def change(tx: Tx) -> KeyRow:
            live = update(api_keys).where(api_keys.c.id == id, api_keys.c.revoked_at.is_(None))
            tx.execute(live.values(revoked_at=now))
            found = tx.execute(select(*_columns).where(api_keys.c.id == id)).fetchone()
            if found is None:
                raise NotFound(f"API key {id} not found")
            return _read(found)

        return await self._db.write(change)

    async def default_workspace(self) -> str:
        """The id of the workspace made at the first start."""
        query = select(workspaces.c.id).where(workspaces.c.name == "default")
        return await self._db.read(lambda tx: tx.execute(query).scalar_one())


def add_default_workspace(tx: Tx, clock: Clock) -> None:
    """Make the default workspace unless it is there."""
    tx.run(_ADD_WORKSPACE, {"id": clock.new_id("wrkspc"), "now": clock.now()})


def _read(row: Sequence[Any]) -> KeyRow:
    return KeyRow(
        id=row[0],
        workspace=row[1],
        name=row[2],
        hint=row[3],
        created_at=row[4],
        revoked_at=row[5],
    )
