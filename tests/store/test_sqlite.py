"""SQLite: groups share a commit, failures stay with whoever caused them, a full disk passes."""

import resource
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gateway.errors import Internal, InvalidRequest, Overloaded
from gateway.store.engine import Hot, Tx
from gateway.store.sqlite import SqliteDatabase

ADD = Hot(text("INSERT INTO notes (id, body) VALUES (:id, :body)"))
IDS = Hot(text("SELECT id FROM notes ORDER BY rowid"))


def make_tables(tx: Tx) -> None:
    tx.execute(text("CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, body TEXT)"))
    tx.execute(
        text("CREATE TABLE IF NOT EXISTS marks (note TEXT REFERENCES notes (id))"),
    )


async def opened(path: Path, **options: Any) -> SqliteDatabase:
    db = SqliteDatabase(path, **options)
    await db.write(make_tables)
    return db


@pytest.fixture
async def db(tmp_path: Path) -> AsyncGenerator[SqliteDatabase]:
    db = await opened(tmp_path / "test.db", bound=64)
    yield db
    await db.aclose()


async def add(db: SqliteDatabase, key: str, body: str = "") -> None:
    await db.write(lambda tx: tx.run(ADD, {"id": key, "body": body}).rowcount)


async def keys(db: SqliteDatabase) -> list[str]:
    return await db.read(lambda tx: [row[0] for row in tx.run(IDS, {}).fetchall()])


