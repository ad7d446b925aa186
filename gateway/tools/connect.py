"""Connections to tool servers: the sandbox of each session that needs one, and its tool channel.

A sandbox is made at the first call that needs it and never earlier. When its session has been
idle for a while its processes stop and its files stay; the next call starts again on the same
files. A sandbox that died is simply replaced at the next call.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskGroup

from gateway.store.records import SandboxRow
from gateway.store.store import Store
from gateway.tools.server import ToolServer
from sandbox.contract import (
    Driver,
    Limits,
    Requirement,
    Sandbox,
    SandboxError,
    SandboxGone,
    SandboxSpec,
)

log = structlog.get_logger()


@dataclass(slots=True)
class _Place:
    """What one session has right now."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    sandbox: Sandbox | None = None
    server: ToolServer | None = None
    calls: int = 0
    parked: anyio.CancelScope | None = None
    """Cancels the pending stop of an idle sandbox."""


class Connections:
    """Tool servers by session. Enter `running` before use."""

    def __init__(
        self,
        driver: Driver,
        store: Store,
        *,
        name: str,
        limits: Limits,
        require: frozenset[Requirement],
        host: str,
        idle_seconds: float,
    ) -> None:
        self._driver = driver
        self._store = store
        self._name = name
        self._limits = limits
        self._require = require
        self._host = host
        self._idle_seconds = idle_seconds
        self._places: dict[str, _Place] = {}
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Reap what an earlier process left, and own this one's sandboxes until the exit."""
        rows = await self._store.sandboxes.all(host=self._host)
        await self._driver.reap(frozenset(row.ref for row in rows))
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._driver.aclose()

    @asynccontextmanager
    async def server(self, session: str) -> AsyncGenerator[tuple[ToolServer, Sandbox]]:
        """The session's tool server, started if need be, kept for the length of the block.

        Raises:
            SandboxError: No sandbox could be started.
        """
        place = self._places.setdefault(session, _Place())
        place.calls += 1
        try:
            if place.parked is not None:
                place.parked.cancel()
            async with place.lock:
                server, sandbox = await self._ready(session, place)
            yield server, sandbox
        finally:
            place.calls -= 1

    async def _ready(self, session: str, place: _Place) -> tuple[ToolServer, Sandbox]:
        sandbox = place.sandbox
        if sandbox is None or not sandbox.alive:
            if sandbox is not None:
                await sandbox.destroy(keep_layer=True)
            place.sandbox = place.server = None
            sandbox = place.sandbox = await self._start(session)
        server = place.server
        if server is None or server.closed:
            server = ToolServer(await sandbox.open("tools"))
            place.server = server
            assert self._tasks is not None, "enter `running` first"
            self._tasks.start_soon(server.listen)
        return server, sandbox

    async def _start(self, session: str) -> Sandbox:
        spec = SandboxSpec(id=session, limits=self._limits, require=self._require)
        row = await self._store.sandboxes.get(owner=session)
        sandbox = await self._adopt(row.ref, spec) if row is not None else None
        if sandbox is None:
            sandbox = await self._driver.create(spec)
            await self._record(session, sandbox, row.generation + 1 if row else 1)
        await sandbox.claim(env={})
        return sandbox

    async def _adopt(self, ref: str, spec: SandboxSpec) -> Sandbox | None:
        try:
            return await self._driver.adopt(ref, spec)
        except SandboxGone:
            return None

    async def _record(self, session: str, sandbox: Sandbox, generation: int) -> None:
        row = SandboxRow(
            owner=session,
            driver=self._name,
            host=self._host,
            ref=sandbox.ref,
            uid=None,
            generation=generation,
        )
        await self._store.sandboxes.put(row=row)

    def park(self, session: str) -> None:
        """The session went idle: stop its processes after a while, unless it wakes before."""
        place = self._places.get(session)
        if place is None or self._tasks is None:
            return
        if place.parked is not None:
            place.parked.cancel()
        self._tasks.start_soon(self._stop_later, session, place)

    async def _stop_later(self, session: str, place: _Place) -> None:
        with anyio.CancelScope() as place.parked:
            await anyio.sleep(self._idle_seconds)
            async with place.lock:
                if place.calls == 0:
                    await self._suspend(session, place)

    async def _suspend(self, session: str, place: _Place) -> None:
        try:
            await self._stop(session, place, keep_layer=True)
        except SandboxError as error:
            log.warning("sandbox not stopped", session=session, error=str(error))

    async def _stop(self, session: str, place: _Place, *, keep_layer: bool) -> None:
        sandbox, server = place.sandbox, place.server
        place.sandbox = place.server = None
        with anyio.CancelScope(shield=True):
            if server is not None:
                await server.aclose()
            if sandbox is not None:
                await sandbox.destroy(keep_layer=keep_layer)
        # A call that arrived meanwhile waits for the lock and will start again in this place.
        if place.calls == 0:
            self._places.pop(session, None)

    async def discard(self, session: str, row: SandboxRow | None) -> None:
        """The session was deleted: its processes and its files go too.

        `row` said which sandbox held them, until it was deleted with the session.
        """
        place = self._places.get(session)
        if place is not None:
            async with place.lock:
                await self._stop(session, place, keep_layer=False)
        elif row is not None and row.host == self._host:
            rows = await self._store.sandboxes.all(host=self._host)
            await self._driver.reap(frozenset(other.ref for other in rows))
