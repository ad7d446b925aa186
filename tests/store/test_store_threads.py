"""Threads: the primary one first, filtered and paged."""

import pytest

from gateway.errors import NotFound
from gateway.store.records import SessionStatus
from gateway.store.store import Store
from tests.store.rows import add_session, append, claimed, thread


@pytest.fixture
async def three(store: Store) -> Store:
    row = await add_session(store)
    children = [
        thread(row, "sthr_1", created_at=5, status="running"),
        thread(row, "sthr_2", created_at=6, status="terminated", archived_at=9),
    ]
    await append(store, await claimed(store), threads=children)
    await add_session(store, "sesn_2")
    return store


async def test_threads_are_listed_oldest_first_with_archived_ones(three: Store):
    page = await three.threads.list(session="sesn_1", limit=2)
    assert [row.id for row in page.rows] == ["sthr_primary_sesn_1", "sthr_1"]
    rest = await three.threads.list(session="sesn_1", limit=2, cursor=page.next)
    assert [row.id for row in rest.rows] == ["sthr_2"]
    assert rest.next is None


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [(["running"], ["sthr_1"]), (["terminated", "idle"], ["sthr_primary_sesn_1", "sthr_2"])],
)
async def test_threads_are_filtered_by_status(
    three: Store, statuses: list[SessionStatus], expected: list[str]
):
    page = await three.threads.list(session="sesn_1", limit=9, statuses=statuses)
    assert [row.id for row in page.rows] == expected


async def test_a_thread_belongs_to_its_session(three: Store):
    assert (await three.threads.get(session="sesn_1", id="sthr_1")).status == "running"
    with pytest.raises(NotFound, match="sthr_1"):
        await three.threads.get(session="sesn_2", id="sthr_1")
