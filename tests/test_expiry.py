"""Calls that nobody approved in time: denied once, by whichever gateway comes first."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from gateway.clock import SystemClock
from gateway.errors import InvalidRequest
from gateway.expiry import Expiry
from gateway.loop.approval import GATEWAY
from gateway.loop.intake import Intake
from gateway.store.approvals import ApprovalRow
from gateway.store.records import Head
from gateway.store.store import Store
from tests.ledger.requirement import requirement
from tests.store import conftest, rows

anyio_backend = conftest.anyio_backend
server, template = conftest.server, conftest.template
directory, database = conftest.directory, conftest.database
place, store = conftest.place, conftest.store
"""SQLite and PostgreSQL, one after the other."""

SECONDS = 20
BODY: dict[str, Any] = {
    "agent": {"model": {"id": "claude-haiku-4-5"}},
    "environment_type": "cloud",
    "resources": [],
}


async def wait_for(store: Store, *asked: ApprovalRow, session: str = "sesn_1") -> None:
    """A session that waits for these answers."""
    waiting = {row.event: "user.tool_confirmation" for row in asked}
    head = Head(stop_reason="requires_action", waiting=waiting)
    await rows.add_session(store, session, body=BODY)
    claim = await rows.claimed(store, session)
    await rows.append(store, claim, approvals=asked, head=head, release=True)


def expiry(store: Store, woken: Callable[[str], None] = lambda _: None) -> Expiry:
    return Expiry(
        Intake(
            store=store,
            bus=store.bus,
            clock=SystemClock(),
            wake=woken,
            system_turns=lambda _: True,
        )
    )


async def sent(store: Store, session: str = "sesn_1") -> list[tuple[str, str, str | None]]:
    events = [json.loads(item.wire) for item in await store.log.inputs(session=session)]
    return [(event["tool_use_id"], event["result"], event["deny_message"]) for event in events]


async def state(store: Store, approval: str = "appr_1") -> str:
    row = await store.approvals.find(id=approval)
    assert row is not None
    return row.state


@requirement("events:confirmation:late")
async def test_the_model_reads_that_nobody_approved_and_the_session_goes_on(store: Store):
    woken: list[str] = []
    await wait_for(store, rows.approval(created_at=0, expires_at=90_000_000))
    await expiry(store, woken.append).sweep()
    said = "nobody approved this call within 90 seconds"
    assert await sent(store) == [("sevt_call", "deny", said)]
    assert await state(store) == "expired"
    assert woken == ["sesn_1"]


@pytest.mark.parametrize(
    ("micros", "text"),
    [(1, "1 second"), (60_000_000, "1 minute"), (86_400_000_000, "1 day"), (2 * 3.6e9, "2 hours")],
)
async def test_the_time_is_said_in_words(store: Store, micros: float, text: str):
    await wait_for(store, rows.approval(created_at=0, expires_at=int(micros)))
    await expiry(store).sweep()
    assert (await sent(store))[0][2] == f"nobody approved this call within {text}"


async def test_what_has_time_left_or_never_expires_is_left_alone(store: Store):
    later = SystemClock().now() + 3_600_000_000
    await wait_for(
        store,
        rows.approval(expires_at=later),
        rows.approval("appr_2", event="sevt_2", expires_at=None),
    )
    await expiry(store).sweep()
    assert await sent(store) == []
    assert await state(store) == await state(store, "appr_2") == "pending"


async def test_a_session_that_takes_no_answer_keeps_nobody_else_waiting(store: Store):
    await wait_for(store, rows.approval())
    await wait_for(store, rows.approval("appr_2", session="sesn_2"), session="sesn_2")
    await rows.append(store, await rows.claimed(store), head=Head(), release=True)
    await expiry(store).sweep()
    assert await state(store) == "withdrawn"
    assert await state(store, "appr_2") == "expired"
    assert len(await sent(store, "sesn_2")) == 1
    assert await store.approvals.expired(now=SystemClock().now()) == []


async def test_many_gateways_deny_a_call_once(store: Store):
    many = [rows.approval(f"appr_{n}", event=f"sevt_{n}") for n in range(5)]
    await wait_for(store, *many)
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(expiry(store).sweep)
    assert sorted(entry[0] for entry in await sent(store)) == [f"sevt_{n}" for n in range(5)]
    assert {await state(store, row.id) for row in many} == {"expired"}


async def test_while_it_runs_it_looks_by_itself(store: Store):
    await wait_for(store, rows.approval())
    woken = anyio.Event()
    with anyio.fail_after(SECONDS):
        async with expiry(store, lambda _: woken.set()).running():
            await woken.wait()
    assert await state(store) == "expired"


async def test_an_approval_that_was_replaced_meanwhile_is_left_alone(store: Store):
    """Somebody has read the old asking when the new one is written."""
    late = SystemClock().now() + 3_600_000_000
    await wait_for(store, rows.approval("appr_2", expires_at=late))
    old = rows.approval()
    with pytest.raises(InvalidRequest, match="asked about again, as appr_2"):
        await expiry(store).intake.answer(old, allow=False, reason=None, sender=GATEWAY)
    assert await state(store, "appr_2") == "pending"
    assert await sent(store) == []
    assert replace(old, id="appr_2", expires_at=late) == await store.approvals.find(id="appr_2")
