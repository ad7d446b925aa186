"""PostgreSQL: a bounded pool of connections and threads, each transaction on one of each.

Writes run at READ COMMITTED on rows they lock themselves; reads see one snapshot each.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from sqlalchemy.exc import DBAPIError

from gateway.errors import Internal, Overloaded
from gateway.store.engine import DEADLINE, Tx, unstorable
from gateway.store.workers import Workers

T = TypeVar("T")

TRIES = 5
"""How often a transaction that PostgreSQL could not fit in is run."""

_GONE = {None, "57P01", "57P02", "57P03", "08000", "08003", "08006"}
"""No answer at all, or the server says that it is going away."""

_DEFAULTS: dict[str, Any] = {
    "application_name": "wharfkeep",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_OPTIONS = (
    f"-c statement_timeout={DEADLINE * 1000:.0f}"
    f" -c idle_in_transaction_session_timeout={DEADLINE * 1000:.0f}"
)

_DIALECT = psycopg_dialect.dialect()


class PostgresDatabase:
    """The `Database` of a PostgreSQL server.

    Args:
        url: What libpq takes: ``postgresql://...``.
        pool: The most connections, and transactions at the same time.
    """

    def __init__(self, url: str, *, pool: int) -> None:
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: connect(url),
            pool_size=pool,
            max_overflow=0,
            pool_timeout=DEADLINE,
        )
        self._snapshots = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._workers = Workers(_serve, count=pool, explain=_explained)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        return await self._workers.submit(partial(_transact, self._engine, fn))

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self._workers.submit(partial(_transact, self._snapshots, fn))

    async def aclose(self) -> None:
        await self._workers.stop()
        await anyio.to_thread.run_sync(self._engine.dispose)


def connect(url: str) -> psycopg.Connection[Any]:
    """Open a connection that notices when the other side is gone, and waits for nothing forever.

    What the URL sets itself is kept.
    """
    # SQLAlchemy's spelling of the scheme is accepted as well.
    given = conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    given["options"] = f"{_OPTIONS} {given.get('options') or ''}"
    return psycopg.connect(**{**_DEFAULTS, **given})  # pyright: ignore[reportArgumentType] - libpq's


def _serve(workers: Workers) -> None:
    """Run one thread's jobs, each in a transaction of its own."""
    while jobs := workers.take(most=1):
        with jobs[0] as job:
            job.result = job.work()
        workers.deliver(jobs)


def _transact(engine: Engine, fn: Callable[[Tx], T]) -> T:
    """Run `fn` until it fits in, a bounded number of times."""
    for _ in range(TRIES - 1):
        attempt = _Attempt()
        try:
            return attempt.run(engine, fn)
        except (DBAPIError, psycopg.Error) as error:
            if not attempt.may_run_again(_cause(error)):
                raise
    return _Attempt().run(engine, fn)


class _Attempt:
    """One run of a transaction."""

    def __init__(self) -> None:
        self._finished = False

    def run(self, engine: Engine, fn: Callable[[Tx], T]) -> T:
        with engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            try:
                with connection.begin():
                    result = fn(Tx(connection, raw, _DIALECT))
                    self._finished = True
                return result
            finally:
                if raw.closed:
                    # SQLAlchemy does not see what happens on the driver's own connection.
                    connection.invalidate()

    def may_run_again(self, error: BaseException) -> bool:
        """Whether nothing was committed, for a reason that may have passed.

        A connection that broke during the commit leaves that open, so it does not qualify.
        """
        if isinstance(error, errors.SerializationFailure | errors.DeadlockDetected):
            return True
        gone = isinstance(error, psycopg.OperationalError) and error.sqlstate in _GONE
        return gone and not self._finished


def _explained(error: BaseException) -> BaseException:
    """Say a failure of the server or of the driver in the gateway's own words, if it has any."""
    cause = _cause(error)
    told = error
    if isinstance(cause, psycopg.DataError | OverflowError | UnicodeEncodeError):
        told = unstorable()
    elif isinstance(cause, errors.DiskFull):
        told = Internal("the disk of the PostgreSQL server is full")
    elif isinstance(cause, psycopg.OperationalError):
        told = Overloaded(f"PostgreSQL does not answer: {str(cause).splitlines()[0]}")
    if told is not error:
        told.__cause__ = error
    return told


def _cause(error: BaseException) -> BaseException:
    """The driver's error below SQLAlchemy's."""
    return error.orig or error if isinstance(error, DBAPIError) else error
