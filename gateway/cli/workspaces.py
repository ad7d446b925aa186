"""``wharfkeep workspaces``: workspaces and their members, in the gateway's database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.names import by_hand, find_principal, find_workspace, kind_of, label
from gateway.cli.options import config_option, data_dir_option, in_store, json_option, settings
from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.store.members import MemberRow
    from gateway.store.people import PrincipalRow
    from gateway.store.store import Store
    from gateway.store.workspaces import WorkspaceRow

MOST = 10_000
"""Workspaces or members that are listed at most."""

_ROLES = (
    "workspace_user",
    "workspace_developer",
    "workspace_restricted_developer",
    "workspace_admin",
)


@click.group()
def workspaces() -> None:
    """Create, list and archive workspaces."""


@workspaces.command("create")
@click.argument("name", callback=label)
@data_dir_option
@config_option
@json_option
def create_workspace(name: str, data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """Create a workspace and print its id."""
    from gateway.clock import SystemClock
    from gateway.store.workspaces import WorkspaceRow

    clock = SystemClock()
    made = WorkspaceRow(
        id=clock.new_id("wrkspc"), name=name, body={}, created_at=clock.now(), archived_at=None
    )

    async def create(store: "Store") -> "WorkspaceRow":
        return await store.workspaces.create(row=made, deed=by_hand("created"))

    row = in_store(settings(file, data_dir), create)
    click.echo(json.dumps(_workspace_body(row)) if as_json else row.id)


@workspaces.command("list")
@click.option("--archived", is_flag=True, help="Archived ones too.")
@data_dir_option
@config_option
@json_option
def list_workspaces(
    archived: bool, data_dir: Path | None, file: Path | None, as_json: bool
) -> None:
    """List the workspaces, newest first."""

    async def read(store: "Store") -> "list[WorkspaceRow]":
        page = await store.workspaces.list(
            limit=MOST, include_archived=archived, include_default=True
        )
        return page.rows

    bodies = [_workspace_body(row) for row in in_store(settings(file, data_dir), read)]
    if as_json:
        click.echo(json.dumps(bodies))
        return
    for body in bodies:
        state = f"archived {body['archived_at']}" if body["archived_at"] else "active"
        click.echo(f"{body['id']}  {body['name']:<20}  {state}")


@workspaces.command("archive")
@click.argument("workspace", metavar="NAME")
@data_dir_option
@config_option
@json_option
def archive_workspace(
    workspace: str, data_dir: Path | None, file: Path | None, as_json: bool
) -> None:
    """Archive a workspace and all its keys, for ever.

    NAME is its name or its id.
    """
    from gateway.clock import SystemClock

    async def archive(store: "Store") -> "WorkspaceRow":
        found = await find_workspace(store, workspace)
        return await store.workspaces.archive(
            id=found.id, now=SystemClock().now(), deed=by_hand("archived")
        )

    row = in_store(settings(file, data_dir), archive)
    click.echo(json.dumps(_workspace_body(row)) if as_json else f"Archived {row.id}.")


@workspaces.group("members")
def members() -> None:
    """Add, list and remove the members of a workspace."""


@members.command("add")
@click.argument("workspace", metavar="WORKSPACE")
@click.argument("who", metavar="WHO")
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    default="workspace_developer",
    show_default=True,
    help="In the workspace.",
)
@data_dir_option
@config_option
@json_option
def add_member(  # noqa: PLR0917 - one for each option
    workspace: str, who: str, role: str, data_dir: Path | None, file: Path | None, as_json: bool
) -> None:
    """Make somebody a member, or give a member another role.

    WHO is the e-mail address of a user, the name of a service account, or the id of either.
    """
    from gateway.clock import SystemClock
    from gateway.store.members import MemberRow

    async def add(store: "Store") -> "MemberRow":
        kind, now = kind_of(who), SystemClock().now()
        row = MemberRow(
            workspace=(await find_workspace(store, workspace)).id,
            principal=(await find_principal(store, kind, who)).id,
            role=role,
            created_at=now,
            updated_at=now,
        )
        return await store.members.add(kind=kind, row=row, again=True, deed=by_hand("added"))

    row = in_store(settings(file, data_dir), add)
    shown = f"{row.principal} is {row.role} in {row.workspace}."
    click.echo(json.dumps(_member_body(row)) if as_json else shown)


@members.command("list")
@click.argument("workspace", metavar="WORKSPACE")
@data_dir_option
@config_option
@json_option
def list_members(workspace: str, data_dir: Path | None, file: Path | None, as_json: bool) -> None:
    """List the members of a workspace: users, then service accounts."""

    async def read(store: "Store") -> "list[tuple[MemberRow, PrincipalRow | None]]":
        place = (await find_workspace(store, workspace)).id
        rows: list[MemberRow] = []
        for kind in ("user", "service_account"):
            rows += (await store.members.list(kind=kind, workspace=place, limit=MOST)).rows
        return [(row, await store.people.principal(id=row.principal)) for row in rows]

    found = in_store(settings(file, data_dir), read)
    if as_json:
        click.echo(json.dumps([_member_body(row) for row, _ in found]))
        return
    for row, who in found:
        name = (who.email or who.name) if who is not None else ""
        click.echo(f"{row.principal}  {name:<30}  {row.role}")


@members.command("remove")
@click.argument("workspace", metavar="WORKSPACE")
@click.argument("who", metavar="WHO")
@data_dir_option
@config_option
def remove_member(workspace: str, who: str, data_dir: Path | None, file: Path | None) -> None:
    """End a membership; keys for it open nothing from the next second on."""

    async def remove(store: "Store") -> None:
        kind = kind_of(who)
        place = await find_workspace(store, workspace)
        principal = (await find_principal(store, kind, who)).id
        if not await store.members.remove(
            kind=kind, workspace=place.id, principal=principal, deed=by_hand("removed")
        ):
            raise NotFound(f"{who} is not a member of workspace {place.name}")

    in_store(settings(file, data_dir), remove)
    click.echo(f"Removed {who}.")


def _workspace_body(row: "WorkspaceRow") -> dict[str, Any]:
    from gateway.clock import rfc3339

    return {
        "id": row.id,
        "name": row.name,
        "created_at": rfc3339(row.created_at),
        "archived_at": rfc3339(row.archived_at) if row.archived_at is not None else None,
    }


def _member_body(row: "MemberRow") -> dict[str, Any]:
    return {
        "workspace_id": row.workspace,
        "principal_id": row.principal,
        "workspace_role": row.role,
    }
