"""Approvals: written with what asks for them, answered once, found by who needs them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from gateway.errors import Fenced, InvalidRequest, NotFound
from gateway.store.approvals import Accepted, ApprovalRow
from gateway.store.records import Change, Locked
from gateway.store.store import Store
from tests.store import rows
from tests.store.rows import WORKSPACE, approval

SECONDS = 20


async def ask(store: Store, *asked: ApprovalRow, session: str = "sesn_1") -> None:
    """Make the session and have a runner ask."""
    await rows.add_session(store, session)
    await rows.append(store, await rows.claimed(store, session), approvals=asked)


async def answer(
    store: Store, settle: Callable[[ApprovalRow], ApprovalRow], session: str = "sesn_1"
) -> None:
    """Accept an answer: `settle` makes the new approval of the present one."""

    def decide(_row: Any, _queued: Any, _find: Any, find_approval: Any) -> Accepted:
        return Accepted([], [settle(find_approval("sevt_call"))])

    await store.log.accept(session=session, workspace=WORKSPACE, now=60, decide=decide, live=True)


async def test_an_approval_is_written_with_the_step_that_asks_for_it(store: Store):
    await ask(store, approval())
    assert await store.approvals.of(session="sesn_1", event="sevt_call") == approval()
    assert await store.approvals.get(workspace=WORKSPACE, id="appr_1") == approval()
    assert await store.approvals.find(id="appr_1") == approval()
    assert await store.approvals.of(session="sesn_1", event="sevt_other") is None
    assert await store.approvals.find(id="appr_2") is None


async def test_another_workspace_has_no_such_approval(store: Store):
    await ask(store, approval())
    with pytest.raises(NotFound, match="appr_1"):
        await store.approvals.get(workspace="wrkspc_2", id="appr_1")
    assert (await store.approvals.list(workspace="wrkspc_2", limit=10)).rows == []


async def test_a_runner_that_lost_its_lease_asks_for_nothing(store: Store):
    await rows.add_session(store)
    stale = await rows.claimed(store)
    await rows.claimed(store)
    with pytest.raises(Fenced):
        await rows.append(store, stale, approvals=[approval()])
    assert await store.approvals.find(id="appr_1") is None


async def test_a_runner_that_finds_something_to_do_asks_for_nothing(store: Store):
    await rows.add_session(store)
    claim = await rows.claimed(store)
    await rows.send(store, rows.sent("sevt_1"))
    appended = await rows.append(store, claim, approvals=[approval()], only_if_quiet=True)
    assert not appended.idle
    assert await store.approvals.find(id="appr_1") is None


async def test_a_call_that_is_asked_about_again_has_only_the_new_approval(store: Store):
    await ask(store, approval(state="approved", approver="user_2", decided_at=20))
    again = approval("appr_2", created_at=30)
    await rows.append(store, await rows.claimed(store), approvals=[again])
    assert await store.approvals.of(session="sesn_1", event="sevt_call") == again
    assert await store.approvals.find(id="appr_1") is None


async def test_an_answer_is_written_with_the_input_that_gives_it(store: Store):
    await ask(store, approval())
    settled = approval(state="approved", approver="user_2", decided_at=60)
    await answer(store, lambda found: replace(found, **_changes(settled)))
    assert await store.approvals.find(id="appr_1") == settled


async def test_a_refused_answer_leaves_the_approval_as_it_is(store: Store):
    await ask(store, approval())

    def refuse(_found: ApprovalRow) -> ApprovalRow:
        raise InvalidRequest("not you")

    with pytest.raises(InvalidRequest, match="not you"):
        await answer(store, refuse)
    assert await store.approvals.find(id="appr_1") == approval()


async def test_of_many_answers_at_once_one_settles_it(store: Store):
    """Each sees what the one before it has written."""
    await ask(store, approval())
    won: list[int] = []

    async def try_it(number: int) -> None:
        def settle(found: ApprovalRow) -> ApprovalRow:
            if found.state != "pending":
                raise InvalidRequest("answered already")
            return replace(found, state="approved", approver=f"user_{number}", decided_at=60)

        try:
            await answer(store, settle)
            won.append(number)
        except InvalidRequest:
            pass

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(try_it, number)
    row = await store.approvals.find(id="appr_1")
    assert row is not None
    assert won == [int((row.approver or "").removeprefix("user_"))]


async def test_the_list_is_newest_first_in_pages_and_by_state(store: Store):
    made = [
        approval(f"appr_{n}", event=f"sevt_{n}", created_at=n, state=state)
        for n, state in enumerate(["pending", "denied", "pending", "expired", "pending"], 1)
    ]
    await ask(store, *made)
    first = await store.approvals.list(workspace=WORKSPACE, limit=2)
    assert [row.id for row in first.rows] == ["appr_5", "appr_4"]
    second = await store.approvals.list(workspace=WORKSPACE, limit=2, cursor=first.next)
    assert [row.id for row in second.rows] == ["appr_3", "appr_2"]
    waiting = await store.approvals.list(workspace=WORKSPACE, limit=9, states=["pending"])
    assert [row.id for row in waiting.rows] == ["appr_5", "appr_3", "appr_1"]
    two = await store.approvals.list(workspace=WORKSPACE, limit=9, states=["denied", "expired"])
    assert [row.id for row in two.rows] == ["appr_4", "appr_2"]


async def test_only_what_waits_past_its_time_has_expired(store: Store):
    await ask(
        store,
        approval("appr_1", event="sevt_1", expires_at=300),
        approval("appr_2", event="sevt_2", expires_at=200),
        approval("appr_3", event="sevt_3", expires_at=301),
        approval("appr_4", event="sevt_4", expires_at=None),
        approval("appr_5", event="sevt_5", expires_at=100, state="denied"),
    )
    assert [row.id for row in await store.approvals.expired(now=300)] == ["appr_2", "appr_1"]
    assert [row.id for row in await store.approvals.expired(now=300, limit=1)] == ["appr_2"]


async def test_only_what_waits_is_withdrawn(store: Store):
    await ask(store, approval(), approval("appr_2", event="sevt_2", state="denied"))
    for name in ("appr_1", "appr_2"):
        await store.approvals.withdraw(id=name, now=70)
    withdrawn, denied = [await store.approvals.find(id=name) for name in ("appr_1", "appr_2")]
    assert withdrawn == approval(state="withdrawn", decided_at=70)
    assert denied is not None
    assert denied.state == "denied"


@pytest.mark.parametrize("ending", ["archived", "terminated"])
async def test_with_its_session_whatever_waits_is_over(store: Store, ending: str):
    await ask(store, approval())

    def end(found: Locked) -> Change:
        row = found.session
        if ending == "archived":
            return Change(session=replace(row, archived_at=90))
        return Change(session=replace(row, head=replace(row.head, status="terminated")))

    await store.log.append_now(session="sesn_1", workspace=WORKSPACE, now=90, change=end)
    row = await store.approvals.find(id="appr_1")
    assert row == approval(state="withdrawn", decided_at=90)


async def test_deleting_a_session_deletes_its_approvals(store: Store):
    await ask(store, approval())
    await store.sessions.delete(workspace=WORKSPACE, id="sesn_1", now=0, check=lambda _: None)
    assert await store.approvals.find(id="appr_1") is None


async def test_approvers_are_told_until_somebody_says_they_were(store: Store):
    await ask(store, approval(created_at=1_000, expires_at=2_000))
    found = store.approvals

    async def due(now: int) -> list[str]:
        return [r.id for r in await found.take_unannounced(now=now, again=50, limit=9)]

    assert await due(999) == []
    assert await due(1_000) == ["appr_1"]
    assert await due(1_049) == []
    assert await due(1_060) == ["appr_1"]
    assert await due(1_119) == [], "it waits as long as it has waited"
    assert await due(1_120) == ["appr_1"]
    await found.announced(id="appr_1")
    assert await due(1_999) == []


async def test_nobody_is_told_of_what_needs_no_answer_or_takes_none_or_never_expires(store: Store):
    await ask(
        store,
        approval("appr_1", event="sevt_1", expires_at=None),
        approval("appr_2", event="sevt_2", state="denied"),
        approval("appr_3", event="sevt_3"),
        approval("appr_4", event="sevt_4", expires_at=90),
    )
    await store.approvals.withdraw(id="appr_3", now=70)
    assert await store.approvals.take_unannounced(now=90, again=1, limit=9) == []


async def test_two_gateways_are_not_given_the_same_to_tell(store: Store):
    await ask(store, *(approval(f"appr_{n}", event=f"sevt_{n}") for n in range(6)))
    taken: list[str] = []

    async def take() -> None:
        got = await store.approvals.take_unannounced(now=500, again=1_000, limit=4)
        taken.extend(row.id for row in got)

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(take)
    assert taken
    assert len(taken) == len(set(taken))


def _changes(row: ApprovalRow) -> dict[str, Any]:
    return {"state": row.state, "approver": row.approver, "decided_at": row.decided_at}
