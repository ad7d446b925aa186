"""Resting sandboxes and their archives: what is due, what is kept, and what nobody needs."""

from dataclasses import replace

from gateway.store.records import SandboxRow
from gateway.store.store import Store

ROW = SandboxRow(
    owner="sesn_1", driver="bubblewrap", host="here", ref="one", uid=None, generation=1
)


async def add(store: Store, owner: str = "sesn_1", **changes: int) -> None:
    await store.sandboxes.put(row=replace(ROW, owner=owner, created_at=1, **changes))


async def archive(store: Store, owner: str = "sesn_1", *, finish: bool = True) -> int:
    row = await store.archives.begin(owner=owner, host="here", now=7)
    if finish:
        digest = f"of {row.generation}"
        await store.archives.finish(row=replace(row, size=10, entries=3, digest=digest))
    return row.generation


async def surplus(store: Store, host: str = "here") -> list[tuple[str, int]]:
    rows = await store.archives.surplus(host=host)
    return sorted((row.owner, row.generation) for row in rows)


async def test_what_rests_long_enough_is_due_the_oldest_first(store: Store):
    for owner, at in (("a", 30), ("b", 10), ("c", 20), ("d", 5)):
        await add(store, owner)
        await store.archives.rest(owner=owner, now=at, lost=2)
    await store.archives.wake(owner="d", host="here", ref="one")
    due = await store.archives.due(host="here", idle_before=30)
    assert [(row.owner, row.idle_at, row.lost) for row in due] == [("b", 10, 2), ("c", 20, 2)]
    assert await store.archives.due(host="there", idle_before=30) == []
    assert len(await store.archives.due(host="here", idle_before=31, limit=1)) == 1


async def test_after_a_restart_what_ran_rests_and_nobody_knows_what_it_lost(store: Store):
    await add(store, "ran")
    await add(store, "rested", idle_at=5, lost=0)
    await add(store, "archived", archived=1)
    await store.archives.settle(host="here", now=40)
    rows = {row.owner: row for row in await store.sandboxes.all(host="here")}
    assert (rows["ran"].idle_at, rows["ran"].lost) == (40, None)
    assert (rows["rested"].idle_at, rows["rested"].lost) == (5, 0)
    assert rows["archived"].idle_at is None


async def test_an_archive_counts_when_it_is_finished(store: Store):
    await add(store, idle_at=5)
    first = await archive(store)
    second = await archive(store, finish=False)
    assert (first, second) == (1, 2)
    (kept,) = await store.archives.of(owner="sesn_1")
    assert (kept.generation, kept.digest, kept.key) == (1, "of 1", "archives/sesn_1/1")
    row = await store.sandboxes.get(owner="sesn_1")
    assert row is not None
    assert (row.archived, row.idle_at) == (1, 5)
    await store.archives.forgotten(owner="sesn_1")
    assert await store.archives.due(host="here", idle_before=100) == []


async def test_two_generations_are_kept(store: Store):
    await add(store)
    for _ in range(4):
        await archive(store)
    assert [row.generation for row in await store.archives.of(owner="sesn_1")] == [4, 3, 2, 1]
    assert await surplus(store) == [("sesn_1", 1), ("sesn_1", 2)]
    oldest = (await store.archives.of(owner="sesn_1"))[-1]
    await store.archives.delete(row=oldest)
    assert await surplus(store) == [("sesn_1", 2)]
    assert await surplus(store, "there") == []


async def test_what_was_never_finished_counts_as_no_generation(store: Store):
    await add(store)
    await archive(store)
    await archive(store)
    await archive(store, finish=False)
    assert await surplus(store) == [("sesn_1", 3)]


async def test_the_archives_of_what_is_gone_are_needed_by_nobody(store: Store):
    await add(store)
    await archive(store)
    await store.sandboxes.delete(owner="sesn_1")
    assert await surplus(store) == [("sesn_1", 1)]


async def test_only_what_rests_expires(store: Store):
    await add(store, "kept", idle_at=5)
    await add(store, "archived", archived=1)
    await add(store, "running")
    expired = await store.archives.expired(host="here", created_before=2)
    assert sorted(row.owner for row in expired) == ["archived", "kept"]
    assert await store.archives.expired(host="here", created_before=1) == []
