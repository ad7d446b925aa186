"""Sessions: created whole, listed with every filter in both directions, deleted whole."""

import sqlite3
from typing import Any

import pytest

from gateway.errors import InvalidRequest, NotFound
from gateway.store.records import Cursor, Head, Locked, Order, Page, Range, SandboxRow, SessionRow
from gateway.store.store import Store
from tests.store.places import Place, connected
from tests.store.rows import (
    WORKSPACE,
    add_session,
    append,
    claimed,
    event,
    ids,
    send,
    sent,
    session,
    thread,
)

EVERYTHING = (
    "sessions", "heads", "session_memory_stores", "events", "inbox", "snapshots", "threads",
    "sandboxes", "uids",
)  # fmt: skip


async def test_a_session_comes_back_with_its_first_events_and_inputs(store: Store):
    row = session(body={"title": "\0"}, deployment="depl_1", head=Head(status="running"))
    first = [event("sevt_1"), event("sevt_2")]
    created = await store.sessions.create(
        row=row, thread=thread(row), events=first, inputs=[sent("sevt_3"), sent("sevt_4")]
    )
    assert (created.seq, created.queued) == (2, True)
    found = await store.sessions.get(workspace=WORKSPACE, id="sesn_1")
    assert found == created
    assert await ids(store) == ["sevt_1", "sevt_2"]
    assert await store.log.inputs(session="sesn_1") == [sent("sevt_3"), sent("sevt_4")]
    assert (await claimed(store)).threads == [thread(row)]


@pytest.mark.parametrize(("name", "workspace"), [("sesn_2", WORKSPACE), ("sesn_1", "wrkspc_2")])
async def test_a_session_of_another_workspace_is_like_none_at_all(
    store: Store, name: str, workspace: str
):
    await add_session(store)
    with pytest.raises(NotFound, match=name):
        await store.sessions.get(workspace=workspace, id=name)
    with pytest.raises(NotFound, match=name):
        await store.sessions.delete(workspace=workspace, id=name, now=90, check=lambda _found: None)
    assert (await store.sessions.list(workspace="wrkspc_2", limit=9)).rows == []


async def test_deleting_takes_everything_of_one_session_and_nothing_of_another(place: Place):
    async with place.open() as store:
        resources = [{"type": "memory_store", "memory_store_id": "memstore_1"}]
        for name in ("sesn_1", "sesn_2"):
            await add_session(store, name, body={"resources": resources})
            await append(store, await claimed(store, name), event("sevt_1"), snapshot=b"state")
            await send(store, sent("sevt_2"), session=name)
            uid = await store.sandboxes.take_uid(owner=name, first=1000, last=1009)
            await store.sandboxes.put(row=sandbox(name, uid))
        taken = await store.sessions.delete(
            workspace=WORKSPACE, id="sesn_1", now=90, check=lambda _found: None
        )
        assert taken == sandbox("sesn_1", 1000)
        assert await ids(store, "sesn_2") == ["sevt_1"]
        assert (await claimed(store, "sesn_2")).snapshot == b"state"
        assert await store.sandboxes.take_uid(owner="other", first=1000, last=1009) == 1000
        await store.sandboxes.delete(owner="other")
    assert count_rows(place) == dict.fromkeys(EVERYTHING, 1)


def sandbox(owner: str, uid: int) -> SandboxRow:
    return SandboxRow(
        owner=owner, driver="bubblewrap", host="here", ref=f"/{owner}", uid=uid, generation=1
    )


def count_rows(place: Place) -> dict[str, int]:
    if place.url:
        with connected(place.url) as connection:
            return {
                table: connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0]
                for table in EVERYTHING
            }
    connection = sqlite3.connect(place.data_dir / "wharfkeep.db")
    counts = {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in EVERYTHING
    }
    connection.close()
    return counts


async def test_a_refused_deletion_sees_the_session_and_leaves_it(store: Store):
    await add_session(store, head=Head(status="running"))
    await send(store, sent("sevt_1"))

    def check(found: Locked) -> None:
        raise InvalidRequest(f"{found.session.head.status}, {len(found.inputs)} queued")

    with pytest.raises(InvalidRequest, match="running, 1 queued"):
        await store.sessions.delete(workspace=WORKSPACE, id="sesn_1", now=90, check=check)
    await store.sessions.get(workspace=WORKSPACE, id="sesn_1")


@pytest.fixture
async def five(store: Store) -> Store:
    """Five sessions, two of them of the same instant."""
    for number, created in enumerate([10, 20, 20, 30, 40]):
        await add_session(store, f"s{number}", created_at=created)
    return store


