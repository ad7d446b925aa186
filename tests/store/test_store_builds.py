"""Builds: one to a host and digest, with a bounded log; and what environments want built."""

from dataclasses import replace

from gateway.store.builds import MAX_LINES
from gateway.store.records import BuildLine, BuildRow
from gateway.store.store import Store
from tests.store.rows import WORKSPACE, add_session, environment

ROW = BuildRow(host="here", digest="abc", status="queued", queued_at=1)


def packages(**lists: list[str]) -> dict[str, object]:
    return {"config": {"type": "cloud", "packages": {"type": "packages", **lists}}}


async def lines_of(store: Store, after: int = 0, limit: int = 100) -> list[str]:
    lines = await store.builds.lines(host="here", digest="abc", after=after, limit=limit)
    return [line.text for line in lines]


async def test_a_build_comes_back_as_it_was_put(store: Store):
    assert await store.builds.get(host="here", digest="abc") is None
    await store.builds.begin(row=ROW)
    running = replace(ROW, status="running", started_at=2, lines=2)
    said = [BuildLine(1, 2, "first"), BuildLine(2, 3, "second \u2713")]
    await store.builds.put(row=running, lines=said)
    assert await store.builds.get(host="here", digest="abc") == running
    assert await store.builds.lines(host="here", digest="abc", after=0, limit=9) == said
    assert await store.builds.get(host="there", digest="abc") is None


async def test_lines_are_read_from_where_a_reader_stopped(store: Store):
    await store.builds.begin(row=ROW)
    said = [BuildLine(number, number, f"line {number}") for number in range(1, 6)]
    await store.builds.put(row=ROW, lines=said)
    assert await lines_of(store, after=2, limit=2) == ["line 3", "line 4"]
    assert await lines_of(store, after=5) == []


async def test_a_new_attempt_begins_with_an_empty_log(store: Store):
    await store.builds.put(
        row=replace(ROW, status="failed", reason="no"), lines=[BuildLine(1, 1, "x")]
    )
    await store.builds.begin(row=ROW)
    assert await lines_of(store) == []
    assert await store.builds.get(host="here", digest="abc") == ROW


async def test_a_log_keeps_only_so_many_lines(store: Store):
    await store.builds.begin(row=ROW)
    said = [BuildLine(number, 1, "x") for number in range(MAX_LINES - 1, MAX_LINES + 3)]
    await store.builds.put(row=ROW, lines=said)
    assert await lines_of(store) == ["x", "x"]


async def test_a_host_sees_its_own_builds(store: Store):
    rows = [ROW, replace(ROW, digest="def", status="ready")]
    for row in (*rows, replace(ROW, host="there")):
        await store.builds.begin(row=row)
    assert await store.builds.all(host="here") == rows


async def test_a_forgotten_build_is_gone_with_its_lines(store: Store):
    await store.builds.put(row=ROW, lines=[BuildLine(1, 1, "x")])
    await store.builds.forget(host="here", digest="abc")
    assert await store.builds.get(host="here", digest="abc") is None
    assert await lines_of(store) == []


async def test_wanted_are_the_packages_of_environments_somebody_can_still_use(store: Store):
    for identity, lists in (("env_1", ["a"]), ("env_2", ["b"]), ("env_3", ["c"])):
        await store.environments.create(row=environment(identity, body=packages(pip=lists)))
    await store.environments.create(
        row=environment("env_4", body={"config": {"type": "self_hosted"}})
    )
    await add_session(store, environment="env_2")
    for identity in ("env_2", "env_3"):
        await store.environments.archive(workspace=WORKSPACE, id=identity, now=2)
    assert sorted(each["pip"] for each in await store.builds.wanted()) == [["a"], ["b"]]
