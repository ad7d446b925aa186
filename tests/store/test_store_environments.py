"""Environments: live names are unique, one that is in use stays."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from gateway.errors import Conflict, NotFound
from gateway.store.records import EnvironmentRow, Head
from gateway.store.store import Store
from tests.store.rows import WORKSPACE, add_session, environment

ENVIRONMENT: dict[str, Any] = {"workspace": WORKSPACE, "id": "env_1"}


async def test_an_environment_comes_back_as_it_was_written(store: Store):
    row = environment(name="caf\u00e9 \0 \ud800", body={"config": {"type": "cloud"}})
    await store.environments.create(row=row)
    assert await store.environments.get(**ENVIRONMENT) == row


async def test_a_live_name_is_taken_in_its_workspace_only(store: Store):
    await store.environments.create(row=environment(name="same"))
    with pytest.raises(Conflict, match="'same'"):
        await store.environments.create(row=environment("env_2", name="same"))
    elsewhere = environment("env_3", name="same", workspace="wrkspc_2")
    await store.environments.create(row=elsewhere)
    await store.environments.archive(**ENVIRONMENT, now=5)
    await store.environments.create(row=environment("env_2", name="same"))


async def test_of_those_who_take_one_name_at_the_same_time_one_gets_it(store: Store):
    made: list[str] = []

    async def create(identity: str) -> None:
        try:
            await store.environments.create(row=environment(identity, name="same"))
        except Conflict:
            return
        made.append(identity)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(create, f"env_{number}")
    listed = await store.environments.list(workspace=WORKSPACE, limit=100)
    assert [row.id for row in listed.rows] == made


async def test_an_update_may_rename(store: Store):
    await store.environments.create(row=environment(name="old"))
    await store.environments.create(row=environment("env_2", name="taken"))

    def rename(name: str) -> Callable[[EnvironmentRow], dict[str, Any]]:
        return lambda row: {**row.body, "name": name}

    updated = await store.environments.update(**ENVIRONMENT, now=5, change=rename("new"))
    assert (updated.name, updated.body["name"], updated.updated_at) == ("new", "new", 5)
    with pytest.raises(Conflict):
        await store.environments.update(**ENVIRONMENT, now=6, change=rename("taken"))
    same = await store.environments.update(**ENVIRONMENT, now=7, change=lambda _row: None)
    assert same == updated == await store.environments.get(**ENVIRONMENT)


async def test_archiving_twice_keeps_the_first_time(store: Store):
    await store.environments.create(row=environment())
    assert (await store.environments.archive(**ENVIRONMENT, now=5)).archived_at == 5
    assert (await store.environments.archive(**ENVIRONMENT, now=9)).archived_at == 5


async def test_an_environment_stays_while_a_session_that_has_not_ended_uses_it(store: Store):
    await store.environments.create(row=environment())
    await add_session(store, "sesn_1", head=Head(status="terminated"))
    await add_session(store, "sesn_2")
    with pytest.raises(Conflict, match="env_1 is used"):
        await store.environments.delete(**ENVIRONMENT)
    await store.sessions.delete(workspace=WORKSPACE, id="sesn_2", now=90, check=lambda _found: None)
    await store.environments.archive(**ENVIRONMENT, now=5)
    await store.environments.delete(**ENVIRONMENT)
    with pytest.raises(NotFound):
        await store.environments.get(**ENVIRONMENT)


@pytest.mark.parametrize(("name", "workspace"), [("env_2", WORKSPACE), ("env_1", "wrkspc_2")])
async def test_an_environment_of_another_workspace_is_like_none_at_all(
    store: Store, name: str, workspace: str
):
    await store.environments.create(row=environment())
    where: dict[str, Any] = {"workspace": workspace, "id": name}

    def change(row: EnvironmentRow) -> dict[str, Any]:
        return row.body

    for call in (
        store.environments.get(**where),
        store.environments.update(**where, now=1, change=change),
        store.environments.archive(**where, now=1),
        store.environments.delete(**where),
    ):
        with pytest.raises(NotFound, match=name):
            await call


async def test_environments_are_listed_newest_first_without_archived_ones(store: Store):
    for number in range(3):
        await store.environments.create(row=environment(f"env_{number}", created_at=number))
    await store.environments.archive(workspace=WORKSPACE, id="env_1", now=9)
    page = await store.environments.list(workspace=WORKSPACE, limit=1)
    assert [row.id for row in page.rows] == ["env_2"]
    rest = await store.environments.list(workspace=WORKSPACE, limit=9, cursor=page.next)
    assert [row.id for row in rest.rows] == ["env_0"]
    every = await store.environments.list(workspace=WORKSPACE, limit=9, include_archived=True)
    assert [row.id for row in every.rows] == ["env_2", "env_1", "env_0"]
