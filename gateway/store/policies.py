"""Every set of policies that was in force, so that the last good one outlives its directory."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, select, text

from gateway.store import columns
from gateway.store.audit import GATEWAY, AuditRecord, extend, needed
from gateway.store.engine import Database, Hot, Tx
from gateway.store.schema import policy_sets as table

_PUT = Hot(
    text(
        "INSERT INTO policy_sets (digest, body, loaded_at) VALUES (:digest, :body, :loaded_at)"
        " ON CONFLICT (digest) DO UPDATE SET loaded_at = excluded.loaded_at"
    )
)
_LAST = Hot(
    select(table.c.digest, table.c.body, table.c.loaded_at)
    .order_by(table.c.loaded_at.desc())
    .suffix_with(text("LIMIT 1"))
)
_ONE = Hot(
    select(table.c.digest, table.c.body, table.c.loaded_at).where(
        table.c.digest == bindparam("wanted")
    )
)


@dataclass(frozen=True, slots=True)
class PolicySetRow:
    """A set, as the text of the files it was made of."""

    digest: str
    files: Mapping[str, str]
    loaded_at: int
    """When it last came into force."""


@dataclass(frozen=True, slots=True)
class PolicySets:
    """The sets of all gateways on this database."""

    _db: Database
    _key: bytes | None
    """Of the audit trail."""

    async def put(self, *, row: PolicySetRow, record: AuditRecord) -> None:
        """Write down that a set came into force, again or for the first time."""
        key = needed(self._key)
        params = {
            "digest": row.digest,
            "body": columns.to_json(dict(row.files)).encode(),
            "loaded_at": row.loaded_at,
        }

        def write(tx: Tx) -> None:
            tx.run(_PUT, params)
            extend(tx, GATEWAY, [record], key)

        await self._db.write(write)

    async def last(self) -> PolicySetRow | None:
        """The set that came into force last."""
        found = await self._db.read(lambda tx: tx.run(_LAST, {}).fetchone())
        return None if found is None else _read(found)

    async def get(self, *, digest: str) -> PolicySetRow | None:
        found = await self._db.read(lambda tx: tx.run(_ONE, {"wanted": digest}).fetchone())
        return None if found is None else _read(found)


def _read(row: tuple[str, bytes, int]) -> PolicySetRow:
    return PolicySetRow(row[0], columns.from_json(bytes(row[1]).decode()), row[2])
