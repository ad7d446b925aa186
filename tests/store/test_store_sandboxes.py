"""Sandboxes: one to an owner, and no two owners under one user id."""

from dataclasses import replace

import anyio
import pytest

from gateway.errors import Overloaded
from gateway.store.records import SandboxRow
from gateway.store.store import Store

ROW = SandboxRow(
    owner="sesn_1", driver="bubblewrap", host="here", ref="/layer/1", uid=210_000, generation=1
)


async def test_a_sandbox_comes_back_replaced_and_goes(store: Store):
    assert await store.sandboxes.get(owner="sesn_1") is None
    await store.sandboxes.put(row=ROW)
    newer = replace(ROW, ref="/layer/2", uid=None, generation=2)
    await store.sandboxes.put(row=newer)
    assert await store.sandboxes.get(owner="sesn_1") == newer
    assert await store.sandboxes.delete(owner="sesn_1") == newer
    assert await store.sandboxes.delete(owner="sesn_1") is None


async def test_all_lists_those_of_one_host(store: Store):
    rows = [ROW, replace(ROW, owner="sesn_2"), replace(ROW, owner="sesn_3", host="there")]
    for row in rows:
        await store.sandboxes.put(row=row)
    assert await store.sandboxes.all(host="here") == rows[:2]


async def test_an_owner_keeps_its_uid_until_it_is_deleted(store: Store):
    async def draw(owner: str) -> int:
        return await store.sandboxes.take_uid(owner=owner, first=1000, last=1002)

    assert [await draw(owner) for owner in "abca"] == [1000, 1001, 1002, 1000]
    with pytest.raises(Overloaded, match="1000 to 1002"):
        await draw("d")
    await store.sandboxes.delete(owner="b")
    assert await draw("d") == 1001


async def test_an_owner_outside_a_changed_range_draws_again(store: Store):
    assert await store.sandboxes.take_uid(owner="a", first=1000, last=1002) == 1000
    assert await store.sandboxes.take_uid(owner="a", first=2000, last=2002) == 2000
    assert await store.sandboxes.take_uid(owner="b", first=1000, last=1002) == 1000


async def test_uids_drawn_at_the_same_time_are_different(store: Store):
    drawn: list[int] = []

    async def draw(owner: str) -> None:
        drawn.append(await store.sandboxes.take_uid(owner=owner, first=1000, last=1011))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(draw, f"sesn_{number}")
    assert sorted(drawn) == list(range(1000, 1012))
