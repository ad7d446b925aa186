"""``wharfkeep keys``: the API keys of a gateway, read and written in its database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.names import by_hand, find_principal, find_workspace, label, span
from gateway.cli.options import config_option, data_dir_option, in_store, json_option, settings

if TYPE_CHECKING:
    from gateway.store.keys import KeyRow
    from gateway.store.store import Store


@click.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command("create")
@click.argument("name", default="default", callback=label)
@click.option("--workspace", metavar="NAME", help="Its workspace: a name or an id.")
@click.option("--organization", is_flag=True, help="For the organization: it may work anywhere.")
@click.option("--user", metavar="EMAIL", help="The user who acts with it: an address or an id.")
@click.option("--service-account", metavar="NAME", help="Or the service account: a name or an id.")
@click.option("--scope", "scope", multiple=True, help="What it may do; may be given repeatedly.")
@click.option("--expires-in", metavar="TIME", callback=span, help="Such as 90d or 12h.")
@data_dir_option
@config_option
@json_option
def create_key(  # noqa: PLR0917 - one for each option
    name: str,
    workspace: str | None,
    organization: bool,
    user: str | None,
    service_account: str | None,
    scope: tuple[str, ...],
    expires_in: int | None,
    data_dir: Path | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Create an API key and print it, once.

    Only its SHA-256 is stored. NAME is for people; keys may share one. Without a scope the key may
    do everything in its workspace; docs/how-to/people.md lists the scopes.
    """
    from gateway.api.scopes import parse
    from gateway.clock import SystemClock
    from gateway.keys import digest, hint, new_key

    if organization and workspace:
        raise click.UsageError("--organization and --workspace exclude each other")
    if user and service_account:
        raise click.UsageError("--user and --service-account exclude each other")
    key, now = new_key(), SystemClock().now()
    scopes = parse(scope) if scope else None

    async def create(store: "Store") -> "KeyRow":
        principal = None
        if user:
            principal = await find_principal(store, "user", user)
        if service_account:
            principal = await find_principal(store, "service_account", service_account)
        return await store.keys.create(
            workspace=(await find_workspace(store, workspace or "default")).id,
            name=name,
            sha256=digest(key),
            hint=hint(key),
            now=now,
            principal=principal and principal.id,
            scopes=scopes,
            organization=organization,
            expires_at=None if expires_in is None else now + expires_in * 1_000_000,
            deed=by_hand("created"),
        )

    row = in_store(settings(file, data_dir), create)
    click.echo(json.dumps({**_key_body(row), "key": key}) if as_json else key)
    if not as_json:
        click.echo(f"Keep it: only its hash is stored. Its id is {row.id}.", err=True)


@keys.command("list")
@click.option("--workspace", metavar="NAME", help="Only its keys: a name or an id.")
@data_dir_option
@config_option
@json_option
def list_keys(
    workspace: str | None, data_dir: Path | None, file: Path | None, as_json: bool
) -> None:
    """List the API keys, oldest first, revoked ones too."""

    async def read(store: "Store") -> "list[KeyRow]":
        place = (await find_workspace(store, workspace)).id if workspace else None
        return await store.keys.list(workspace=place)

    bodies = [_key_body(row) for row in in_store(settings(file, data_dir), read)]
    if as_json:
        click.echo(json.dumps(bodies))
        return
    for body in bodies:
        place = "organization" if body["organization"] else body["workspace_id"]
        state = f"revoked {body['revoked_at']}" if body["revoked_at"] else body["status"]
        who = body["principal_id"] or "-"
        click.echo(f"{body['id']}  ...{body['hint']}  {body['name']:<20}  {state}  {place}  {who}")


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@data_dir_option
@config_option
@json_option
def revoke_key(key_id: str, data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Revoke an API key.

    ID is the id that `keys list` shows. The key is refused from the next second on.
    """
    from gateway.clock import SystemClock

    async def revoke(store: "Store") -> "KeyRow":
        return await store.keys.revoke(id=key_id, now=SystemClock().now(), deed=by_hand("archived"))

    body = _key_body(in_store(settings(file, data_dir), revoke))
    click.echo(json.dumps(body) if as_json else f"Revoked {key_id}.")


def _key_body(row: "KeyRow") -> dict[str, Any]:
    from gateway.clock import SystemClock, rfc3339

    return {
        "id": row.id,
        "name": row.name,
        "hint": row.hint,
        "status": row.status(SystemClock().now()),
        "workspace_id": row.workspace,
        "organization": row.organization,
        "principal_id": row.principal,
        "scopes": None if row.scopes is None else sorted(row.scopes),
        "created_by": row.created_by,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at) if row.expires_at is not None else None,
        "revoked_at": rfc3339(row.revoked_at) if row.revoked_at is not None else None,
    }
