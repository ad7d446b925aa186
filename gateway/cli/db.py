"""``wharfkeep db``: the schema of the database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import config_option, data_dir_option, in_store, json_option, settings

if TYPE_CHECKING:
    from gateway.store.store import Store


@click.group()
def db() -> None:
    """Look after the database's schema."""


@db.command("current")
@data_dir_option
@config_option
@json_option
def current_revision(data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Print the stored and the expected revision."""
    config = settings(file, data_dir)

    from gateway.store.revision import look
    from gateway.store.schema import REVISION
    from gateway.store.store import DATABASE

    found = look(config.store.url, config.data_dir / DATABASE)
    if as_json:
        click.echo(json.dumps({"stored": found, "expected": REVISION}))
    else:
        click.echo(f"stored {found or 'none'}\nexpected {REVISION}")


@db.command("upgrade")
@data_dir_option
@config_option
def upgrade_schema(data_dir: Path | None, file: Path | None) -> None:
    """Bring the schema to the expected revision.

    `serve` does the same when it starts.
    """

    async def nothing_more(_store: "Store") -> None: ...

    in_store(settings(file, data_dir), nothing_more)
