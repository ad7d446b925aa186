"""Bringing a database to the schema this version expects, before anything else touches it."""

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from gateway.errors import StartError
from gateway.store.engine import Tx
from gateway.store.schema import REVISION, metadata

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK_KEY = 0x77686172666B
"""One gateway at a time prepares a PostgreSQL database: an arbitrary number, the same for all."""


def bring_up(tx: Tx) -> None:
    """Make the tables of an empty database, or migrate an older one, inside the transaction.

    Raises:
        StartError: The database was written by a newer version.
    """
    connection = tx.connection
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})"))
    current = _stored(connection)
    if current is None:
        create(connection)
    elif current != REVISION:
        migrate(connection)


def create(connection: Connection) -> None:
    """Make every table in an empty database and stamp it, without importing Alembic."""
    metadata.create_all(connection)
    connection.execute(
        text(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,"
            " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    stamp = text("INSERT INTO alembic_version (version_num) VALUES (:revision)")
    connection.execute(stamp, {"revision": REVISION})


def migrate(connection: Connection) -> None:
    """Run every migration the database has not seen."""
    # Alembic takes a quarter of a second to import, and almost no start needs it.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StartError(f"the database was written by another version: {error}") from error


def look(url: str, file: Path) -> str | None:
    """Return the stored revision and change nothing; None where there is no database yet.

    Args:
        url: ``postgresql://...``; empty means SQLite in `file`.
        file: The SQLite database.

    Raises:
        StartError: The database cannot be read.
    """
    if not url and not file.exists():
        return None
    try:
        if url:
            from gateway.store.postgres import connect

            engine = create_engine(
                "postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool
            )
        else:
            where = f"{file.absolute().as_uri()}?mode=ro"
            engine = create_engine(
                "sqlite://", creator=lambda: sqlite3.connect(where, uri=True), poolclass=NullPool
            )
        with engine.connect() as connection:
            return _stored(connection)
    except (SQLAlchemyError, OSError) as error:
        raise StartError(f"cannot read the database: {str(error).splitlines()[0]}") from error


def _stored(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
