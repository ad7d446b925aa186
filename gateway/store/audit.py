"""The audit trail: append-only chains of records, each in the transaction of what it records.

A chain belongs to a session and has its id; what belongs to none is in the chain `GATEWAY`. The
arithmetic is in `chain`, checkpoints and verification are in `checkpoints` and `verification`.
Nothing here changes or deletes a record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import and_, bindparam, func, insert, or_, select, text

from gateway.errors import StartError
from gateway.store import checkpoints, verification
from gateway.store.chain import START, AuditRecord, Entry, mac, read_record, write_record
from gateway.store.checkpoints import Checkpoint, Signer
from gateway.store.engine import Database, Hot, Params, Tx
from gateway.store.pages import Ordering, fetch
from gateway.store.records import Cursor, Order, Page, Range
from gateway.store.schema import audit, audit_heads
from gateway.store.turn import Turn
from gateway.store.verification import Position, Step

__all__ = ["GATEWAY", "Audit", "AuditRecord", "Backlog", "Entry", "Sought", "extend", "needed"]

GATEWAY = "gateway"
"""The chain of what belongs to no session."""

_COLUMNS = (audit.c.chain, audit.c.n, audit.c.record, audit.c.mac, audit.c.id, audit.c.at)


def _place(entry: Entry) -> tuple[int, str]:
    return entry.record.at, entry.record.id


_ORDERING = Ordering(at=audit.c.at, id=audit.c.id, place=_place)

# A chain is extended by one at a time: its row is locked, and made if it is not there.
_HEAD = Hot(
    select(audit_heads.c.n, audit_heads.c.mac)
    .where(audit_heads.c.chain == bindparam("of"))
    .with_for_update()
)
_BEGIN = Hot(
    text(
        "INSERT INTO audit_heads (chain, n, mac, signed) VALUES (:of, 0, :start, 0)"
        " ON CONFLICT (chain) DO UPDATE SET n = audit_heads.n"
        " RETURNING n, mac"
    )
)
_MOVE = Hot(text("UPDATE audit_heads SET n = :n, mac = :last WHERE chain = :of"))
_ADD = Hot(insert(audit))
_FIRSTS = Hot(
    text(
        "SELECT chain, record, mac FROM audit WHERE n = 1 AND chain IN"
        " (SELECT chain FROM audit_heads LIMIT 5)"
    )
)
_MARK = Hot(text("UPDATE audit SET sent = 1 WHERE chain = :chain AND n = :n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Which records are looked for; what is None does not matter."""

    workspace: str | None = None
    session: str | None = None
    actor: str | None = None
    tool: str | None = None
    outcome: str | None = None
    kind: str | None = None
    created: Range = Range()  # noqa: RUF009 - it is frozen


@dataclass(frozen=True, slots=True)
class Backlog:
    """What still has to be delivered."""

    records: int
    since: int | None
    """When the oldest of them was written."""


_LEAVE_KEY = Hot(
    text("INSERT INTO audit_keys (id, key) VALUES (1, :key) ON CONFLICT (id) DO NOTHING")
)
_FIND_KEY = Hot(text("SELECT key FROM audit_keys WHERE id = 1"))


@dataclass(frozen=True, slots=True, repr=False)
class Audit:
    """The audit trail of all workspaces.

    Args:
        key: Of the chains, 32 bytes; None for whoever neither writes nor verifies.
        turn: Says which of several gateways makes checkpoints and delivers.
    """

    _db: Database
    key: bytes | None
    turn: Turn

    async def write(self, chain: str, records: Sequence[AuditRecord]) -> None:
        """Add records to a chain, all or none, in their order."""
        key = needed(self.key)
        await self._db.write(lambda tx: extend(tx, chain, records, key))

    async def search(
        self, sought: Sought, *, limit: int, order: Order = "desc", cursor: Cursor | None = None
    ) -> Page[Entry]:
        """A page of records, by the time they were written."""
        query = select(*_COLUMNS).where(*_conditions(sought))
        return await self._db.read(
            lambda tx: fetch(
                tx,
                query,
                _read,
                _ORDERING,
                order=order,
                limit=limit,
                cursor=cursor,
                created=sought.created,
            )
        )

    async def count(self) -> int:
        """How many records there are."""
        query = select(func.count()).select_from(audit)
        return await self._db.read(lambda tx: tx.execute(query).scalar_one())

    async def unsent(self, *, limit: int) -> list[Entry]:
        """The oldest records that not every place has taken yet."""
        query = (
            select(*_COLUMNS)
            .where(audit.c.sent == text("0"))
            .order_by(audit.c.at, audit.c.chain, audit.c.n)
            .limit(limit)
        )
        found = await self._db.read(lambda tx: tx.execute(query).fetchall())
        return [_read(row) for row in found]

    async def mark(self, entries: Sequence[Entry]) -> None:
        """Every place has taken these records."""
        rows = [{"chain": entry.chain, "n": entry.n} for entry in entries]
        await self._db.write(lambda tx: tx.run_many(_MARK, rows))

    async def oldest_unsent(self) -> int | None:
        """When the oldest record was written that not every place has taken yet."""
        query = select(func.min(audit.c.at)).where(audit.c.sent == text("0"))
        return await self._db.read(lambda tx: tx.execute(query).scalar_one())

    async def backlog(self) -> Backlog:
        """How much is still to be delivered."""
        query = select(func.count(), func.min(audit.c.at)).where(audit.c.sent == text("0"))
        found = await self._db.read(lambda tx: tx.execute(query).one())
        return Backlog(*found)

    async def checkpoint(self, *, id: str, now: int) -> Checkpoint | None:  # noqa: A002 - the wire's word
        """Sign the heads of chains that moved since the last checkpoint; None if none did.

        There may be more of them than one checkpoint holds: ask again until there are none. It is
        a record too, with this `id`, in a chain of its own.
        """
        key = needed(self.key)
        signer = Signer.of(key)

        def write(tx: Tx) -> Checkpoint | None:
            made = checkpoints.make(tx, signer, now)
            if made is not None:
                extend(tx, checkpoints.CHAIN, [made.record(id, signer)], key)
            return made

        return await self._db.write(write)

    async def verify(self, position: Position) -> Step:
        """Look at some two thousand records from `position` on; `Position()` is the beginning."""
        key = needed(self.key)
        return await self._db.read(lambda tx: verification.take_step(tx, key, position))

    async def differences(self, claims: Sequence[tuple[str, int, bytes]]) -> list[tuple[str, int]]:
        """Of claims about chain, number and code, those that do not hold."""
        return await self._db.read(
            lambda tx: [
                (chain, n) for chain, n, code in claims if verification.code(tx, chain, n) != code
            ]
        )


