"""Kill switches, and the one that lifts enforcement: thrown and lifted together with their record.

A switch that has run out stays until it is thrown again or lifted; whoever reads it looks at
`until`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from sqlalchemy import bindparam, delete, select, text

from gateway.store.audit import GATEWAY, AuditRecord, extend, needed
from gateway.store.engine import Database, Hot, Tx
from gateway.store.schema import switches as table

Stopped: TypeAlias = Literal["tool", "server", "agent", "user", "workspace"]
Kind: TypeAlias = Literal["tool", "server", "agent", "user", "workspace", "enforcement"]
KINDS: tuple[Stopped, ...] = get_args(Stopped)
"""What can be stopped."""
ENFORCEMENT = ("enforcement", "policy")
"""The switch that, while it is thrown, lets no policy of the enterprise decide."""

_ALL = Hot(select(table).order_by(table.c.thrown_at, table.c.kind, table.c.subject))
_THROW = Hot(
    text(
        "INSERT INTO switches (kind, subject, reason, thrown_by, thrown_at, until)"
        " VALUES (:kind, :subject, :reason, :thrown_by, :thrown_at, :until)"
        " ON CONFLICT (kind, subject) DO UPDATE SET reason = excluded.reason,"
        " thrown_by = excluded.thrown_by, thrown_at = excluded.thrown_at, until = excluded.until"
    )
)
_LIFT = Hot(
    delete(table).where(
        table.c.kind == bindparam("of_kind"), table.c.subject == bindparam("of_subject")
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRow:
    """One switch that is thrown."""

    kind: Kind
    subject: str
    """A tool's action, a server's name or URL, or the id of an agent, a user or a workspace."""
    reason: str
    thrown_by: str
    """The actor."""
    thrown_at: int
    until: int | None = None
    """When it lifts itself; None: when somebody lifts it."""


@dataclass(frozen=True, slots=True)
class Switches:
    """The switches of all gateways on this database."""

    _db: Database
    _key: bytes | None
    """Of the audit trail."""

    async def all(self) -> list[SwitchRow]:
        """Every switch that was thrown and not lifted, the oldest first."""
        rows = await self._db.read(lambda tx: tx.run(_ALL, {}).fetchall())
        return [_read(row) for row in rows]

    async def throw(self, *, row: SwitchRow, record: AuditRecord) -> None:
        """Throw a switch, or throw it anew."""
        key = needed(self._key)

        def write(tx: Tx) -> None:
            tx.run(_THROW, asdict(row))
            extend(tx, GATEWAY, [record], key)

        await self._db.write(write)

    async def lift(self, *, kind: str, subject: str, record: AuditRecord) -> bool:
        """Lift a switch; False if it was not thrown, and then there is no record either."""
        key = needed(self._key)

        def write(tx: Tx) -> bool:
            gone = tx.run(_LIFT, {"of_kind": kind, "of_subject": subject}).rowcount
            if gone:
                extend(tx, GATEWAY, [record], key)
            return bool(gone)

        return await self._db.write(write)


def _read(row: Sequence[Any]) -> SwitchRow:
    return SwitchRow(
        kind=row[0],
        subject=row[1],
        reason=row[2],
        thrown_by=row[3],
        thrown_at=row[4],
        until=row[5],
    )
