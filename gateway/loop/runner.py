"""Runs one session from the moment it wakes until it rests.

A runner claims the session's lease, folds its log into a state, and then does what
`gateway.loop.machine` says, one effect after the other. It keeps nothing when it ends. Everything
it learns is in the log, so whatever dies, the next runner goes on from there.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal

import anyio
import structlog
from anyio.abc import TaskGroup

from gateway.clock import Clock
from gateway.loop import draft, machine
from gateway.loop.acting import Acting
from gateway.loop.calls import Calls
from gateway.loop.fold import INTERRUPTED
from gateway.loop.frame import Frame
from gateway.loop.grade import Grader
from gateway.loop.journal import Journal
from gateway.loop.outset import Outset
from gateway.loop.passage import Passage
from gateway.loop.request import Requests
from gateway.loop.scribe import Scribe
from gateway.loop.state import OpenCall, State, ThreadState
from gateway.model.contract import Model
from gateway.model.price import Prices
from gateway.policy.audit import Redaction
from gateway.rulebook import Rulebook
from gateway.settings import Loop, Models
from gateway.store.bus import Bus
from gateway.store.people import PrincipalRow
from gateway.store.records import Claim, Input
from gateway.store.store import Store
from gateway.tools import catalog
from gateway.tools.admission import Admitted, Refused
from gateway.tools.call import Gate
from gateway.tools.catalog import Found
from gateway.tools.result import Result, failure
from gateway.wire.usage import active_micros, usage

log = structlog.get_logger()

_COLLECT_SECONDS = 5.0
_UNKNOWN = "outcome unknown: the server restarted during this call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Everything a runner works with; the same for all of them."""

    store: Store
    bus: Bus[Frame]
    clock: Clock
    owner: str
    """This gateway, as leases name it."""
    model: Model
    prices: Prices
    gate: Gate
    rulebook: Rulebook
    redaction: Redaction
    approval_micros: int
    """How long a call that the enterprise asks about waits for an answer."""
    wake: Callable[[str], None]
    """Told when a session is at work, so that its sandbox stays as it is."""
    park: Callable[[str], None]
    """Told when it is not any more, so that its sandbox may be stopped."""
    collect: Callable[[str], Awaitable[None]]
    """Makes files of what the session's programs have put out; never raises."""
    collect_seconds: float
    """Between two such looks while a session is at work."""
    loop: Loop
    models: Models