class Gate:
    """A job that keeps the writer busy, so that what is queued behind it forms one group."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._open = threading.Event()

    def job(self, _tx: Tx) -> None:
        self._reached.set()
        assert self._open.wait(30)

    async def reached(self) -> None:
        assert await anyio.to_thread.run_sync(self._reached.wait, 30)

    def open(self) -> None:
        self._open.set()


async def in_one_group(db: SqliteDatabase, *jobs: Any) -> list[BaseException | None]:
    """Run jobs as one group; what each of them raised."""
    outcomes: list[BaseException | None] = [None] * len(jobs)
    gate = Gate()

    async def submit(number: int) -> None:
        try:
            await db.write(jobs[number])
        except (Internal, IntegrityError, sqlite3.Error, ValueError) as error:
            outcomes[number] = error

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(db.write, gate.job)
            await gate.reached()
            for number in range(len(jobs)):
                tasks.start_soon(submit, number)
            await anyio.wait_all_tasks_blocked()
            gate.open()
    return outcomes


def adding(key: str, body: str = "") -> Callable[[Tx], int]:
    return lambda tx: tx.run(ADD, {"id": key, "body": body}).rowcount


async def test_what_waits_together_is_committed_together_in_order(db: SqliteDatabase):
    statements: list[str] = []

    def trace(tx: Tx) -> None:
        raw: Any = tx.connection.connection.dbapi_connection
        raw.set_trace_callback(statements.append)

    await db.write(trace)
    outcomes = await in_one_group(db, *(adding(f"n{n:02}") for n in range(50)))
    assert outcomes == [None] * 50
    assert await keys(db) == [f"n{n:02}" for n in range(50)]
    # One for the tracing job, one for the gate, one for the fifty.
    assert statements.count("COMMIT") == 3


async def test_a_job_that_fails_in_a_group_undoes_itself_alone(db: SqliteDatabase):
    def fail(tx: Tx) -> None:
        tx.run(ADD, {"id": "half", "body": ""})
        raise ValueError("mine")

    outcomes = await in_one_group(db, adding("one"), fail, adding("one"), adding("two"))
    assert [type(error).__name__ for error in outcomes] == [
        "NoneType",
        "ValueError",
        "IntegrityError",
        "NoneType",
    ]
    assert await keys(db) == ["one", "two"]


async def test_a_commit_that_fails_fails_its_whole_group_and_nothing_after_it(db: SqliteDatabase):
    def orphan(tx: Tx) -> None:
        tx.execute(text("PRAGMA defer_foreign_keys = ON"))
        tx.execute(text("INSERT INTO marks VALUES ('nobody')"))

    outcomes = await in_one_group(db, adding("one"), orphan, adding("two"))
    assert all(isinstance(error, sqlite3.IntegrityError) for error in outcomes)
    assert await keys(db) == []
    await add(db, "three")
    assert await keys(db) == ["three"]


async def test_a_full_database_says_so_and_works_again_once_there_is_room(db: SqliteDatabase):
    await add(db, "before")
    await db.write(lambda tx: tx.execute(text("PRAGMA max_page_count = 20")).rowcount)
    with pytest.raises(Internal, match="is full; free some space"):
        await add(db, "big", "x" * 500_000)
    outcomes = await in_one_group(db, adding("small"), adding("big", "x" * 500_000))
    assert isinstance(outcomes[1], Internal)
    kept = ["before"] if outcomes[0] else ["before", "small"]
    assert await keys(db) == kept
    await db.write(lambda tx: tx.execute(text("PRAGMA max_page_count = 100000")).rowcount)
    await add(db, "big", "x" * 500_000)
    assert await keys(db) == [*kept, "big"]


@contextmanager
def files_limited_to(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_commit_the_file_system_refuses_leaves_the_database_whole(db: SqliteDatabase):
    await add(db, "before")
    with files_limited_to(100_000):
        outcomes = await in_one_group(
            db, *(adding(f"lost{n}", "x" * 50_000) for n in range(4)), adding("lost")
        )
    assert all(isinstance(error, Internal) for error in outcomes)
    await add(db, "after")
    assert await keys(db) == ["before", "after"]
    assert await db.read(lambda tx: tx.execute(text("PRAGMA integrity_check")).scalar()) == "ok"


async def test_a_cancelled_caller_disturbs_nobody(db: SqliteDatabase):
    gate = Gate()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(db.write, gate.job)
            await gate.reached()
            async with anyio.create_task_group() as hasty:
                hasty.start_soon(add, db, "hasty")
                await anyio.wait_all_tasks_blocked()
                hasty.cancel_scope.cancel()
            tasks.start_soon(add, db, "patient")
            await anyio.wait_all_tasks_blocked()
            gate.open()
    assert await keys(db) == ["hasty", "patient"]


async def test_more_callers_than_fit_wait_their_turn(tmp_path: Path):
    db = await opened(tmp_path / "test.db", bound=3)
    outcomes = await in_one_group(db, *(adding(f"n{n}") for n in range(20)))
    assert outcomes == [None] * 20
    assert sorted(await keys(db)) == sorted(f"n{n}" for n in range(20))
    await db.aclose()


async def test_a_caller_does_not_wait_for_ever(tmp_path: Path):
    await (await opened(tmp_path / "test.db")).aclose()
    db = SqliteDatabase(tmp_path / "test.db", deadline=0.05)
    gate = Gate()

    async def hold() -> None:
        with pytest.raises(Overloaded):
            await db.write(gate.job)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await gate.reached()
            with pytest.raises(Overloaded, match="did not answer in time"):
                await add(db, "late")
        gate.open()
    await db.aclose()


async def test_a_reader_sees_one_moment_and_may_not_write(db: SqliteDatabase):
    await add(db, "one")
    with pytest.raises(Internal, match="readonly"):
        await db.read(lambda tx: tx.run(ADD, {"id": "two", "body": ""}).rowcount)
    gate = Gate()

    def look_twice(tx: Tx) -> list[int]:
        count = text("SELECT count(*) FROM notes")
        first = tx.execute(count).scalar_one()
        gate.job(tx)
        return [first, tx.execute(count).scalar_one()]

    seen: list[int] = []

    async def read() -> None:
        seen.extend(await db.read(look_twice))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await gate.reached()
            await add(db, "two")
            gate.open()
    assert seen == [1, 1]
    assert await keys(db) == ["one", "two"]


@pytest.mark.parametrize("value", ["\ud800", 2**70])
async def test_a_value_that_cannot_be_stored_is_the_clients_mistake(
    db: SqliteDatabase, value: object
):
    with pytest.raises(InvalidRequest, match="cannot be stored"):
        await db.write(lambda tx: tx.run(ADD, {"id": value, "body": ""}).rowcount)


async def test_another_process_that_writes_is_waited_for(db: SqliteDatabase, tmp_path: Path):
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO notes VALUES ('other', '')")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(add, db, "ours")
            await anyio.wait_all_tasks_blocked()
            other.execute("COMMIT")
    other.close()
    assert await keys(db) == ["other", "ours"]


async def test_closing_finishes_what_was_queued(tmp_path: Path):
    path = tmp_path / "test.db"
    db = await opened(path)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(add, db, f"n{number}")
            await anyio.wait_all_tasks_blocked()
            await db.aclose()
    again = await opened(path)
    assert len(await keys(again)) == 10
    await again.aclose()
