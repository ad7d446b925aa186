"""Gateways on one PostgreSQL hear of each other's sessions and notice when they are cut off."""

import anyio

from gateway.store.presence import TOPICS
from gateway.store.store import Store
from tests.store.places import Place, connected
from tests.store.rows import add_session, claimed


async def test_what_one_gateway_publishes_makes_watchers_elsewhere_read_again(database: Place):
    async with database.open() as first, database.open() as second:
        with first.bus.subscribe("sesn_1") as here, second.bus.subscribe("sesn_1") as there:
            first.bus.publish("sesn_1", "frame")
            with anyio.fail_after(20):
                assert await here.receive() == (["frame"], False)
                assert await there.receive() == ([], True)


async def test_only_watchers_of_a_topic_hear_of_it_and_previews_stay_at_home(database: Place):
    async with database.open() as first, database.open() as second:
        with second.bus.subscribe("sesn_1") as there, second.bus.subscribe("sesn_2") as other:
            first.bus.publish("sesn_2", "preview", local=True)
            first.bus.publish("sesn_1", "frame")
            with anyio.fail_after(20):
                await there.receive()
            assert other.receive_nowait() == ([], False)


async def test_a_gateway_is_not_told_what_it_said_itself(database: Place):
    async with database.open() as first, database.open() as second:
        with first.bus.subscribe("sesn_1") as here, first.bus.subscribe("sesn_2") as echo:
            first.bus.publish("sesn_1", "frame")
            await here.receive()
            second.bus.publish("sesn_2", "after it")
            with anyio.fail_after(20):
                await echo.receive()
            assert here.receive_nowait() == ([], False)


async def test_more_topics_than_fit_in_one_notification_are_all_told(database: Place):
    topics = [f"sesn_01{number:024}" for number in range(TOPICS * 2 + 1)]
    async with database.open() as first, database.open() as second:
        with second.bus.subscribe(topics[0]) as one, second.bus.subscribe(topics[-1]) as last:
            for topic in topics:
                first.bus.publish(topic, "frame")
            with anyio.fail_after(20):
                await one.receive()
                await last.receive()


async def test_what_was_published_last_is_told_even_when_the_gateway_closes(database: Place):
    async with database.open() as second:
        with second.bus.subscribe("sesn_1") as there:
            async with database.open() as first:
                first.bus.publish("sesn_1", "frame")
            with anyio.fail_after(20):
                await there.receive()


async def test_a_gateway_that_loses_its_lock_knows_and_its_leases_are_void(database: Place):
    async with database.open() as first, database.open() as second:
        await add_session(first)
        await claimed(first)
        assert await take(second) is None
        cut_off(database, first)
        with anyio.fail_after(20):
            await first.leases.lost.wait()
            assert await take(second) is not None
        assert not second.leases.lost.is_set()


def cut_off(database: Place, store: Store) -> None:
    """End the connection that holds the gateway's lock."""
    with connected(database.url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(l.pid, 10000) FROM pg_locks l, gateways g"
            " WHERE l.locktype = 'advisory' AND g.id = %s"
            " AND (l.classid::bigint << 32) | l.objid::bigint = g.lock_key",
            [store.leases.owner],
        )


async def take(store: Store):
    return await store.log.claim(session="sesn_1", owner=store.leases.owner, now=71)
