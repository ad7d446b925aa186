"""Every test that asks for `place` or `store` runs on SQLite and on PostgreSQL."""

import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import anyio
import pytest

from gateway.store.store import Store
from tests.store.places import Place, Server, name_of


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Generator[Server]:
    # Not below pytest's own directory: the server's user must be able to get there.
    server = Server(Path(tempfile.mkdtemp(prefix="wharfkeep-postgres-")))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database that already has the tables."""
    place = Place(server.new_database(), tmp_path_factory.mktemp("unused"))

    async def prepare() -> None:
        async with place.open(serving=False):
            pass

    anyio.run(prepare)
    return name_of(place.url)


@pytest.fixture
def directory(tmp_path: Path) -> Place:
    """A data directory for SQLite."""
    return Place("", tmp_path / "data")


@pytest.fixture
def database(server: Server, template: str, tmp_path: Path) -> Generator[Place]:
    """A database of the PostgreSQL server."""
    url = server.new_database(like=template)
    yield Place(url, tmp_path)
    server.drop(url)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    fixture = "directory" if request.param == "sqlite" else "database"
    return request.getfixturevalue(fixture)


@pytest.fixture
async def store(place: Place) -> AsyncGenerator[Store]:
    async with place.open() as store:
        yield store
