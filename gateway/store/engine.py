"""What a database is to this room: one transaction at a time, off the event loop.

`SqliteDatabase` and `PostgresDatabase` keep the promises of `Database`; everything else in the room
is written once and runs on both. No SQL lives here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from gateway.errors import InvalidRequest

T = TypeVar("T")

Params: TypeAlias = Mapping[str, Any]

DEADLINE = 30.0
"""Seconds a caller waits for its transaction, queueing included."""


class Rows(Protocol):
    """What sqlite3 and psycopg agree on about the result of a statement."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Hot:
    """A statement of the hot path: compiled once for each dialect, then run as plain text.

    It skips SQLAlchemy's types in both directions, so every value must already be what the driver
    takes, and every parameter must be named with `bindparam`.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._texts: dict[str, str] = {}

    def text(self, dialect: Dialect) -> str:
        """The SQL for `dialect`, with named parameters."""
        text = self._texts.get(dialect.name)
        if text is None:
            compiled = self._statement.compile(dialect=dialect)
            assert not any((compiled.params or {}).values()), (
                "a hot statement has a hidden parameter"
            )
            text = self._texts[dialect.name] = compiled.string
        return text


class Tx:
    """One open transaction. It belongs to the function it was given to, and to its thread.

    Args:
        connection: SQLAlchemy's view of the connection, for statements built on the spot.
        raw: The driver's own connection below it.
        dialect: Compiles `Hot` statements; its parameters are named.
    """

    __slots__ = ("_dialect", "_raw", "connection")

    def __init__(self, connection: Connection, raw: Any, dialect: Dialect) -> None:
        self.connection = connection
        self._raw = raw
        self._dialect = dialect

    def execute(self, statement: Executable) -> CursorResult[Any]:
        """Run a SQLAlchemy Core statement."""
        return self.connection.execute(statement)

    def run(self, statement: Hot, params: Params) -> Rows:
        """Run a precompiled statement on the driver."""
        return self._raw.execute(statement.text(self._dialect), params)

    def run_many(self, statement: Hot, params: Sequence[Params]) -> None:
        """Run a precompiled statement once for each of `params`."""
        self._raw.cursor().executemany(statement.text(self._dialect), params)


class Database(Protocol):
    """Runs functions in transactions."""

    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in a transaction of its own and return what it returns, once it is committed.

        `fn` runs on another thread and may run again if the database asks for it, so it must do
        nothing but read and write through its `Tx`. What it raises undoes its writes and comes
        out of here. Cancelling the caller leaves it open whether the transaction happened.

        Raises:
            Overloaded: The database did not answer in `DEADLINE`; the outcome is unknown.
            Internal: The disk is full or failing; nothing was written.
        """
        ...

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` on one consistent snapshot that holds every write finished before the call."""
        ...

    async def aclose(self) -> None:
        """Finish what was begun and close every connection."""
        ...


def unstorable() -> InvalidRequest:
    """The answer to a value no column can hold: a NUL, half a surrogate pair, a huge number."""
    return InvalidRequest("the request holds a character or a number that cannot be stored")
