"""Kill switches: thrown here they count for the next call, thrown elsewhere within a second."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from gateway.clock import Clock, SystemClock
from gateway.errors import InvalidRequest, NotFound, Overloaded
from gateway.policy.facts import AgentFacts, Facts, ServerFacts
from gateway.store.audit import AuditRecord
from gateway.store.store import Store
from gateway.store.switches import SwitchRow
from gateway.switches import MAX_UNENFORCED, Switches
from tests.policy.shop import USER, call, facts
from tests.store.places import Place

SECONDS = 20.0
SECOND = 1_000_000
CALL = call("pay.refund", charge="c", cents=1)
FACTS = replace(facts("pay"), server=ServerFacts(id="https://pay.example/mcp", kind="pay"))


class Watch(SystemClock):
    """A clock that can be put forward."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def clock() -> Watch:
    return Watch()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    async with Place("", tmp_path / "data").open() as store:
        yield store


@pytest.fixture
def switches(store: Store, clock: Clock) -> Switches:
    return Switches(store, clock)


async def throw(switches: Switches, kind: str, subject: str, seconds: float | None = None) -> None:
    await switches.throw(
        kind=kind, subject=subject, reason="it leaks", actor="user_9", seconds=seconds
    )


async def records(store: Store) -> list[AuditRecord]:
    """Of the gateway's own chain, the oldest first."""
    return [entry.record for entry in await store.audit.unsent(limit=100)]


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("tool", "pay.refund"),
        ("server", "pay"),
        ("server", "https://pay.example/mcp"),
        ("agent", "agent_1"),
        ("user", "user_1"),
        ("workspace", "w"),
    ],
)
async def test_what_is_stopped_is_stopped_for_the_next_call(
    switches: Switches, kind: str, subject: str
):
    assert switches.stopping(CALL, FACTS) == ""
    await throw(switches, kind, subject)
    assert switches.stopping(CALL, FACTS) == f"the {kind} {subject} was stopped: it leaks"
    await switches.lift(kind=kind, subject=subject, actor="user_9")
    assert switches.stopping(CALL, FACTS) == ""


async def test_nothing_else_is_stopped(switches: Switches):
    await throw(switches, "tool", "pay.charge")
    await throw(switches, "server", "mail")
    await throw(switches, "agent", "user_1")
    other = replace(
        FACTS, agent=AgentFacts(id="agent_2", version=1, workspace="v"), user=replace(USER, id="u")
    )
    assert switches.stopping(CALL, other) == ""


async def test_a_switch_lifts_itself_when_its_time_is_over(switches: Switches, clock: Watch):
    await throw(switches, "tool", "pay.refund", seconds=60)
    now = clock.now()

    def at(seconds: int) -> Facts:
        return replace(FACTS, now=now + seconds * SECOND)

    assert switches.stopping(CALL, at(59))
    assert not switches.stopping(CALL, at(61))
    assert len(switches.all()) == 1
    clock.ahead = 61 * SECOND
    assert switches.all() == []


async def test_a_switch_thrown_again_has_the_new_reason_and_end(switches: Switches):
    await throw(switches, "tool", "pay.refund", seconds=60)
    await switches.throw(
        kind="tool", subject="pay.refund", reason="still", actor="user_8", seconds=None
    )
    [row] = switches.all()
    assert (row.reason, row.thrown_by, row.until) == ("still", "user_8", None)


async def test_a_switch_thrown_at_another_gateway_counts_here_soon(
    store: Store, switches: Switches, clock: Clock
):
    async with switches.running():
        await throw(Switches(store, clock), "tool", "pay.refund")
        with anyio.fail_after(SECONDS):
            while not switches.stopping(CALL, FACTS):  # noqa: ASYNC110 - nothing tells of it
                await anyio.sleep(0.01)


async def test_while_the_database_is_silent_what_is_known_goes_on_to_count(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gateway.switches.POLL_SECONDS", 0.001)
    asked: list[int] = []
    silent = anyio.Event()
    back = anyio.Event()

    class Silent:
        """A table that answers once, then fails a few times, then answers again."""

        async def all(self) -> list[SwitchRow]:
            asked.append(1)
            if 1 < len(asked) < 5:
                silent.set()
                raise Overloaded("the database does not answer")
            if len(asked) > 5:
                back.set()
            return [
                SwitchRow(kind="user", subject="user_1", reason="r", thrown_by="x", thrown_at=1)
            ]

    switches = Switches(replace(store, switches=Silent()), clock)  # pyright: ignore[reportArgumentType] - stands in for the table
    with capture_logs() as lines, anyio.fail_after(SECONDS):
        async with switches.running():
            await silent.wait()
            assert switches.stopping(CALL, FACTS)
            await back.wait()
    assert [line["event"] for line in lines] == ["cannot read the kill switches"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "enforcement"}, "kind"),
        ({"kind": "planet"}, "kind"),
        ({"subject": ""}, "subject"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": 1e300}, "seconds"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    switches: Switches, change: dict[str, Any], reason: str
):
    given: dict[str, Any] = {"kind": "tool", "subject": "pay.refund", "reason": "r"}
    given |= {"actor": "user_9", "seconds": None, **change}
    with pytest.raises(InvalidRequest, match=reason):
        await switches.throw(**given)
    assert switches.all() == []


async def test_what_is_not_stopped_cannot_be_lifted(switches: Switches):
    with pytest.raises(NotFound, match=r"pay\.refund"):
        await switches.lift(kind="tool", subject="pay.refund", actor="user_9")


async def test_enforcement_ends_for_a_while_and_comes_back_by_itself(
    switches: Switches, clock: Watch
):
    assert switches.enforced(clock.now())
    with capture_logs() as lines:
        await switches.suspend(reason="incident 12", actor="user_9", seconds=60)
    assert [line["log_level"] for line in lines] == ["warning"]
    assert not switches.enforced(clock.now())
    assert switches.enforced(clock.now() + 61 * SECOND)
    await switches.resume(actor="user_9")
    await switches.resume(actor="user_9")
    assert switches.enforced(clock.now())


@pytest.mark.parametrize("seconds", [0, -1, MAX_UNENFORCED + 1, float("nan"), float("inf")])
async def test_enforcement_never_ends_for_longer_than_a_day(switches: Switches, seconds: float):
    with pytest.raises(InvalidRequest, match="24 hours"):
        await switches.suspend(reason="r", actor="user_9", seconds=seconds)


async def test_every_act_is_audited_with_who_and_why(store: Store, switches: Switches):
    await throw(switches, "tool", "pay.refund", seconds=60)
    await throw(switches, "workspace", "w")
    await switches.lift(kind="workspace", subject="w", actor="user_8")
    await switches.suspend(reason="incident 12", actor="user_7", seconds=60)
    found = [(row.kind, row.outcome, row.actor) for row in await records(store)]
    assert found == [
        ("switch", "thrown", "user_9"),
        ("switch", "thrown", "user_9"),
        ("switch", "lifted", "user_8"),
        ("enforcement", "thrown", "user_7"),
    ]
    [first, second, *_] = await records(store)
    assert (first.tool, second.workspace) == ("pay.refund", "w")
    assert first.body["reason"] == "it leaks"
