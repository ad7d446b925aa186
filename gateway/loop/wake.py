"""Keeps sessions running: one runner for each that has something to do, and none for the others.

`wake` is cheap and may be called for any reason; a session with nothing to do goes back to rest
at once. This is the turn's supervisor: what goes wrong in a runner ends that turn, visibly, and
nothing else.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import structlog
from anyio.abc import TaskGroup

from gateway.errors import Fenced, GatewayError
from gateway.loop.replay import replay
from gateway.loop.runner import Runner, Workshop
from gateway.store.records import Claim
from gateway.tools.catalog import Found

log = structlog.get_logger()

SWEEP_SECONDS = 15.0
"""How often sessions that nobody woke are looked for, as after another gateway died."""


class Wake:
    """Starts and stops runners. Enter `running` before use."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._slots = anyio.Semaphore(shop.loop.max_running)
        self._runners: dict[str, Runner | None] = {}
        self._again: set[str] = set()
        self._tasks: TaskGroup | None = None
        self._draining = False
        self._quiet = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run sessions until the exit; at the exit they stop where they are."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            self._shop.bus.listen(self._signal)
            tasks.start_soon(self._sweep)
            yield
            tasks.cancel_scope.cancel()

    def wake(self, session: str) -> None:
        """Something happened to this session: run it, or tell its runner."""
        if session in self._runners:
            self._again.add(session)
            self._signal(session)
        elif not self._draining:
            assert self._tasks is not None, "enter `running` first"
            self._runners[session] = None
            self._tasks.start_soon(self._run, session)

    def _signal(self, session: str) -> None:
        """Tell the session's runner, if it is here, that a client has done something."""
        runner = self._runners.get(session)
        if runner is not None:
            runner.signal()

    async def drain(self, seconds: float) -> int:
        """Start nothing new and wait for running turns; returns how many were left running."""
        self._draining = True
        with anyio.move_on_after(seconds):
            while self._runners:
                await self._quiet.wait()
                self._quiet = anyio.Event()
        return len(self._runners)

    async def _run(self, session: str) -> None:
        async with self._slots:
            if not await self._supervise(self._run_once, session):
                await self._supervise(self._abandon, session)
        del self._runners[session]
        self._quiet.set()
        if session in self._again:
            self._again.discard(session)
            self.wake(session)

    async def _supervise(self, work: Callable[[str], Awaitable[None]], session: str) -> bool:
        """Do something with a session; false when it met a fault, which is this turn's alone."""
        failed = False
        try:
            await work(session)
        except* Fenced:
            log.warning("lost the lease: another gateway runs this session", session=session)
        except* Exception:
            # One of the three supervisors: a fault in here ends this turn and nothing else.
            log.exception("runner failed", session=session)
            failed = True
        return not failed

    async def _run_once(self, session: str) -> None:
        self._again.discard(session)
        claim = await self._claim(session)
        if claim is not None:
            servers = claim.session.body["agent"]["mcp_servers"]
            found = await self._shop.gate.discover(session, servers)
            runner = self._runners[session] = await self._take_up(claim, found)
            await runner.run()

    async def _abandon(self, session: str) -> None:
        """End a turn that met a fault of ours, so that its client is not left waiting."""
        claim = await self._claim(session)
        if claim is not None:
            runner = await self._take_up(claim, Found({}, {}))
            await runner.abandon("The gateway met an internal error; see its log.")

    async def _claim(self, session: str) -> Claim | None:
        claim = await self._shop.store.log.claim(
            session=session, owner=self._shop.owner, now=self._shop.clock.now()
        )
        ended = claim is None or claim.session.head.status == "terminated"
        return None if ended else claim

    async def _take_up(self, claim: Claim, found: Found) -> Runner:
        actor = claim.session.actor
        principal = await self._shop.store.people.principal(id=actor) if actor else None
        return Runner(self._shop, claim, replay(claim), principal=principal, found=found)

    async def _sweep(self) -> None:
        while True:
            try:
                for session in await self._shop.store.leases.pending():
                    self.wake(session)
            except GatewayError as error:
                log.warning("cannot look for sessions to run", error=str(error))
            await anyio.sleep(SWEEP_SECONDS)
