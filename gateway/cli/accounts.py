"""``wharfkeep service-accounts``: who acts when nobody does, in the gateway's database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.names import by_hand, find_principal, label, slug
from gateway.cli.options import config_option, data_dir_option, in_store, json_option, settings

if TYPE_CHECKING:
    from gateway.store.people import PrincipalRow
    from gateway.store.store import Store

MOST = 10_000
"""Service accounts that are listed at most."""


@click.group("service-accounts")
def accounts() -> None:
    """Create, list and archive service accounts."""


@accounts.command("create")
@click.argument("name", callback=slug)
@click.option("--description", callback=label, help="What it is for.")
@click.option(
    "--role",
    type=click.Choice(("developer", "admin")),
    default="developer",
    show_default=True,
    help="In the organization.",
)
@data_dir_option
@config_option
@json_option
def create_account(  # noqa: PLR0917 - one for each option
    name: str,
    description: str | None,
    role: str,
    data_dir: Path | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Create a service account and print its id.

    It needs keys to act with: keys create --service-account NAME.
    """
    from gateway.clock import SystemClock
    from gateway.store.people import new_account

    clock = SystemClock()
    made = new_account(
        id=clock.new_id("svac"),
        name=name,
        description=description,
        role=role,
        by=None,
        now=clock.now(),
    )

    async def create(store: "Store") -> "PrincipalRow":
        return await store.people.create(row=made, deed=by_hand("created"))

    row = in_store(settings(file, data_dir), create)
    click.echo(json.dumps(_account_body(row)) if as_json else row.id)


@accounts.command("list")
@click.option("--archived", is_flag=True, help="Archived ones too.")
@data_dir_option
@config_option
@json_option
def list_accounts(archived: bool, data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """List the service accounts, newest first."""

    async def read(store: "Store") -> "list[PrincipalRow]":
        page = await store.people.list(
            kind="service_account", limit=MOST, include_archived=archived
        )
        return page.rows

    bodies = [_account_body(row) for row in in_store(settings(file, data_dir), read)]
    if as_json:
        click.echo(json.dumps(bodies))
        return
    for body in bodies:
        state = f"archived {body['archived_at']}" if body["archived_at"] else "active"
        click.echo(f"{body['id']}  {body['name']:<20}  {body['organization_role']:<9}  {state}")


@accounts.command("archive")
@click.argument("account", metavar="NAME")
@data_dir_option
@config_option
@json_option
def archive_account(account: str, data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Archive a service account, with keys and memberships.

    NAME is its name or its id.
    """
    from gateway.clock import SystemClock

    async def archive(store: "Store") -> "PrincipalRow":
        found = await find_principal(store, "service_account", account)
        return await store.people.archive(
            kind="service_account",
            id=found.id,
            now=SystemClock().now(),
            deed=by_hand("archived"),
        )

    row = in_store(settings(file, data_dir), archive)
    click.echo(json.dumps(_account_body(row)) if as_json else f"Archived {row.id}.")


def _account_body(row: "PrincipalRow") -> dict[str, Any]:
    from gateway.clock import rfc3339

    return {
        "id": row.id,
        "name": row.name,
        "description": row.body.get("description"),
        "organization_role": row.role,
        "created_at": rfc3339(row.created_at),
        "archived_at": rfc3339(row.archived_at) if row.archived_at is not None else None,
    }
