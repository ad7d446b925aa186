"""A migrated database is the same as a new one, on both, and a newer one is refused."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from gateway.errors import StartError
from gateway.store import revision
from gateway.store.schema import REVISION
from tests.store.places import Place, Server, connected
from tests.store.rows import add_session

ROOT = Path(__file__).parents[2]

SQLITE_SCHEMA = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY name"
SQLITE_COLUMNS = (
    'SELECT t.name, c.name, c.type, c."notnull", c.pk, c.dflt_value'
    " FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY 1, 2"
)
SQLITE_INDEXES = (
    'SELECT t.name, i.name, i."unique", i.origin, i.partial, c.seqno, c.name'
    " FROM sqlite_master t, pragma_index_list(t.name) i, pragma_index_info(i.name) c"
    " WHERE t.type = 'table' ORDER BY 1, 2, 6"
)
SQLITE_KEYS = (
    "SELECT t.name, k.* FROM sqlite_master t, pragma_foreign_key_list(t.name) k ORDER BY 1, 2, 3"
)
SQLITE_PARTIAL = "SELECT name, sql FROM sqlite_master WHERE sql LIKE '%WHERE%' ORDER BY name"
POSTGRES_COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
)
POSTGRES_INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
POSTGRES_CONSTRAINTS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
)


def made_by(make: Callable[[Connection], None], url: str, questions: list[str]) -> list[object]:
    """Make the schema in an empty database and describe it."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        make(connection)
        stamp = "SELECT version_num FROM alembic_version"
        return [list(connection.execute(text(question))) for question in [stamp, *questions]]


def test_a_migrated_sqlite_database_equals_a_new_one(tmp_path: Path):
    questions = [SQLITE_SCHEMA, SQLITE_COLUMNS, SQLITE_INDEXES, SQLITE_KEYS, SQLITE_PARTIAL]
    new = made_by(revision.create, f"sqlite:///{tmp_path}/new.db", questions)
    migrated = made_by(revision.migrate, f"sqlite:///{tmp_path}/migrated.db", questions)
    assert migrated == new
    assert new[0] == [(REVISION,)]


def test_a_migrated_postgresql_database_equals_a_new_one(server: Server):
    questions = [POSTGRES_COLUMNS, POSTGRES_INDEXES, POSTGRES_CONSTRAINTS]
    urls = [server.new_database() for _ in range(2)]
    made = [
        made_by(make, url.replace("postgresql:", "postgresql+psycopg:"), questions)
        for make, url in zip([revision.create, revision.migrate], urls, strict=True)
    ]
    for url in urls:
        server.drop(url)
    assert made[0] == made[1]
    assert made[0][0] == [(REVISION,)]


async def test_a_database_keeps_what_is_in_it_when_it_is_opened_again(place: Place):
    async with place.open() as store:
        row = await add_session(store)
        workspace = await store.keys.default_workspace()
    async with place.open() as store:
        assert await store.sessions.get(workspace=row.workspace, id=row.id) == row
        assert await store.keys.default_workspace() == workspace


@pytest.fixture
def stamp(place: Place) -> Callable[[str], None]:
    """Write another revision into the database, as another version would have."""
    statement = "UPDATE alembic_version SET version_num = '{}'"

    def change(number: str) -> None:
        if place.url:
            with connected(place.url) as connection:
                connection.execute(statement.format(number).encode())
            return
        connection = sqlite3.connect(place.data_dir / "wharfkeep.db")
        with connection:
            connection.execute(statement.format(number))
        connection.close()

    return change


async def test_a_database_of_a_newer_version_is_refused_untouched(
    place: Place, stamp: Callable[[str], None]
):
    async with place.open():
        pass
    stamp("9999")
    with pytest.raises(StartError, match=r"written by another version.*9999"):
        await place.start()
    stamp(REVISION)
    async with place.open():
        pass


def test_opening_a_new_or_a_current_database_does_not_import_alembic(tmp_path: Path):
    code = (
        "import sys, anyio; from pathlib import Path; from tests.store.places import Place\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        "        async with Place('', Path(sys.argv[1])).open(): pass\n"
        "anyio.run(main)\n"
        "sys.exit('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, timeout=60, check=True)


async def test_looking_tells_the_stored_revision_and_makes_nothing(place: Place):
    odd = Place(place.url, place.data_dir / "50% sure?")
    file = odd.data_dir / "wharfkeep.db"
    if not odd.url:
        assert revision.look("", file) is None
        assert not odd.data_dir.exists()
    async with odd.open():
        assert revision.look(odd.url, file) == REVISION
    assert revision.look(odd.url, file) == REVISION
