"""The store, opened: one object that holds every aggregate."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import Clock
from gateway.errors import ApiError, StartError
from gateway.store.agents import Agents
from gateway.store.approvals import Approvals
from gateway.store.archives import Archives
from gateway.store.attachments import Attachments
from gateway.store.audit import Audit, check_key, shared_key
from gateway.store.builds import Builds
from gateway.store.bus import Bus
from gateway.store.deeds import Recorder
from gateway.store.engine import Database, Tx
from gateway.store.environments import Environments
from gateway.store.files import Files
from gateway.store.keys import Keys, add_default_workspace
from gateway.store.leases import Leases, SoleLeases, take_all
from gateway.store.lock import locked
from gateway.store.log import Log
from gateway.store.members import Members
from gateway.store.outputs import Outputs
from gateway.store.people import People
from gateway.store.policies import PolicySets
from gateway.store.repositories import Repositories
from gateway.store.revision import bring_up
from gateway.store.sandboxes import Sandboxes
from gateway.store.sessions import Sessions
from gateway.store.sqlite import SqliteDatabase
from gateway.store.switches import Switches
from gateway.store.threads import Threads
from gateway.store.turn import SoleTurn
from gateway.store.workspaces import Workspaces

DATABASE = "wharfkeep.db"
"""The file in the data directory."""
AUDIT_TURN = 0x776861726175
"""The advisory lock of whoever delivers the audit trail: an arbitrary number, the same for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Everything durable, and the bus beside it."""

    log: Log
    leases: Leases
    agents: Agents
    environments: Environments
    sessions: Sessions
    threads: Threads
    approvals: Approvals
    sandboxes: Sandboxes
    archives: Archives
    files: Files
    attachments: Attachments
    outputs: Outputs
    repositories: Repositories
    builds: Builds
    workspaces: Workspaces
    people: People
    members: Members
    keys: Keys
    audit: Audit
    policy_sets: PolicySets
    switches: Switches
    bus: Bus[Any]
    close: Callable[[], Awaitable[None]]

    async def aclose(self) -> None:
        """Finish what was begun and let go of files, locks and connections."""
        with anyio.CancelScope(shield=True):
            await self.close()


async def open_store(
    url: str,
    data_dir: Path,
    *,
    clock: Clock,
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
    pool: int = 16,
    serving: bool = True,
    audit_key: bytes | None = None,
    share_key: bool = False,
) -> Store:
    """Open the store, made or migrated first if need be.

    Args:
        url: ``postgresql://...``; empty means SQLite in `data_dir`.
        data_dir: Made if it is missing, readable for its owner only.
        clock: Where ids and instants come from.
        synchronous: SQLite: NORMAL survives a killed process, FULL also a power cut.
        pool: PostgreSQL: connections to work with, beside the one that holds the lock.
        serving: Whether this process will run sessions. Only one such process may have a SQLite
            data directory; others, such as a command that adds a key, may come beside it.
        audit_key: 32 bytes (`gateway.vault.keyfile`); without them no audit record can be written.
        share_key: PostgreSQL: leave `audit_key` in the database for other gateways, or take the one
            that another has left there.

    Raises:
        StartError: The directory or the database cannot be used, or somebody else serves it, or
            the audit trail has another key.
    """
    if url:
        return await _open_postgres(
            url, pool, clock, audit_key, share_key=share_key, serving=serving
        )
    return await _open_sqlite(data_dir, clock, synchronous, audit_key, serving=serving)


def _assemble(  # noqa: PLR0917 - what differs between the two databases, and nothing else
    db: Database,
    leases: Leases,
    bus: Bus[Any],
    clock: Clock,
    audit: Audit,
    close: Callable[[], Awaitable[None]],
) -> Store:
    """The aggregates of one database."""
    recorder = Recorder(db, audit)
    return Store(
        log=Log(db, leases, audit),
        leases=leases,
        agents=Agents(db),
        environments=Environments(db),
        sessions=Sessions(db),
        threads=Threads(db),
        approvals=Approvals(db),
        sandboxes=Sandboxes(db),
        archives=Archives(db),
        files=Files(db),
        attachments=Attachments(db),
        outputs=Outputs(db),
        repositories=Repositories(db),
        builds=Builds(db),
        workspaces=Workspaces(recorder),
        people=People(recorder),
        members=Members(recorder),
        keys=Keys(recorder, clock),
        audit=audit,
        policy_sets=PolicySets(db, audit.key),
        switches=Switches(db, audit.key),
        bus=bus,
        close=close,
    )


async def _open_postgres(
    url: str, pool: int, clock: Clock, audit_key: bytes | None, *, share_key: bool, serving: bool
) -> Store:
    try:
        import psycopg

        from gateway.store.postgres import PostgresDatabase
        from gateway.store.presence import Presence, SharedLeases, SharedTurn
    except ImportError as error:
        raise StartError("PostgreSQL needs psycopg: install wharfkeep[postgres]") from error

    def prepare(tx: Tx) -> bytes | None:
        bring_up(tx)
        add_default_workspace(tx, clock)
        key = audit_key
        if key is not None:
            key = shared_key(tx, key) if share_key else key
            check_key(tx, key)
        return key

    owner = clock.new_id("gtw")
    try:
        async with AsyncExitStack() as opened:
            db = PostgresDatabase(url, pool=pool)
            opened.push_async_callback(db.aclose)
            key = await db.write(prepare)
            turn = SharedTurn(url, AUDIT_TURN)
            opened.push_async_callback(turn.aclose)
            presence = Presence(url, owner=owner, started_at=clock.now())
            opened.push_async_callback(presence.aclose)
            if serving:
                await presence.start()
            close = opened.pop_all().aclose
    except (psycopg.Error, SQLAlchemyError, ApiError) as error:
        raise StartError(f"cannot use the PostgreSQL database: {_one_line(error)}") from error
    bus = Bus[Any](presence.relay if serving else None)
    presence.hear(bus.nudge)
    leases = SharedLeases(db, clock, owner, presence.lost)
    return _assemble(db, leases, bus, clock, Audit(db, key, turn), close)


def _one_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


async def _open_sqlite(
    data_dir: Path,
    clock: Clock,
    synchronous: Literal["NORMAL", "FULL"],
    audit_key: bytes | None,
    *,
    serving: bool,
) -> Store:
    def prepare(tx: Tx) -> None:
        bring_up(tx)
        add_default_workspace(tx, clock)
        if audit_key is not None:
            check_key(tx, audit_key)
        if serving:
            take_all(tx)

    path = data_dir / DATABASE
    try:
        async with AsyncExitStack() as opened:
            await anyio.Path(data_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
            if serving:
                opened.enter_context(locked(data_dir))
            # Sandboxes of other users pass through the directory, so the file keeps itself shut.
            await anyio.Path(path).touch(mode=0o600)
            db = SqliteDatabase(path, synchronous=synchronous)
            opened.push_async_callback(db.aclose)
            await db.write(prepare)
            close = opened.pop_all().aclose
    except OSError as error:
        raise StartError(f"cannot use the data directory {data_dir}: {error.strerror}") from error
    except (sqlite3.Error, SQLAlchemyError, ApiError) as error:
        raise StartError(f"cannot use {path}: {_one_line(error)}") from error
    leases = SoleLeases(db, clock, clock.new_id("gtw"))
    return _assemble(db, leases, Bus[Any](), clock, Audit(db, audit_key, SoleTurn()), close)
