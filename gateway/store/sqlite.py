"""SQLite: one thread that writes, one that reads, each with a connection of its own.

The writer commits whatever waits for it as one transaction (group commit), each job inside a
savepoint, so that the cost of a commit is shared and a job that fails undoes itself alone.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from sqlalchemy import StaticPool, create_engine
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import DBAPIError

from gateway.errors import Internal, Overloaded
from gateway.store.engine import DEADLINE, Tx, unstorable
from gateway.store.workers import BOUND, Job, Outcome, Workers

T = TypeVar("T")

GROUP = 256
"""Jobs that share one commit."""
BUSY_SECONDS = 5.0
"""How long to wait for another process that writes to the same file."""

_DIALECT = sqlite_dialect.dialect(paramstyle="named")


class SqliteDatabase:
    """The `Database` in one file, made with the first transaction.

    Args:
        path: The file.
        synchronous: NORMAL survives a killed process, FULL also a power cut.
        bound: How many jobs may wait for a thread.
        deadline: How many seconds a caller waits.
    """

    def __init__(
        self,
        path: Path,
        *,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        bound: int = BOUND,
        deadline: float = DEADLINE,
    ) -> None:
        def workers(*, writes: bool) -> Workers:
            serve = partial(_serve, path, synchronous, writes=writes)
            return Workers(serve, count=1, explain=_explained, bound=bound, deadline=deadline)

        self._writer = workers(writes=True)
        self._reader = workers(writes=False)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        return await self._writer.submit(fn)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self._reader.submit(fn)

    async def aclose(self) -> None:
        await self._reader.stop()
        await self._writer.stop()


def _serve(path: Path, synchronous: str, workers: Workers, *, writes: bool) -> None:
    """Run one thread's jobs on its connection."""
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
    with closing(_connect(path, synchronous, writes=writes)) as raw:
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        tx = Tx(connection, raw, _DIALECT)
        while group := workers.take(GROUP):
            _commit(group, begin, raw, tx)
            workers.deliver(group)
        connection.close()
        engine.dispose()


def _connect(path: Path, synchronous: str, *, writes: bool) -> sqlite3.Connection:
    raw = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute(f"PRAGMA synchronous = {synchronous}")
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA journal_size_limit = 67108864")
    raw.execute("PRAGMA cache_size = -16384")
    raw.execute(f"PRAGMA query_only = {not writes}")
    return raw


def _commit(group: list[Job], begin: str, raw: sqlite3.Connection, tx: Tx) -> None:
    outcome = Outcome()
    with outcome:
        raw.execute(begin)
        for job in group:
            _run_in_savepoint(job, raw, tx)
        raw.execute("COMMIT")
    if outcome.error is not None:
        with suppress(sqlite3.Error):
            # Most failures have ended the transaction already.
            raw.execute("ROLLBACK")
        for job in group:
            job.error = job.error or outcome.error


def _run_in_savepoint(job: Job, raw: sqlite3.Connection, tx: Tx) -> None:
    raw.execute("SAVEPOINT job")
    with job:
        job.result = job.work(tx)
    if job.error is not None:
        if not raw.in_transaction:
            # A full disk makes SQLite give up the whole transaction, not one statement.
            raise job.error
        raw.execute("ROLLBACK TO job")
    raw.execute("RELEASE job")


def _explained(error: BaseException) -> BaseException:
    """Say a failure of the disk or of the driver in the gateway's own words."""
    told = error
    if isinstance(error, DBAPIError):
        error = error.orig or error
    if isinstance(error, (OverflowError, UnicodeEncodeError)):
        told = unstorable()
    elif isinstance(error, sqlite3.OperationalError):
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_FULL:
            told = Internal("the disk that holds the data directory is full; free some space")
        elif code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            told = Overloaded("another process keeps the database busy")
        elif code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
            told = Internal(f"the data directory cannot be used: {error}")
    if told is not error:
        told.__cause__ = error
    return told
