"""Listing events: in order, page by page, with what is still queued at the end (spec/core 6.9)."""

from typing import Any

import pytest

from gateway.store.records import LogCursor, Range
from gateway.store.store import Store
from tests.store.rows import add_session, append, claimed, event, send, sent


async def listed(store: Store, **options: Any) -> list[str]:
    """Every page, one after the other."""
    found: list[str] = []
    cursor: LogCursor | None = None
    while True:
        asked: dict[str, Any] = {"limit": 2, **options, "cursor": cursor}
        page = await store.log.list(session="sesn_1", **asked)
        assert len(page.rows) <= asked["limit"]
        found += [row.id for row in page.rows]
        if page.next is None:
            return found
        assert page.rows
        cursor = page.next


@pytest.fixture
async def filled(store: Store) -> Store:
    """Five logged events, a minute apart, and three that are queued."""
    await add_session(store)
    claim = await claimed(store)
    kinds = ["user.message", "agent.message"] * 3
    logged = [event(f"e{n}", processed_at=n * 60, type=kinds[n]) for n in range(1, 6)]
    await append(store, claim, *logged)
    await send(store, sent("q1"), sent("q2", type="user.interrupt"), sent("q3"))
    return store


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7, 8, 100])
async def test_pages_of_any_size_show_everything_once_in_order(filled: Store, limit: int):
    up = ["e1", "e2", "e3", "e4", "e5", "q1", "q2", "q3"]
    assert await listed(filled, limit=limit) == up
    assert await listed(filled, limit=limit, order="desc") == up[::-1]


async def test_an_empty_session_has_one_empty_page(store: Store):
    await add_session(store)
    for order in ("asc", "desc"):
        page = await store.log.list(session="sesn_1", limit=10, order=order)
        assert (page.rows, page.next) == ([], None)


async def test_types_are_filtered_in_the_log_and_in_the_queue(filled: Store):
    assert await listed(filled, types=["user.message"]) == ["e2", "e4", "q1", "q3"]
    assert await listed(filled, types=["user.interrupt"], order="desc") == ["q2"]


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        (Range(gt=120), ["e3", "e4", "e5"]),
        (Range(gte=120), ["e2", "e3", "e4", "e5"]),
        (Range(lt=120), ["e1"]),
        (Range(lte=120), ["e1", "e2"]),
        (Range(gt=60, lte=180), ["e2", "e3"]),
        (Range(gt=1000), []),
    ],
)
async def test_bounds_in_time_compare_processing_and_leave_out_what_is_queued(
    filled: Store, created: Range, expected: list[str]
):
    assert await listed(filled, created=created) == expected
    assert await listed(filled, created=created, order="desc") == expected[::-1]


async def test_a_thread_lists_its_own_events_and_nothing_queued(store: Store):
    await add_session(store)
    claim = await claimed(store)
    own = [event(f"c{n}", thread="sthr_child", on_primary=n == 2) for n in (1, 2, 3)]
    await append(store, claim, event("p1"), *own)
    await send(store, sent("q1"))
    assert await listed(store, thread="sthr_child") == ["c1", "c2", "c3"]
    assert await listed(store) == ["p1", "c2", "q1"]


async def test_an_event_consumed_between_two_pages_is_not_missed(filled: Store):
    first = await filled.log.list(session="sesn_1", limit=6)
    assert [row.id for row in first.rows][-1] == "q1"
    claim = await claimed(filled)
    await append(filled, claim, event("q1"), event("e6"), event("q2"), consumes=["q1", "q2"])
    second = await filled.log.list(session="sesn_1", limit=6, cursor=first.next)
    assert [row.id for row in second.rows] == ["q1", "e6", "q2", "q3"]
    assert second.next is None


async def test_going_down_an_event_consumed_between_two_pages_is_not_missed(filled: Store):
    first = await filled.log.list(session="sesn_1", limit=2, order="desc")
    assert [row.id for row in first.rows] == ["q3", "q2"]
    await append(filled, await claimed(filled), event("q1"), consumes=["q1"])
    second = await filled.log.list(session="sesn_1", limit=2, order="desc", cursor=first.next)
    assert [row.id for row in second.rows] == ["q1", "e5"]
