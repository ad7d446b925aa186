"""Sessions that need a runner are found, and only those; a dead owner's lease is void."""

import sys
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from gateway.errors import Fenced
from gateway.store.journal import LEASE_MICROS
from gateway.store.records import Head
from gateway.store.store import Store
from tests.store.places import Place, connected
from tests.store.rows import add, add_session, append, claimed, event, ids, send, sent

ROOT = Path(__file__).parents[2]
RUNNING = Head(status="running")


async def test_only_sessions_with_work_and_without_a_runner_are_pending(store: Store):
    for name in ("idle", "running", "rescheduling", "ended"):
        await add_session(store, name)
    claims = {name: await claimed(store, name) for name in ("running", "rescheduling", "ended")}
    for name, claim in claims.items():
        status = "terminated" if name == "ended" else name
        await append(store, claim, head=replace(RUNNING, status=status), release=True)
    await send(store, sent("sevt_1"), session="ended")
    await add_session(store, "sent")
    await send(store, sent("sevt_2"), session="sent")
    await add_session(store, "held", head=RUNNING)
    await store.log.claim(session="held", owner=store.leases.owner, now=2**60)
    assert sorted(await store.leases.pending()) == ["rescheduling", "running", "sent"]


async def test_a_lease_is_not_taken_from_a_living_owner(place: Place):
    async with place.open() as store:
        await add_session(store)
        await claimed(store)
        if place.url:
            async with place.open() as other:
                assert await take(other) is None
        else:
            assert await take(store, "gtw_other") is None


async def test_a_lease_that_was_not_renewed_for_long_is_void(store: Store):
    await add_session(store)
    claim = await claimed(store)
    later = 70 + LEASE_MICROS
    assert await take(store, "gtw_other", now=later - 1) is None
    assert await take(store, "gtw_other", now=later) is not None
    with pytest.raises(Fenced):
        await append(store, claim, event("sevt_1"))


async def test_appending_renews_a_lease(store: Store):
    await add_session(store)
    claim = await claimed(store)
    await append(store, claim, event("sevt_1"), now=LEASE_MICROS)
    assert await take(store, "gtw_other", now=LEASE_MICROS + 71) is None


async def test_what_a_former_gateway_was_running_is_pending_at_the_next_start(place: Place):
    async with place.open() as store:
        await add_session(store, head=RUNNING)
        claim = await store.log.claim(session="sesn_1", owner=store.leases.owner, now=2**60)
        assert claim is not None
        former = store.leases.owner
    async with place.open() as store:
        assert store.leases.owner != former
        assert await store.leases.pending() == ["sesn_1"]
        assert (await claimed(store)).epoch == claim.epoch + 1


async def test_two_gateways_on_one_database_run_a_session_one_after_the_other(database: Place):
    async with database.open() as second:
        first = await database.start()
        await add_session(first, head=RUNNING)
        claim = await claimed(first)
        await append(first, claim, event("sevt_1"), now=2**60)
        assert await second.leases.pending() == []
        assert await take(second) is None
        await first.aclose()
        assert await second.leases.pending() == ["sesn_1"]
        taken = await claimed(second)
        assert taken.epoch == claim.epoch + 1
        await append(second, taken, event("sevt_2"))
        assert await ids(second) == ["sevt_1", "sevt_2"]


async def test_a_session_of_a_killed_gateway_is_taken_over_by_one_that_lives(database: Place):
    async with database.open() as survivor:
        await add_session(survivor, head=RUNNING)
        command = [sys.executable, "-m", "tests.store.crashing", database.url, ""]
        async with await anyio.open_process(command, cwd=ROOT, stderr=None) as killed:
            assert killed.stdout is not None
            with anyio.fail_after(30):
                await killed.stdout.receive()
            assert await take(survivor) is None
            assert await survivor.leases.pending() == []
            killed.kill()
        with anyio.fail_after(30):
            while await survivor.leases.pending() != ["sesn_1"]:
                await anyio.lowlevel.checkpoint()
        assert await take(survivor) is not None


async def test_the_fenced_gateway_cannot_write_between_the_lines_of_the_other(database: Place):
    async with database.open() as first, database.open() as second:
        await add_session(first)
        stale = await claimed(first)
        fresh = await take(second, now=2**61)
        assert fresh is not None
        await append(second, fresh, event("sevt_1"))
        with pytest.raises(Fenced):
            await append(first, stale, event("sevt_2"))
        await append(second, fresh, event("sevt_3"))
        assert await ids(first) == ["sevt_1", "sevt_3"]


async def test_the_api_of_any_gateway_may_write_while_one_runs_the_session(database: Place):
    async with database.open() as first, database.open() as second:
        await add_session(first)
        claim = await claimed(first)
        await send(second, sent("sevt_1"))
        await second.log.append_now(
            session="sesn_1", workspace="wrkspc_1", now=1, change=add(event("sevt_2"))
        )
        appended = await append(first, claim, event("sevt_3"))
        assert (appended.first_seq, appended.inputs) == (2, [sent("sevt_1")])


async def test_dead_gateways_are_forgotten_at_the_next_start(database: Place):
    with connected(database.url) as connection:
        connection.execute("INSERT INTO gateways VALUES ('gtw_dead', 12345, 1)")
        async with database.open() as first, database.open() as second:
            rows = connection.execute("SELECT id FROM gateways").fetchall()
            assert sorted(rows) == sorted([(first.leases.owner,), (second.leases.owner,)])
        assert connection.execute("SELECT id FROM gateways").fetchall() == []


async def take(store: Store, owner: str | None = None, now: int = 71):
    return await store.log.claim(session="sesn_1", owner=owner or store.leases.owner, now=now)
