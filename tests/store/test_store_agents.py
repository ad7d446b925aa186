"""Agents: every version is kept, lists are newest first, pages go on where the last one ended."""

from typing import Any

import anyio
import pytest

from gateway.errors import InvalidRequest, NotFound
from gateway.store.records import AgentRow, Cursor
from gateway.store.store import Store
from tests.store.rows import WORKSPACE, agent

AGENT: dict[str, Any] = {"workspace": WORKSPACE, "id": "agent_1"}


async def test_an_agent_comes_back_as_it_was_written(store: Store):
    row = agent(body={"name": "caf\u00e9 \0 \ud800", "tools": [{"a": None}]}, updated_at=1)
    await store.agents.create(row=row)
    assert await store.agents.get(**AGENT) == row
    assert await store.agents.get(**AGENT, version=1) == row


@pytest.mark.parametrize(("name", "workspace"), [("agent_2", WORKSPACE), ("agent_1", "wrkspc_2")])
async def test_an_agent_of_another_workspace_is_like_none_at_all(
    store: Store, name: str, workspace: str
):
    await store.agents.create(row=agent())
    where: dict[str, Any] = {"workspace": workspace, "id": name}
    for call in (
        store.agents.get(**where),
        store.agents.update(**where, now=1, change=lambda _row: {}),
        store.agents.archive(**where, now=1),
        store.agents.versions(**where, limit=1),
    ):
        with pytest.raises(NotFound, match=name):
            await call


async def test_an_update_makes_a_version_and_keeps_the_old_ones(store: Store):
    await store.agents.create(row=agent())
    updated = await store.agents.update(**AGENT, now=5, change=lambda row: {**row.body, "x": 1})
    assert (updated.version, updated.created_at, updated.updated_at) == (2, 1, 5)
    assert updated.body == {"name": "Primes", "x": 1}
    assert await store.agents.get(**AGENT) == updated
    assert (await store.agents.get(**AGENT, version=1)).body == {"name": "Primes"}
    with pytest.raises(NotFound, match="version 3 of agent agent_1"):
        await store.agents.get(**AGENT, version=3)


async def test_an_update_that_changes_nothing_makes_no_version(store: Store):
    await store.agents.create(row=agent())
    assert await store.agents.update(**AGENT, now=5, change=lambda _row: None) == agent()


async def test_a_refused_update_leaves_the_agent_alone(store: Store):
    await store.agents.create(row=agent())

    def refuse(row: AgentRow) -> dict[str, Any]:
        raise InvalidRequest(f"version {row.version}")

    with pytest.raises(InvalidRequest, match="version 1"):
        await store.agents.update(**AGENT, now=5, change=refuse)
    assert await store.agents.get(**AGENT) == agent()


async def test_updates_at_the_same_time_follow_each_other(store: Store):
    await store.agents.create(row=agent(body={"n": 0}))

    async def add_one() -> None:
        await store.agents.update(**AGENT, now=5, change=lambda row: {"n": row.body["n"] + 1})

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(add_one)
    last = await store.agents.get(**AGENT)
    assert (last.version, last.body) == (11, {"n": 10})


async def test_archiving_twice_keeps_the_first_time(store: Store):
    await store.agents.create(row=agent())
    assert (await store.agents.archive(**AGENT, now=5)).archived_at == 5
    assert (await store.agents.archive(**AGENT, now=9)).archived_at == 5


async def test_agents_are_listed_newest_first_page_by_page(store: Store):
    for number in range(5):
        await store.agents.create(row=agent(f"agent_{number}", created_at=number // 2))
    await store.agents.create(row=agent("agent_other", workspace="wrkspc_2"))
    pages: list[list[str]] = []
    cursor: Cursor | None = None
    while cursor or not pages:
        page = await store.agents.list(workspace=WORKSPACE, limit=2, cursor=cursor)
        pages.append([row.id for row in page.rows])
        cursor = page.next
    assert pages == [["agent_4", "agent_3"], ["agent_2", "agent_1"], ["agent_0"]]


async def test_a_list_leaves_out_archived_agents_and_those_outside_the_bounds(store: Store):
    for number in range(4):
        await store.agents.create(row=agent(f"agent_{number}", created_at=number))
    await store.agents.archive(workspace=WORKSPACE, id="agent_2", now=9)

    async def listed(**filters: Any) -> list[str]:
        page = await store.agents.list(workspace=WORKSPACE, limit=9, **filters)
        return [row.id for row in page.rows]

    assert await listed() == ["agent_3", "agent_1", "agent_0"]
    assert await listed(include_archived=True, created_gte=2) == ["agent_3", "agent_2"]
    assert await listed(created_lte=1) == ["agent_1", "agent_0"]


async def test_versions_are_listed_newest_first_page_by_page(store: Store):
    await store.agents.create(row=agent(body={"n": 1}))
    for number in range(2, 6):
        await store.agents.update(**AGENT, now=number, change=lambda row: {"n": row.body["n"] + 1})
    first = await store.agents.versions(**AGENT, limit=3)
    assert [(row.version, row.body["n"]) for row in first.rows] == [(5, 5), (4, 4), (3, 3)]
    second = await store.agents.versions(**AGENT, limit=3, cursor=first.next)
    assert [row.version for row in second.rows] == [2, 1]
    assert second.next is None