def names(page: Page[SessionRow]) -> list[str]:
    return [row.id for row in page.rows]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_pages_go_forwards_and_back_over_the_same_rows(five: Store, order: Order, limit: int):
    expected = [f"s{number}" for number in range(5)]
    if order == "desc":
        expected.reverse()

    async def page(cursor: Cursor | None) -> Page[SessionRow]:
        return await five.sessions.list(
            workspace=WORKSPACE, order=order, limit=limit, cursor=cursor
        )

    forwards = [await page(None)]
    assert forwards[0].prev is None
    while cursor := forwards[-1].next:
        forwards.append(await page(cursor))
    assert [name for found in forwards for name in names(found)] == expected
    back = forwards[-1]
    for earlier in reversed(forwards[:-1]):
        back = await page(back.prev)
        assert names(back) == names(earlier)
        assert names(await page(back.next)) == names(forwards[forwards.index(earlier) + 1])
    assert back.prev is None or len(forwards) == 1


async def test_a_page_read_backwards_keeps_its_bounds_when_rows_are_added(five: Store):
    first = await five.sessions.list(workspace=WORKSPACE, limit=2)
    second = await five.sessions.list(workspace=WORKSPACE, limit=2, cursor=first.next)
    await add_session(five, "newer", created_at=50)
    back = await five.sessions.list(workspace=WORKSPACE, limit=2, cursor=second.prev)
    assert names(back) == ["s4", "s3"]
    assert back.prev is not None
    assert names(await five.sessions.list(workspace=WORKSPACE, limit=2, cursor=back.prev)) == [
        "newer"
    ]


async def test_a_cursor_is_refused_with_another_order_or_outside_the_bounds(five: Store):
    page = await five.sessions.list(workspace=WORKSPACE, limit=2)
    with pytest.raises(InvalidRequest, match="order"):
        await five.sessions.list(workspace=WORKSPACE, limit=2, order="asc", cursor=page.next)
    for created in (Range(gt=30), Range(gte=31), Range(lt=30), Range(lte=29)):
        with pytest.raises(InvalidRequest, match="created_at"):
            await five.sessions.list(
                workspace=WORKSPACE, limit=2, cursor=page.next, created=created
            )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["plain", "given", "deployed", "old", "busy", "remembering"]),
        (
            {"include_archived": True},
            ["gone", "plain", "given", "deployed", "old", "busy", "remembering"],
        ),
        ({"agent": "agent_2"}, ["old", "busy"]),
        ({"agent": "agent_2", "agent_version": 3}, ["old"]),
        ({"deployment": "depl_1"}, ["deployed"]),
        ({"memory_store": "memstore_1"}, ["remembering"]),
        ({"statuses": ["running", "rescheduling"]}, ["given", "busy"]),
        ({"statuses": ["idle"]}, ["plain", "deployed", "old", "remembering"]),
        ({"statuses": ["terminated"]}, []),
        ({"statuses": ["terminated"], "include_archived": True}, ["gone"]),
        ({"created": Range(gte=3, lt=5)}, ["deployed", "old"]),
        ({"agent": "agent_9"}, []),
    ],
)
async def test_every_filter_narrows_the_list(
    store: Store, filters: dict[str, Any], expected: list[str]
):
    remembered = [
        {"type": "file", "file_id": "file_1"},
        {"type": "memory_store", "memory_store_id": "memstore_1"},
        {"type": "memory_store", "memory_store_id": "memstore_2"},
    ]
    made: list[tuple[str, dict[str, Any]]] = [
        ("remembering", {"body": {"resources": remembered}}),
        ("busy", {"agent": "agent_2", "head": Head(status="running")}),
        ("old", {"agent": "agent_2", "agent_version": 3}),
        ("deployed", {"deployment": "depl_1"}),
        ("given", {}),
        ("plain", {}),
        ("gone", {"archived_at": 9, "head": Head(status="terminated")}),
    ]
    for number, (name, changes) in enumerate(made, 1):
        await add_session(store, name, created_at=number, **changes)
    await send(store, sent("sevt_1"), session="given")
    assert names(await store.sessions.list(workspace=WORKSPACE, limit=9, **filters)) == expected


async def test_a_session_keeps_for_whom_its_agent_acts(store: Store):
    await add_session(store, actor="user_1")
    await send(store, sent("sevt_1"))
    assert (await store.sessions.get(workspace=WORKSPACE, id="sesn_1")).actor == "user_1"
    assert (await claimed(store)).session.actor == "user_1"
