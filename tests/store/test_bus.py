"""The bus is quick and forgetful: bounded, and honest about what it dropped."""

import anyio

from gateway.store.bus import BOUND, Bus


async def test_watchers_receive_what_is_published_on_their_topic_in_order():
    bus = Bus[str]()
    with bus.subscribe("a") as one, bus.subscribe("a") as two, bus.subscribe("b") as other:
        bus.publish("a", "first")
        bus.publish("a", "second", local=True)
        assert await one.receive() == (["first", "second"], False)
        assert await two.receive() == (["first", "second"], False)
        assert other.receive_nowait() == ([], False)


async def test_a_watcher_waits_until_something_happens():
    bus = Bus[str]()
    with anyio.fail_after(10), bus.subscribe("a") as watcher:
        async with anyio.create_task_group() as tasks:

            async def publish() -> None:
                bus.publish("a", "now")

            tasks.start_soon(publish)
            assert await watcher.receive() == (["now"], False)


async def test_a_watcher_that_falls_behind_is_told_so_once():
    bus = Bus[int]()
    with bus.subscribe("a") as watcher:
        for number in range(BOUND + 1):
            bus.publish("a", number)
        frames, lagged = await watcher.receive()
        assert lagged
        assert len(frames) <= BOUND
        assert frames[-1:] == [BOUND]
        bus.publish("a", -1)
        assert await watcher.receive() == ([-1], False)


async def test_a_topic_is_live_while_somebody_watches_it():
    bus = Bus[str]()
    assert not bus.live("a")
    with bus.subscribe("a"):
        with bus.subscribe("a"):
            assert bus.live("a")
        assert bus.live("a")
        assert not bus.live("b")
    assert not bus.live("a")
    bus.publish("a", "nobody hears this")


async def test_a_topic_that_changed_elsewhere_is_a_lag_here_and_known_to_listeners():
    bus = Bus[str]()
    heard: list[str] = []
    bus.listen(heard.append)
    with bus.subscribe("a") as watcher, bus.subscribe("b") as other:
        bus.nudge(["a", "c"])
        assert await watcher.receive() == ([], True)
        assert other.receive_nowait() == ([], False)
    assert heard == ["a", "c"]
