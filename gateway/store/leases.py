"""Who may run a session: leases, and the proof that a former owner is dead.

SQLite has one gateway to a data directory, so every lease of another owner is void from the start.
On PostgreSQL a lease is void when its owner no longer holds its advisory lock (`presence`).
Taking and fencing leases is part of the log's own statements (`journal`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import anyio
from sqlalchemy import or_, select, update

from gateway.clock import Clock
from gateway.store.engine import Database, Tx
from gateway.store.schema import heads, inbox


class Leases(Protocol):
    """What a gateway must know about its own leases and those of others."""

    @property
    def owner(self) -> str:
        """The name this gateway holds its leases under; a new one at every start."""
        ...

    @property
    def lost(self) -> anyio.Event:
        """Set once this gateway can no longer prove that it is alive: its runners must stop."""
        ...

    def lives(self, tx: Tx, owner: str) -> bool:
        """Whether a lease of `owner` counts. Runs inside a transaction."""
        ...

    async def pending(self) -> list[str]:
        """Sessions with work to do that no living gateway is running."""
        ...


@dataclass(frozen=True, slots=True)
class SoleLeases:
    """The leases of the one gateway of a data directory."""

    _db: Database
    _clock: Clock
    owner: str
    lost: anyio.Event = field(default_factory=anyio.Event)

    def lives(self, tx: Tx, owner: str) -> bool:  # noqa: ARG002 - the protocol's
        # Whoever held a lease before this process is dead: `take_all` ran under the lock.
        return True

    async def pending(self) -> list[str]:
        now = self._clock.now()
        return await self._db.read(lambda tx: unattended(tx, now, self.lives))


def take_all(tx: Tx) -> None:
    """Void every lease; right only while holding the data directory's lock."""
    tx.execute(update(heads).where(heads.c.owner.is_not(None)).values(owner=None))


def unattended(tx: Tx, now: int, lives: Callable[[Tx, str], bool]) -> list[str]:
    """Sessions with work to do whose lease is free or void at `now`."""
    waiting = select(inbox.c.session)
    rows = tx.execute(
        select(heads.c.session, heads.c.owner, heads.c.lease_until).where(
            heads.c.status != "terminated",
            or_(heads.c.status.in_(["running", "rescheduling"]), heads.c.session.in_(waiting)),
        )
    ).fetchall()
    alive = {owner: lives(tx, owner) for owner in {row.owner for row in rows} - {None}}
    return [row.session for row in rows if row.lease_until <= now or not alive.get(row.owner)]
