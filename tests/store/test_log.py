"""The log keeps what it took, once and in order, for whoever holds the lease."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from gateway.errors import Fenced, InvalidRequest, NotFound
from gateway.store.approvals import Accepted
from gateway.store.records import Change, Event, Head, Input, Locked, SessionRow
from gateway.store.store import Store
from tests.store.rows import (
    WORKSPACE,
    add,
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

HEAD = Head(
    status="running",
    waiting={"sevt_9": "user.tool_confirmation"},
    stop_reason="end_turn",
    usage={"input_tokens": 7, "note": "caf\u00e9 \0 \ud800"},
    running_since=3,
    outcomes=[{"outcome_id": "outc_1"}],
    cost="0.125",
)


def take_nothing(row: SessionRow, queued: list[Input], find: object, approval: object) -> Accepted:
    return Accepted([])


async def test_an_accepted_event_waits_in_the_inbox_exactly_as_it_was_sent(store: Store):
    await add_session(store)
    one = sent("sevt_1", target="sevt_0", private=b"\0\xff")
    assert await send(store, one, sent("sevt_2")) == [one, sent("sevt_2")]
    assert await store.log.inputs(session="sesn_1") == [one, sent("sevt_2")]
    assert await ids(store) == []


async def test_deciding_sees_the_session_its_queue_and_its_log(store: Store):
    await add_session(store)
    await append(store, await claimed(store), event("sevt_1"), head=HEAD)
    await send(store, sent("sevt_2"))
    seen: list[object] = []

    def decide(row: SessionRow, queued: list[Input], find: object, approval: object) -> Accepted:
        assert callable(find)
        assert callable(approval)
        seen.extend([row.head, row.seq, queued, find("sevt_1"), find("sevt_2")])
        return Accepted([])

    await store.log.accept(session="sesn_1", workspace=WORKSPACE, now=1, decide=decide, live=True)
    logged = replace(event("sevt_1"), seq=1)
    assert seen[-5:] == [HEAD, 1, [sent("sevt_2")], logged, None]


async def test_refusing_one_event_queues_none(store: Store):
    await add_session(store)

    def decide(row: SessionRow, queued: list[Input], find: object, approval: object) -> Accepted:
        raise InvalidRequest("not now")

    with pytest.raises(InvalidRequest, match="not now"):
        await store.log.accept(
            session="sesn_1", workspace=WORKSPACE, now=1, decide=decide, live=True
        )
    assert await store.log.inputs(session="sesn_1") == []


@pytest.mark.parametrize(("name", "workspace"), [("sesn_2", WORKSPACE), ("sesn_1", "wrkspc_2")])
async def test_a_session_of_another_workspace_is_like_none_at_all(
    store: Store, name: str, workspace: str
):
    await add_session(store)
    with pytest.raises(NotFound, match=name):
        await store.log.accept(
            session=name, workspace=workspace, now=1, decide=take_nothing, live=True
        )
    with pytest.raises(NotFound, match=name):
        await store.log.append_now(session=name, workspace=workspace, now=1, change=add())


async def test_a_claim_reads_everything_there_is_about_a_session(store: Store):
    row = await add_session(store, body={"title": "Primes"})
    await send(store, sent("sevt_1"))
    claim = await claimed(store)
    assert claim.session == replace(row, updated_at=60, queued=True)
    assert claim.threads == [thread(row)]
    assert (claim.snapshot, claim.snapshot_seq, claim.tail) == (None, 0, [])
    assert claim.inputs == [sent("sevt_1")]


async def test_a_claim_reads_the_log_from_the_snapshot_on(store: Store):
    await add_session(store)
    claim = await claimed(store)
    await append(store, claim, event("sevt_1"), event("sevt_2"), snapshot=b"at two")
    await append(store, claim, event("sevt_3", private=b"for the loop", on_primary=False))
    again = await claimed(store)
    assert (again.snapshot, again.snapshot_seq) == (b"at two", 2)
    assert again.tail == [event("sevt_3", private=b"for the loop", on_primary=False, seq=3)]
    await append(store, again, event("sevt_4"), snapshot=b"at four")
    assert (await claimed(store)).snapshot == b"at four"


async def test_a_session_that_is_gone_cannot_be_claimed(store: Store):
    assert await store.log.claim(session="sesn_1", owner="gtw_1", now=1) is None


async def test_one_append_writes_events_head_threads_and_takes_inputs(store: Store):
    row = await add_session(store)
    await send(store, sent("sevt_1"), sent("sevt_2"))
    claim = await claimed(store)
    child = thread(row, "sthr_child", created_at=5)
    primary = replace(thread(row), status="running", body={"stats": {"active_seconds": 1}})
    appended = await append(
        store,
        claim,
        event("sevt_1"),
        event("sevt_3"),
        consumes=["sevt_1"],
        head=HEAD,
        threads=[primary, child],
    )
    assert (appended.first_seq, appended.idle) == (1, True)
    assert appended.inputs == [sent("sevt_2")]
    after = await store.sessions.get(workspace=WORKSPACE, id="sesn_1")
    assert (after.head, after.seq, after.updated_at) == (HEAD, 2, 80)
    assert (await claimed(store)).threads == [primary, child]
    assert await ids(store) == ["sevt_1", "sevt_3"]


async def test_numbers_go_on_where_the_last_append_ended(store: Store):
    await add_session(store)
    claim = await claimed(store)
    firsts = [
        (await append(store, claim, *(event(f"sevt_{n}_{i}") for i in range(n)))).first_seq
        for n in (1, 0, 3, 2)
    ]
    assert firsts == [1, 2, 2, 5]
    log = await store.log.read(session="sesn_1", after=0, limit=100)
    assert [row.seq for row in log] == [1, 2, 3, 4, 5, 6]


async def test_a_second_claim_fences_the_first(store: Store):
    await add_session(store)
    stale = await claimed(store)
    fresh = await claimed(store)
    assert fresh.epoch > stale.epoch
    with pytest.raises(Fenced, match="sesn_1"):
        await append(store, stale, event("sevt_stale"), head=HEAD, snapshot=b"stale")
    with pytest.raises(Fenced):
        await append(store, stale, only_if_quiet=True)
    await append(store, fresh, event("sevt_fresh"))
    assert await ids(store) == ["sevt_fresh"]
    assert (await claimed(store)).snapshot is None


async def test_a_released_lease_cannot_be_used_again(store: Store):
    await add_session(store)
    claim = await claimed(store)
    await append(store, claim, event("sevt_1"), release=True)
    with pytest.raises(Fenced):
        await append(store, claim, event("sevt_2"))
    assert (await claimed(store)).epoch > claim.epoch


async def test_a_runner_of_another_name_is_fenced_even_with_the_right_epoch(store: Store):
    await add_session(store)
    claim = await claimed(store)
    with pytest.raises(Fenced):
        await append(store, claim, event("sevt_1"), owner="gtw_other")


async def test_a_deleted_session_fences_its_runner(store: Store):
    await add_session(store)
    claim = await claimed(store)
    await store.sessions.delete(workspace=WORKSPACE, id="sesn_1", now=90, check=lambda _found: None)
    with pytest.raises(Fenced):
        await append(store, claim, event("sevt_1"))
    assert await ids(store) == []


async def test_going_idle_is_put_off_while_an_input_waits(store: Store):
    await add_session(store)
    claim = await claimed(store)
    await send(store, sent("sevt_1"), sent("sevt_2"))
    tried = await append(
        store, claim, event("sevt_1"), consumes=["sevt_1"], only_if_quiet=True, release=True
    )
    assert not tried.idle
    assert tried.inputs == [sent("sevt_2")]
    assert await ids(store) == []
    done = await append(
        store,
        claim,
        event("sevt_1"),
        event("sevt_2"),
        consumes=["sevt_1", "sevt_2"],
        only_if_quiet=True,
        release=True,
    )
    assert done.idle
    assert await store.log.inputs(session="sesn_1") == []


async def test_a_change_by_the_api_takes_the_next_numbers_and_leaves_the_lease(store: Store):
    row = await add_session(store)
    claim = await claimed(store)
    await append(store, claim, event("sevt_1"))
    seen: list[Locked] = []

    def change(found: Locked) -> Change:
        seen.append(found)
        new = replace(found.session, body={"title": "new"}, archived_at=9, head=HEAD)
        closed = replace(thread(row), status="terminated", archived_at=9)
        return Change(session=new, events=[event("sevt_2"), event("sevt_3")], threads=[closed])

    result = await store.log.append_now(
        session="sesn_1", workspace=WORKSPACE, now=90, change=change
    )
    assert (seen[-1].session.seq, seen[-1].threads, seen[-1].inputs) == (1, [thread(row)], [])
    assert (result.seq, result.head, result.archived_at) == (3, HEAD, 9)
    assert result == await store.sessions.get(workspace=WORKSPACE, id="sesn_1")
    assert (await store.threads.get(session="sesn_1", id=row.primary_thread)).archived_at == 9
    appended = await append(store, claim, event("sevt_4"))
    assert appended.first_seq == 4
    assert await ids(store) == ["sevt_1", "sevt_2", "sevt_3", "sevt_4"]


async def test_a_change_that_changes_nothing_writes_nothing(store: Store):
    row = await add_session(store)
    same = await store.log.append_now(
        session="sesn_1", workspace=WORKSPACE, now=90, change=lambda _found: None
    )
    assert same == row


async def test_an_event_is_found_by_its_id_in_its_own_session_only(store: Store):
    await add_session(store)
    await add_session(store, "sesn_2")
    await append(store, await claimed(store), event("sevt_1"))
    found = await store.log.find(session="sesn_1", event_id="sevt_1")
    assert found == event("sevt_1", seq=1)
    assert await store.log.find(session="sesn_2", event_id="sevt_1") is None


async def test_reading_follows_the_sessions_log_or_one_thread(store: Store):
    await add_session(store)
    claim = await claimed(store)
    child = {"thread": "sthr_child", "on_primary": False}
    crossed = {"thread": "sthr_child", "on_primary": True}
    await append(store, claim, event("a"), event("b", **child), event("c", **crossed), event("d"))

    async def read(**options: Any) -> list[str]:
        arguments: dict[str, Any] = {"after": 0, "limit": 9, **options}
        rows = await store.log.read(session="sesn_1", **arguments)
        return [row.id for row in rows]

    assert await read() == ["a", "c", "d"]
    assert await read(thread="sthr_child") == ["b", "c"]
    assert await read(after=1, limit=1) == ["c"]
    assert await read(after=4) == []


async def test_a_stream_that_comes_too_late_replays_from_the_send_once(store: Store):
    await add_session(store)
    assert await store.log.take_replay(session="sesn_1") is None
    claim = await claimed(store)
    await append(store, claim, event("sevt_1"), event("sevt_2"))
    await send(store, sent("sevt_3"), live=False)
    assert await store.log.take_replay(session="sesn_1") == 2
    assert await store.log.take_replay(session="sesn_1") is None


async def test_a_send_while_a_stream_is_open_forgets_the_replay(store: Store):
    await add_session(store)
    await send(store, sent("sevt_1"), live=False)
    await send(store, sent("sevt_2"), live=True)
    assert await store.log.take_replay(session="sesn_1") is None


async def test_the_replay_begins_at_the_last_send(store: Store):
    await add_session(store)
    await send(store, sent("sevt_1"), live=False)
    await append(store, await claimed(store), event("sevt_1"), consumes=["sevt_1"])
    await send(store, sent("sevt_2"), live=False)
    assert await store.log.take_replay(session="sesn_1") == 1


async def test_a_session_created_with_inputs_replays_from_its_beginning(store: Store):
    row = session()
    await store.sessions.create(row=row, thread=thread(row), inputs=[sent("sevt_1")])
    assert await store.log.take_replay(session="sesn_1") == 0


async def test_events_sent_at_the_same_time_all_arrive_and_each_request_stays_together(
    store: Store,
):
    await add_session(store)

    async def client(number: int) -> None:
        await send(store, *(sent(f"sevt_{number}_{i}") for i in range(3)))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as clients:
            for number in range(12):
                clients.start_soon(client, number)
    queued = [entry.id for entry in await store.log.inputs(session="sesn_1")]
    requests = [queued[i : i + 3] for i in range(0, 36, 3)]
    assert sorted(requests) == sorted([[f"sevt_{n}_{i}" for i in range(3)] for n in range(12)])


async def test_appends_and_changes_at_the_same_time_leave_no_gap(store: Store):
    await add_session(store)
    claim = await claimed(store)

    async def run() -> None:
        for number in range(15):
            await append(store, claim, event(f"run_{number}"))

    async def change() -> None:
        for number in range(15):
            await store.log.append_now(
                session="sesn_1", workspace=WORKSPACE, now=1, change=add(event(f"api_{number}"))
            )

    with anyio.fail_after(30):
        async with anyio.create_task_group() as writers:
            writers.start_soon(run)
            writers.start_soon(change)
    log: list[Event] = await store.log.read(session="sesn_1", after=0, limit=100)
    assert [row.seq for row in log] == list(range(1, 31))
    runs = [row.id for row in log if row.id.startswith("run")]
    assert runs == [f"run_{number}" for number in range(15)]