class Runner:
    """One session under one lease. `signal` may be called at any time."""

    def __init__(
        self,
        shop: Workshop,
        claim: Claim,
        state: State,
        *,
        principal: PrincipalRow | None,
        found: Found,
    ) -> None:
        """Take up a session; `found` is what its MCP servers said, `principal` whom it is for."""
        self._shop = shop
        self._journal = Journal(
            claim,
            state,
            store=shop.store,
            bus=shop.bus,
            clock=shop.clock,
            owner=shop.owner,
        )
        body = claim.session.body
        self._agent = body["agent"]
        self._missing = found.missing
        self._catalog = catalog.build(self._agent["tools"], body["environment_type"], found.remote)
        self._acting = acting = Acting(
            journal=self._journal,
            store=shop.store,
            rulebook=shop.rulebook,
            clock=shop.clock,
            redaction=shop.redaction,
            principal=principal,
            approval_micros=shop.approval_micros,
        )
        scribe = Scribe(self._journal, shop.gate, self._catalog, shop.prices, acting)
        self._requests = Requests(
            self._journal,
            scribe,
            model=shop.model,
            settings=shop.models,
            tools=lambda: shop.gate.visible_tools(self._catalog, acting.standing()),
        )
        self._scribe = scribe
        self._grader = Grader(
            self._journal, model=shop.model, gate=shop.gate, prices=shop.prices, acting=acting
        )
        self._calls = Calls(shop.gate, parallel=shop.loop.parallel_calls, done=self._stir)
        window = shop.model.capabilities(self._agent["model"]["id"]).max_input_tokens
        self._limits = machine.Limits(
            max_tool_rounds=shop.loop.max_tool_rounds,
            max_compactions=shop.loop.max_compactions,
            compact_tokens=int(shop.loop.compact_at * window),
        )
        self._outset = Outset(self._journal, shop.gate, self._catalog)
        self._changed = anyio.Event()
        self._news = anyio.Event()

    def signal(self) -> None:
        """A client has sent something, or changed the session: look at once."""
        self._news.set()

    def _stir(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Work until the session rests.

        Raises:
            Fenced: Another runner has taken over; nothing of this one was written since.
        """
        self._shop.wake(self._journal.id)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch)
                tasks.start_soon(self._collect)
                await self._work(tasks)
                tasks.cancel_scope.cancel()
        finally:
            self._shop.park(self._journal.id)

    async def abandon(self, message: str) -> None:
        """Settle whatever is open, say why, and rest."""
        thread = self._journal.state.main
        self._scribe.fail_span(thread)
        self._settle_all(list(thread.calls.values()), message)
        self._requests.give_up(thread, "unknown_error", message)
        await self._rest(machine.Rest("retries_exhausted", []))

    async def _watch(self) -> None:
        """Bring in what clients send while the runner is busy."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            await self._journal.refresh()
            if self._journal.interrupted:
                self._outset.interrupt()
                self._requests.interrupt()
                self._grader.interrupt()
            self._stir()

    async def _collect(self) -> None:
        """Show what a long turn puts out before it ends (spec/resources F-25)."""
        while True:
            await anyio.sleep(self._shop.collect_seconds)
            await self._shop.collect(self._journal.id)

    async def _work(self, tasks: TaskGroup) -> None:
        self._recover()
        while not await self._do(self._next(), tasks):
            self._write_results()

    def _next(self) -> machine.Effect:
        journal = self._journal
        over = self._over_budget()
        return machine.step(journal.state, journal.inputs, self._limits, over_budget=over)

    async def _do(self, effect: machine.Effect, tasks: TaskGroup) -> bool:
        """Carry out one effect; true when the session has come to rest."""
        journal = self._journal
        match effect:
            case machine.Interrupt(inputs):
                self._interrupt(inputs)
            case machine.Take(inputs):
                journal.consume(inputs)
            case machine.Run(calls):
                await self._run(calls, tasks)
            case machine.Wait():
                await self._wait()
            case machine.Ask(thread):
                await self._ask(thread)
            case machine.Compact(thread):
                self._begin()
                await self._requests.compact(thread)
            case machine.Grade(outcome):
                self._begin()
                await self._grader.grade(outcome)
            case machine.GiveUp(thread, error, message):
                self._requests.give_up(thread, error, message)
            case machine.Rest() as rest:
                return await self._rest(rest)
        return False

    async def _ask(self, thread: ThreadState) -> None:
        self._begin()
        if await self._outset.prepare():
            await self._requests.ask(thread)

    def _begin(self) -> None:
        """The session is at work; say so once."""
        journal, thread = self._journal, self._journal.state.main
        was_idle = journal.state.status == "idle"
        if journal.state.status != "running":
            journal.write(draft.session_running())
        if thread.status != "running":
            journal.write(draft.thread_running(thread.id, self._agent["name"]), thread.id)
        if was_idle:
            self._outset.due = True
            self._miss_servers()

    def _miss_servers(self) -> None:
        """Say which MCP servers could not be asked, and go on without them (spec/core 8.3)."""
        for name, text in self._missing.items():
            error = draft.error(
                "mcp_connection_failed_error", text, "retrying", mcp_server_name=name
            )
            self._journal.write(error)

    async def _run(self, calls: list[OpenCall], tasks: TaskGroup) -> None:
        """Let calls leave that may, each after the record that it may."""
        self._begin()
        passage = Passage(self._acting, self._shop.gate, self._catalog)
        admissions = [await passage.admit(call) for call in calls]
        await self._journal.flush()
        for call, admission in zip(calls, admissions, strict=True):
            if isinstance(admission, Admitted):
                call.running = True
                self._calls.start(tasks, admission)
            elif isinstance(admission, Refused):
                self._settle(call, admission.result, refused=True)
            else:  # a tool that ran with us when the call was made
                self._settle(call, failure(f"{call.name}: call it again"), refused=True)

    async def _wait(self) -> None:
        await self._journal.flush()
        await self._changed.wait()
        self._changed = anyio.Event()

    def _write_results(self) -> None:
        """Write down the calls that have come back, unless something else has settled them."""
        self._outset.tell()
        thread = self._journal.state.main
        for finished in self._calls.take_finished():
            call = thread.calls.get(finished.event)
            if call is not None:
                call.running = False
                self._settle(call, finished.result)

    def _settle(self, call: OpenCall, result: Result, *, refused: bool = False) -> None:
        private = dict(result.spent or {})
        if refused or call.stage == "confirm":
            private["refused"] = True
        elif result.is_error and result.answered:
            private["failed"] = True
        drafted = draft.tool_result(
            call.type, call.event, result.content, is_error=result.is_error, private=private or None
        )
        self._journal.write(drafted, self._journal.state.primary)

    def _settle_all(self, calls: list[OpenCall], text: str) -> None:
        for call in calls:
            if call.stage == "confirm":
                self._journal.withdraw(call.event)
            self._settle(call, failure(text))

    def _interrupt(self, inputs: list[Input]) -> None:
        """Stop whatever runs and end the turn (spec/core 6.8)."""
        thread = self._journal.state.main
        self._calls.stop()
        self._scribe.fail_span(thread)
        self._journal.consume(inputs)
        self._settle_all(list(thread.calls.values()), INTERRUPTED)
        outcome = self._journal.state.active_outcome()
        if outcome is not None:
            self._journal.write(self._grader.interrupted(outcome))
        # The turn ends here for clients too, also when a message is queued behind the interrupt.
        for ending in self._idle(machine.Rest("end_turn", [])):
            self._journal.write(ending)

    def _recover(self) -> None:
        """Settle what an earlier runner left in mid-air (spec/core 12a)."""
        journal, thread = self._journal, self._journal.state.main
        rerun = frozenset(t.called for t in self._catalog.visible() if t.read_only)
        if journal.state.status != "running":
            return
        lost = machine.recover(journal.state, rerun)
        self._scribe.fail_span(thread)
        self._settle_all(lost, _UNKNOWN)
        stopped_at = journal.state.last_event_at
        journal.write(draft.session_rescheduled(stopped_at))
        journal.write(
            draft.thread_rescheduled(thread.id, self._agent["name"], stopped_at), thread.id
        )
        log.info("session recovered", session=journal.id, lost_calls=len(lost))

    async def _rest(self, rest: machine.Rest) -> bool:
        with anyio.move_on_after(_COLLECT_SECONDS):  # more than that comes after the turn
            await self._shop.collect(self._journal.id)
        return await self._journal.rest(self._idle(rest))

    def _idle(self, rest: machine.Rest) -> list[draft.Draft]:
        """The last events of a turn; none when the session already rests for this reason."""
        state, thread = self._journal.state, self._journal.state.main
        reason = rest.reason
        if reason == "end_turn" and self._over_budget():
            # The thread has ended its turn; the session cannot start another (spec/core 8.6).
            reason = "budget_reached"
        known = (state.stop_reason or "end_turn", state.shown_waiting)
        if state.status == "idle" and known == (reason, rest.event_ids):
            return []
        drafts: list[draft.Draft] = []
        if thread.status != "idle":
            name = self._agent["name"]
            drafts.append(
                draft.thread_idle(thread.id, name, rest.reason, rest.event_ids, rest.details)
            )
        drafts.append(draft.usage(self._usage(), self._journal.session.body["budget"]))
        drafts.append(draft.session_idle(reason, rest.event_ids, rest.details))
        return drafts

    def _usage(self) -> dict[str, object]:
        active = self._active()
        priced = self._shop.prices.priced(self._agent["model"]["id"])
        cents = str(self._cost(active)) if priced else None
        return usage(self._journal.state.usage, active, cents)

    def _active(self) -> int:
        state = self._journal.state
        return active_micros(state.active_micros, state.running_since, self._journal.now())

    def _cost(self, active: int) -> Decimal:
        return Decimal(self._journal.state.cost) + self._shop.prices.runtime_cents(active)

    def _over_budget(self) -> bool:
        """Whether the exact cost has reached the session's cap (spec/core 8.6)."""
        budget = self._journal.session.body["budget"]
        if budget is None:
            return False
        return self._cost(self._active()) >= Decimal(budget["max_list_cost"]["amount"])
