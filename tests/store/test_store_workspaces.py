"""Workspaces and who works in them."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store.store import Store
from gateway.store.workspaces import WorkspaceRow
from tests.store.rows import member, principal, workspace


def rename(row: WorkspaceRow) -> WorkspaceRow:
    return replace(row, name="new", body={"tags": {"team": "söze"}})


async def test_a_workspace_comes_back_as_it_was_written(store: Store):
    row = workspace(body={"display_color": "#000000"})
    await store.workspaces.create(row=row)
    assert await store.workspaces.get(id="wrkspc_2") == row
    with pytest.raises(NotFound, match="workspace wrkspc_3 not found"):
        await store.workspaces.get(id="wrkspc_3")


async def test_a_workspace_name_is_taken_for_ever(store: Store):
    await store.workspaces.create(row=workspace())
    await store.workspaces.create(row=workspace("wrkspc_3"))
    await store.workspaces.archive(id="wrkspc_2", now=5)
    with pytest.raises(Conflict, match="name of wrkspc_2"):
        await store.workspaces.create(row=workspace("wrkspc_4", name="name of wrkspc_2"))
    with pytest.raises(Conflict, match="name: "):
        await store.workspaces.update(
            id="wrkspc_3", change=lambda row: replace(row, name="name of wrkspc_2")
        )


async def test_a_workspace_is_changed_until_it_is_archived(store: Store):
    await store.workspaces.create(row=workspace())
    changed = await store.workspaces.update(id="wrkspc_2", change=rename)
    assert await store.workspaces.get(id="wrkspc_2") == changed
    assert changed.body == {"tags": {"team": "söze"}}
    archived = await store.workspaces.archive(id="wrkspc_2", now=5)
    assert archived.archived_at == 5
    assert await store.workspaces.archive(id="wrkspc_2", now=6) == archived
    with pytest.raises(InvalidRequest, match="wrkspc_2 is archived"):
        await store.workspaces.update(id="wrkspc_2", change=rename)


async def test_the_default_workspace_keeps_its_name_and_is_never_archived(store: Store):
    default = await store.keys.default_workspace()
    with pytest.raises(InvalidRequest, match="default workspace keeps its name"):
        await store.workspaces.update(id=default, change=rename)
    with pytest.raises(InvalidRequest, match="default workspace cannot be archived"):
        await store.workspaces.archive(id=default, now=5)
    tagged = await store.workspaces.update(
        id=default, change=lambda row: replace(row, body={"tags": {}})
    )
    assert tagged.default


async def test_archived_ones_and_the_default_are_listed_on_request(store: Store):
    default = await store.keys.default_workspace()
    for n in (2, 3):
        await store.workspaces.create(row=workspace(f"wrkspc_{n}", created_at=n))
    await store.workspaces.archive(id="wrkspc_2", now=5)

    async def listed(**filters: Any) -> list[str]:
        return [row.id for row in (await store.workspaces.list(limit=9, **filters)).rows]

    assert await listed() == ["wrkspc_3"]
    assert await listed(include_archived=True) == ["wrkspc_3", "wrkspc_2"]
    assert await listed(include_default=True) == [default, "wrkspc_3"]
    some = await store.workspaces.list(limit=9, ids=["wrkspc_2", "wrkspc_3", default])
    assert [row.id for row in some.rows] == ["wrkspc_3"]


async def test_a_member_is_added_once_changed_and_removed(store: Store):
    await store.workspaces.create(row=workspace())
    await store.people.create(row=principal())
    row = await store.members.add(kind="user", row=member())
    assert await store.members.get(kind="user", workspace="wrkspc_2", principal="user_1") == row
    with pytest.raises(Conflict, match="member of workspace wrkspc_2 already"):
        await store.members.add(kind="user", row=member())
    again = await store.members.add(kind="user", row=member(role="workspace_user"), again=True)
    assert again.role == "workspace_user"
    place: dict[str, Any] = {"workspace": "wrkspc_2", "principal": "user_1"}
    changed = await store.members.change(kind="user", role="workspace_admin", now=7, **place)
    assert (changed.role, changed.created_at, changed.updated_at) == ("workspace_admin", 1, 7)
    assert await store.members.remove(kind="user", **place)
    assert not await store.members.remove(kind="user", **place)
    with pytest.raises(NotFound, match="user_1 is not a member"):
        await store.members.get(kind="user", **place)
    with pytest.raises(NotFound, match="user_1 is not a member"):
        await store.members.change(kind="user", role="workspace_user", now=8, **place)


async def test_users_and_accounts_are_members_side_by_side(store: Store):
    await store.workspaces.create(row=workspace())
    await store.workspaces.create(row=workspace("wrkspc_3"))
    for n, kind in enumerate(("user", "service_account"), 1):
        await store.people.create(row=principal({"user": "user_1"}.get(kind, "svac_1")))
        identity = "user_1" if kind == "user" else "svac_1"
        await store.members.add(kind=kind, row=member(identity, created_at=n))
    await store.members.add(
        kind="service_account", row=member("svac_1", workspace="wrkspc_3", created_at=9)
    )
    users = await store.members.list(kind="user", workspace="wrkspc_2", limit=9)
    robots = await store.members.list(kind="service_account", workspace="wrkspc_2", limit=9)
    assert [row.principal for row in users.rows] == ["user_1"]
    assert [row.principal for row in robots.rows] == ["svac_1"]
    first = await store.members.of(principal="svac_1", limit=1)
    rest = await store.members.of(principal="svac_1", limit=1, cursor=first.next)
    assert [row.workspace for row in first.rows + rest.rows] == ["wrkspc_3", "wrkspc_2"]
    with pytest.raises(NotFound):
        await store.members.get(kind="user", workspace="wrkspc_2", principal="svac_1")


async def test_only_who_is_there_becomes_a_member_of_what_is_there(store: Store):
    with pytest.raises(NotFound, match="workspace wrkspc_2"):
        await store.members.add(kind="user", row=member())
    await store.workspaces.create(row=workspace())
    with pytest.raises(NotFound, match="user user_1"):
        await store.members.add(kind="user", row=member())
    await store.people.create(row=principal("svac_1"))
    await store.people.archive(kind="service_account", id="svac_1", now=5)
    with pytest.raises(InvalidRequest, match="svac_1 is archived"):
        await store.members.add(kind="service_account", row=member("svac_1"))
    await store.people.create(row=principal())
    await store.members.add(kind="user", row=member())
    await store.workspaces.archive(id="wrkspc_2", now=5)
    for change in (
        store.members.add(kind="user", row=member()),
        store.members.remove(kind="user", workspace="wrkspc_2", principal="user_1"),
    ):
        with pytest.raises(InvalidRequest, match="wrkspc_2 is archived"):
            await change
