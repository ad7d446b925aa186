"""Connections to tool servers: the sandbox of each session that needs one, and its tool channel.

A sandbox is made at the first call that needs it and never earlier. When its session has been
idle for a while its processes stop and its files stay; the next call starts again on the same
files. A sandbox that died is simply replaced at the next call.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskGroup

from gateway.store.records import SandboxRow
from gateway.store.store import Store
from gateway.tools.outfit import Kind, Outfitter, Place
from gateway.tools.server import ToolServer
from sandbox.contract import Driver, Sandbox, SandboxError, SandboxGone, SandboxSpec

log = structlog.get_logger()


@dataclass(slots=True)
class _Room:
    """What runs in one place right now."""

    place: Place
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
        outfitter: Outfitter,
        *,
        name: str,
        host: str,
        idle_seconds: float,
    ) -> None:
        self._driver = driver
        self._store = store
        self._outfitter = outfitter
        self._name = name
        self._host = host
        self._idle_seconds = idle_seconds
        self._rooms: dict[Place, _Room] = {}
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
    async def server(
        self, session: str, kind: Kind = "tools"
    ) -> AsyncGenerator[tuple[ToolServer, Sandbox]]:
        """The session's tool server, started if need be, kept for the length of the block.

        Raises:
            SandboxError: No sandbox could be started.
        """
        place = Place(session=session, kind=kind)
        room = self._rooms.setdefault(place, _Room(place))
        room.calls += 1
        try:
            if room.parked is not None:
                room.parked.cancel()
            async with room.lock:
                server, sandbox = await self._ready(room)
            yield server, sandbox
        finally:
            room.calls -= 1

    async def _ready(self, room: _Room) -> tuple[ToolServer, Sandbox]:
        sandbox = room.sandbox
        if sandbox is None or not sandbox.alive:
            if sandbox is not None:
                await self._stop(room, keep_layer=room.place.lasting)
            sandbox = room.sandbox = await self._start(room.place)
        server = room.server
        if server is None or server.closed:
            server = ToolServer(await sandbox.open("tools"))
            room.server = server
            assert self._tasks is not None, "enter `running` first"
            self._tasks.start_soon(server.listen)
        return server, sandbox

    async def _start(self, place: Place) -> Sandbox:
        spec = await self._outfitter.prepare(place)
        sandbox = await (self._resume(place, spec) if place.lasting else self._driver.create(spec))
        try:
            await sandbox.claim(env=await self._outfitter.furnish(place, sandbox))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._outfitter.release(place)
                await sandbox.destroy(keep_layer=place.lasting)
            raise
        return sandbox

    async def _resume(self, place: Place, spec: SandboxSpec) -> Sandbox:
        """Start on the files of the last time, or else on none."""
        row = await self._store.sandboxes.get(owner=place.owner)
        if row is not None:
            with suppress(SandboxGone):
                return await self._driver.adopt(row.ref, spec)
        sandbox = await self._driver.create(spec)
        await self._record(place, sandbox, row.generation + 1 if row else 1)
        return sandbox

    async def _record(self, place: Place, sandbox: Sandbox, generation: int) -> None:
        row = SandboxRow(
            owner=place.owner,
            driver=self._name,
            host=self._host,
            ref=sandbox.ref,
            uid=None,
            generation=generation,
        )
        await self._store.sandboxes.put(row=row)

    def park(self, session: str) -> None:
        """The session went idle: stop its processes after a while, unless it wakes before."""
        for room in self._rooms_of(session):
            if self._tasks is not None:
                if room.parked is not None:
                    room.parked.cancel()
                self._tasks.start_soon(self._stop_later, room)

    async def _stop_later(self, room: _Room) -> None:
        with anyio.CancelScope() as room.parked:
            await anyio.sleep(self._idle_seconds)
            async with room.lock:
                if room.calls == 0:
                    await self._suspend(room)

    async def _suspend(self, room: _Room) -> None:
        try:
            await self._close(room, keep_layer=room.place.lasting)
        except SandboxError as error:
            log.warning("sandbox not stopped", sandbox=room.place.owner, error=str(error))

    async def _close(self, room: _Room, *, keep_layer: bool) -> None:
        await self._stop(room, keep_layer=keep_layer)
        # A call that arrived meanwhile waits for the lock and will start again in this room.
        if room.calls == 0:
            self._rooms.pop(room.place, None)

    async def _stop(self, room: _Room, *, keep_layer: bool) -> None:
        sandbox, server = room.sandbox, room.server
        room.sandbox = room.server = None
        with anyio.CancelScope(shield=True):
            if server is not None:
                await server.aclose()
            if sandbox is not None:
                await self._outfitter.release(room.place)
                await sandbox.destroy(keep_layer=keep_layer)

    async def discard(self, session: str, row: SandboxRow | None) -> None:
        """The session was deleted: its processes and its files go too.

        `row` said which sandbox held them, until it was deleted with the session.
        """
        rooms = self._rooms_of(session)
        for room in rooms:
            async with room.lock:
                await self._close(room, keep_layer=False)
        if not any(room.place.lasting for room in rooms) and row and row.host == self._host:
            rows = await self._store.sandboxes.all(host=self._host)
            await self._driver.reap(frozenset(other.ref for other in rows))

    def _rooms_of(self, session: str) -> list[_Room]:
        return [room for place, room in self._rooms.items() if place.session == session]
