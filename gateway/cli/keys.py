"""``wharfkeep keys``: the API keys of a gateway, read and written in its database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import config_option, data_dir_option, in_store, json_option, settings

if TYPE_CHECKING:
    from gateway.store.records import KeyRow
    from gateway.store.store import Store


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command("create")
@click.argument("name", default="default")
@data_dir_option
@config_option
@json_option
def create_key(name: str, data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Create an API key and print it, once.

    Only its SHA-256 is stored. NAME is for people; keys may share one.
    """
    from gateway.clock import SystemClock
    from gateway.keys import digest, hint, new_key

    key = new_key()

    async def create(store: "Store") -> "KeyRow":
        return await store.keys.create(
            workspace=await store.keys.default_workspace(),
            name=name,
            sha256=digest(key),
            hint=hint(key),
            now=SystemClock().now(),
        )

    row = in_store(settings(file, data_dir), create)
    click.echo(json.dumps({**_key_body(row), "key": key}) if as_json else key)
    if not as_json:
        click.echo(f"Keep it: only its hash is stored. Its id is {row.id}.", err=True)


@keys.command("list")
@data_dir_option
@config_option
@json_option
def list_keys(data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """List the API keys, revoked ones too."""

    async def read(store: "Store") -> "list[KeyRow]":
        return await store.keys.list(workspace=await store.keys.default_workspace())

    bodies = [_key_body(row) for row in in_store(settings(file, data_dir), read)]
    if as_json:
        click.echo(json.dumps(bodies))
        return
    for body in bodies:
        state = f"revoked {body['revoked_at']}" if body["revoked_at"] else "active"
        click.echo(f"{body['id']}  ...{body['hint']}  {body['name']:<20}  {state}")


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@data_dir_option
@config_option
@json_option
def revoke_key(key_id: str, data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Revoke an API key.

    ID is the id that `keys list` shows. The key is refused from the next request on.
    """
    from gateway.clock import SystemClock

    async def revoke(store: "Store") -> "KeyRow":
        return await store.keys.revoke(id=key_id, now=SystemClock().now())

    body = _key_body(in_store(settings(file, data_dir), revoke))
    click.echo(json.dumps(body) if as_json else f"Revoked {key_id}.")


def _key_body(row: "KeyRow") -> dict[str, Any]:
    from gateway.clock import rfc3339

    return {
        "id": row.id,
        "name": row.name,
        "hint": row.hint,
        "workspace_id": row.workspace,
        "created_at": rfc3339(row.created_at),
        "revoked_at": rfc3339(row.revoked_at) if row.revoked_at is not None else None,
    }