def extend(tx: Tx, chain: str, records: Sequence[AuditRecord], key: bytes) -> None:
    """Add records to a chain inside a transaction."""
    if not records:
        return
    row = tx.run(_HEAD, {"of": chain}).fetchone()
    if row is None:
        row = tx.run(_BEGIN, {"of": chain, "start": START}).fetchone()
        assert row is not None, "the statement makes the row"
    last, code = row
    rows: list[Params] = []
    for n, record in enumerate(records, last + 1):
        written = write_record(record)
        code = mac(key, code, chain, n, written)
        rows.append(_params(chain, n, record, written, code))
    tx.run_many(_ADD, rows)
    tx.run(_MOVE, {"of": chain, "n": last + len(records), "last": code})


def check_key(tx: Tx, key: bytes) -> None:
    """Make sure that this is the key that the trail was written with, if there is a trail.

    Raises:
        StartError: It is another one.
    """
    firsts = tx.run(_FIRSTS, {}).fetchall()
    # More than one, so that a record that somebody has changed does not keep the gateway down.
    fitting = [mac(key, START, chain, 1, written) == code for chain, written, code in firsts]
    if fitting and not any(fitting):
        raise StartError(
            "the audit trail was written with another key: put back the audit.key that was"
        )


def shared_key(tx: Tx, key: bytes) -> bytes:
    """The key that gateways share through their database: the first one's, or else this one."""
    tx.run(_LEAVE_KEY, {"key": key})
    row = tx.run(_FIND_KEY, {}).fetchone()
    assert row is not None, "it was left just now"
    return bytes(row[0])


def needed(key: bytes | None) -> bytes:
    """The key, which whoever opened the store has to have given."""
    assert key is not None, "the store was opened without the key of the audit trail"
    return key


def _params(chain: str, n: int, record: AuditRecord, written: bytes, code: bytes) -> Params:
    return {
        "chain": chain,
        "n": n,
        "id": record.id,
        "at": record.at,
        "kind": record.kind,
        "workspace": record.workspace,
        "session": record.session,
        "event": record.event,
        "actor": record.actor,
        "tool": record.tool,
        "outcome": record.outcome,
        "record": written,
        "mac": code,
        "sent": 0,
    }


def _conditions(sought: Sought) -> list[Any]:
    conditions: list[Any] = []
    for name in ("workspace", "actor", "tool", "outcome", "kind"):
        value = getattr(sought, name)
        if value is not None:
            conditions.append(audit.c[name] == value)
    if sought.session is not None:
        # By chain, so that the primary key finds them.
        elsewhere = and_(audit.c.chain == GATEWAY, audit.c.session == sought.session)
        conditions.append(or_(audit.c.chain == sought.session, elsewhere))
    return conditions


def _read(row: Sequence[Any]) -> Entry:
    chain, n, written, code, identity, at = row
    try:
        record = replace(read_record(written), id=identity, at=at)
    except ValueError:
        # Somebody changed it; where it stands and that it cannot be read is still worth telling.
        record = AuditRecord(
            id=identity,
            at=at,
            kind="unreadable",
            workspace=None,
            session=None,
            event=None,
            actor=None,
            tool=None,
            outcome=None,
            body={},
        )
    return Entry(chain=chain, n=n, record=record, written=written, mac=code)
