"""PostgreSQL: transactions that do not fit in run again, broken connections are replaced."""

import threading
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from gateway.errors import InvalidRequest, Overloaded
from gateway.store.engine import Tx
from gateway.store.postgres import PostgresDatabase, connect
from tests.store.places import Place, connected

COUNT = text("SELECT n FROM counters WHERE id = 1")
ADD = text("UPDATE counters SET n = n + 1 WHERE id = 1")


@pytest.fixture
async def db(database: Place) -> AsyncGenerator[PostgresDatabase]:
    db = PostgresDatabase(database.url, pool=3)

    def prepare(tx: Tx) -> None:
        tx.execute(text("CREATE TABLE counters (id integer PRIMARY KEY, n integer NOT NULL)"))
        tx.execute(text("INSERT INTO counters VALUES (1, 0), (2, 0)"))

    await db.write(prepare)
    yield db
    await db.aclose()


def backend(tx: Tx) -> int:
    return tx.execute(text("SELECT pg_backend_pid()")).scalar_one()


def add(tx: Tx) -> None:
    tx.execute(ADD)


async def count(db: PostgresDatabase) -> int:
    return await db.read(lambda tx: tx.execute(COUNT).scalar_one())


async def test_a_transaction_that_raises_is_undone(db: PostgresDatabase):
    def fail(tx: Tx) -> None:
        add(tx)
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest):
        await db.write(fail)
    assert await count(db) == 0


async def test_transactions_that_block_each_other_all_happen_once(db: PostgresDatabase):
    meet = threading.Barrier(2, timeout=20)
    met = threading.Event()

    def cross(first: int, second: int):
        def work(tx: Tx) -> None:
            move = text("UPDATE counters SET n = n + 1 WHERE id = :id")
            tx.execute(move.bindparams(id=first))
            if not met.is_set():
                meet.wait()
                met.set()
            tx.execute(move.bindparams(id=second))

        return work

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(db.write, cross(1, 2))
            tasks.start_soon(db.write, cross(2, 1))
    both = await db.read(lambda tx: tx.execute(text("SELECT n FROM counters")).scalars().all())
    assert list(both) == [2, 2]


async def test_a_transaction_that_never_fits_in_is_given_up(db: PostgresDatabase):
    tries: list[int] = []

    def never(tx: Tx) -> None:
        tries.append(1)
        tx.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$"))

    with pytest.raises(Overloaded):
        await db.write(never)
    assert 1 < len(tries) < 20


async def test_a_connection_that_broke_is_replaced_unnoticed(db: PostgresDatabase, database: Place):
    for broken in (await db.write(backend), await db.read(backend)):
        with connected(database.url) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [broken])
        await db.write(add)
    assert await count(db) == 2


async def test_a_transaction_whose_connection_breaks_runs_once_more_and_counts_once(
    db: PostgresDatabase, database: Place
):
    runs: list[int] = []

    def work(tx: Tx) -> None:
        add(tx)
        runs.append(backend(tx))
        if len(runs) == 1:
            with connected(database.url) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", [runs[0]])
            add(tx)

    await db.write(work)
    assert len(runs) == 2
    assert await count(db) == 1


async def test_more_callers_than_connections_wait_their_turn(db: PostgresDatabase):
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(db.write, add)
    assert await count(db) == 40


async def test_a_cancelled_caller_goes_at_once_and_its_connection_comes_back(
    db: PostgresDatabase,
):
    started = [threading.Event() for _ in range(3)]
    leave = threading.Event()

    def hold(number: int):
        def work(tx: Tx) -> None:
            backend(tx)
            started[number].set()
            assert leave.wait(20)

        return work

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(db.write, hold(number))
            for event in started:
                assert await anyio.to_thread.run_sync(event.wait, 20)
            tasks.cancel_scope.cancel()
        leave.set()
        await db.write(add)
    assert await count(db) == 1


async def test_a_reader_sees_one_moment_and_may_not_write(db: PostgresDatabase):
    loop = anyio.lowlevel.current_token()

    def look_twice(tx: Tx) -> list[int]:
        first = tx.execute(COUNT).scalar_one()
        anyio.from_thread.run(db.write, add, token=loop)
        return [first, tx.execute(COUNT).scalar_one()]

    assert await db.read(look_twice) == [0, 0]
    assert await count(db) == 1
    with pytest.raises(InternalError, match="read-only"):
        await db.read(add)


@pytest.mark.parametrize("value", ["\0", "\ud800", 2**70])
async def test_a_value_that_cannot_be_stored_is_the_clients_mistake(
    db: PostgresDatabase, value: Any
):
    query = text(
        "SELECT CAST(:value AS text)" if isinstance(value, str) else "SELECT CAST(:value AS bigint)"
    )
    with pytest.raises(InvalidRequest, match="cannot be stored"):
        await db.write(lambda tx: tx.execute(query.bindparams(value=value)).scalar())


def test_what_the_url_asks_for_is_kept(database: Place):
    spelled = database.url.replace("postgresql:", "postgresql+psycopg:")
    with connect(f"{spelled}&options=-c%20search_path%3Dmine&application_name=me") as connection:
        assert setting(connection, "search_path") == "mine"
        assert setting(connection, "application_name") == "me"
        assert setting(connection, "statement_timeout") == "30s"


def setting(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return row[0]
