"""Users and service accounts: unique, changed under a lock, gone with all they had."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store.people import PrincipalRow
from gateway.store.store import Store
from tests.store.rows import member, principal, workspace

ROBOT = principal("svac_1", name="deploy", body={"description": "Deploys."})


async def test_a_principal_comes_back_as_it_was_written(store: Store):
    for row in (principal(), ROBOT):
        await store.people.create(row=row)
        assert await store.people.get(kind=row.kind, id=row.id) == row
        assert await store.people.principal(id=row.id) == row
    assert await store.people.principal(id="user_2") is None


async def test_a_user_is_no_robot(store: Store):
    await store.people.create(row=principal())
    with pytest.raises(NotFound, match="service account user_1 not found"):
        await store.people.get(kind="service_account", id="user_1")


async def test_an_address_belongs_to_one_user_at_a_time(store: Store):
    await store.people.create(row=principal())
    other = principal("user_2", email="user_1@example.com")
    with pytest.raises(Conflict, match=r"user_1@example\.com exists already"):
        await store.people.create(row=other)
    await store.people.archive(kind="user", id="user_1", now=5)
    await store.people.create(row=other)


async def test_a_name_belongs_to_one_robot_at_a_time(store: Store):
    refused: list[Conflict] = []

    async def create(row: PrincipalRow) -> None:
        try:
            await store.people.create(row=row)
        except Conflict as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for n in range(4):
            tasks.start_soon(create, replace(ROBOT, id=f"svac_{n}"))
    assert len(refused) == 3
    kept = (await store.people.list(kind="service_account", limit=9)).rows
    await store.people.archive(kind="service_account", id=kept[0].id, now=5)
    await store.people.create(row=replace(ROBOT, id="svac_9"))


async def test_a_change_is_kept_and_an_archived_account_cannot_be_changed(store: Store):
    await store.people.create(row=ROBOT)

    def promote(row: PrincipalRow) -> PrincipalRow:
        return replace(row, role="admin", body={"description": "More."}, updated_at=4)

    changed = await store.people.update(kind="service_account", id="svac_1", change=promote)
    assert (changed.role, changed.updated_at) == ("admin", 4)
    assert await store.people.get(kind="service_account", id="svac_1") == changed
    archived = await store.people.archive(kind="service_account", id="svac_1", now=5, by="user_1")
    assert (archived.archived_at, archived.body["archived_by"]) == (5, "user_1")
    assert await store.people.archive(kind="service_account", id="svac_1", now=6) == archived
    assert await store.people.get(kind="service_account", id="svac_1") == archived
    with pytest.raises(InvalidRequest, match="svac_1 is archived"):
        await store.people.update(kind="service_account", id="svac_1", change=promote)


async def test_a_removed_user_is_gone_for_clients_and_known_to_the_gateway(store: Store):
    await store.workspaces.create(row=workspace())
    await store.people.create(row=principal())
    await store.members.add(kind="user", row=member())
    await store.people.archive(kind="user", id="user_1", now=5)
    with pytest.raises(NotFound, match="user user_1 not found"):
        await store.people.get(kind="user", id="user_1")
    with pytest.raises(NotFound):
        await store.people.archive(kind="user", id="user_1", now=6)
    known = await store.people.principal(id="user_1")
    assert known is not None
    assert known.archived_at == 5
    assert (await store.members.list(kind="user", workspace="wrkspc_2", limit=9)).rows == []
    assert (await store.people.list(kind="user", limit=9)).rows == []


async def test_people_are_listed_by_kind_address_and_role_newest_first(store: Store):
    await store.people.create(row=ROBOT)
    for n, role in enumerate(("developer", "admin", "billing"), 1):
        await store.people.create(row=principal(f"user_{n}", role=role, created_at=n))

    async def listed(**filters: Any) -> list[str]:
        page = await store.people.list(kind="user", limit=9, **filters)
        return [row.id for row in page.rows]

    assert await listed() == ["user_3", "user_2", "user_1"]
    assert await listed(email="user_2@example.com") == ["user_2"]
    assert await listed(roles=("admin", "billing")) == ["user_3", "user_2"]
    first = await store.people.list(kind="user", limit=2)
    rest = await store.people.list(kind="user", limit=2, cursor=first.next)
    assert [row.id for row in first.rows + rest.rows] == ["user_3", "user_2", "user_1"]
    robots = await store.people.list(kind="service_account", limit=9)
    assert [row.id for row in robots.rows] == ["svac_1"]
