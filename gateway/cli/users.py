"""``wharfkeep users``: the users of the organization, in the gateway's database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.names import address, by_hand, find_principal, label
from gateway.cli.options import config_option, data_dir_option, in_store, json_option, settings

if TYPE_CHECKING:
    from gateway.store.people import PrincipalRow
    from gateway.store.store import Store

MOST = 10_000
"""Users that are listed at most."""

_ROLES = ("user", "developer", "billing", "claude_code_user", "admin")


@click.group()
def users() -> None:
    """Create, list and remove users."""


@users.command("create")
@click.argument("email", callback=address)
@click.option("--name", callback=label, help="For people; the address unless given.")
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    default="developer",
    show_default=True,
    help="In the organization.",
)
@data_dir_option
@config_option
@json_option
def create_user(  # noqa: PLR0917 - one for each option
    email: str,
    name: str | None,
    role: str,
    data_dir: Path | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Create a user and print the id.

    A user needs keys to act with: keys create --user EMAIL.
    """
    from gateway.clock import SystemClock
    from gateway.store.people import new_user

    clock = SystemClock()
    made = new_user(id=clock.new_id("user"), email=email, name=name, role=role, now=clock.now())

    async def create(store: "Store") -> "PrincipalRow":
        return await store.people.create(row=made, deed=by_hand("created"))

    row = in_store(settings(file, data_dir), create)
    click.echo(json.dumps(_user_body(row)) if as_json else row.id)


@users.command("list")
@data_dir_option
@config_option
@json_option
def list_users(data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """List the users, newest first."""

    async def read(store: "Store") -> "list[PrincipalRow]":
        return (await store.people.list(kind="user", limit=MOST)).rows

    bodies = [_user_body(row) for row in in_store(settings(file, data_dir), read)]
    if as_json:
        click.echo(json.dumps(bodies))
        return
    for body in bodies:
        click.echo(f"{body['id']}  {body['email']:<30}  {body['role']:<10}  {body['name']}")


@users.command("remove")
@click.argument("user", metavar="EMAIL")
@data_dir_option
@config_option
def remove_user(user: str, data_dir: Path | None, file: Path | None) -> None:
    """Remove a user, with keys and memberships.

    EMAIL is the address or the id.
    """
    from gateway.clock import SystemClock

    async def remove(store: "Store") -> "PrincipalRow":
        found = await find_principal(store, "user", user)
        return await store.people.archive(
            kind="user", id=found.id, now=SystemClock().now(), deed=by_hand("removed")
        )

    row = in_store(settings(file, data_dir), remove)
    click.echo(f"Removed {row.id}.")


def _user_body(row: "PrincipalRow") -> dict[str, Any]:
    from gateway.clock import rfc3339

    return {
        "id": row.id,
        "email": row.email,
        "name": row.name,
        "role": row.role,
        "added_at": rfc3339(row.created_at),
    }
