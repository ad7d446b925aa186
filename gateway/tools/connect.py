"""Connections to tool servers: the sandbox of each session that needs one, and its tool channel.

A sandbox is made at the first call that needs it and never earlier. What becomes of it when its
session rests says `gateway.tools.park`; the next call starts again on the same files. A sandbox
that died is simply replaced at the next call.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import TaskGroup

from gateway.clock import Clock
from gateway.store.records import SandboxRow
from gateway.tools.attic import Attic
from gateway.tools.build import BuildPending
from gateway.tools.install import BuildFailed
from gateway.tools.notice import Notice
from gateway.tools.outfit import Outfitter
from gateway.tools.park import Ladder, Rungs
from gateway.tools.place import Kind, Place
from gateway.tools.room import Room, Rooms
from gateway.tools.server import ToolServer
from sandbox.contract import Driver, Sandbox, SandboxError, SandboxGone


class Connections:
    """Tool servers by session. Enter `running` before use."""

    def __init__(
        self, driver: Driver, attic: Attic, outfitter: Outfitter, clock: Clock, rungs: Rungs
    ) -> None:
        self._driver = driver
        self._attic = attic
        self._outfitter = outfitter
        self._rooms = Rooms()
        self._ladder = Ladder(self._rooms, attic, clock, rungs, self._stop)
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Reap what an earlier process left, and own this one's sandboxes until the exit."""
        await self._attic.open()
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._ladder.sweep_on, name="sandboxes that rest")
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    for room in self._rooms.every():
                        if room.server is not None:
                            await room.server.aclose()
                    await self._driver.aclose()

    @asynccontextmanager
    async def server(
        self, session: str, kind: Kind = "tools"
    ) -> AsyncGenerator[tuple[ToolServer, Sandbox]]:
        """The session's tool server, started if need be, kept for the length of the block.

        Raises:
            SandboxError: No sandbox could be started.
        """
        room = self._rooms.enter(Place(session=session, kind=kind))
        room.calls += 1
        try:
            room.disturb()
            room.uses += 1
            async with room.lock:
                server, sandbox = await self._ready(room)
            yield server, sandbox
        finally:
            room.calls -= 1

    async def prepare(self, session: str) -> None:
        """Bring what the session's sandbox should have before the model is asked, or try again.

        What could not be had is among `take_notices`. Nothing starts if there is nothing to bring.
        """
        place = Place(session=session)
        lacking = await self._outfitter.lacks(place)
        if not lacking:
            return
        room = self._rooms.enter(place)
        room.equipped = False
        try:
            async with self.server(session):
                pass
        except (BuildFailed, BuildPending):
            pass  # which is told; what was to be brought comes with the sandbox
        except (SandboxError, OSError) as error:
            room.report(self._outfitter.regret(lacking, error))

    async def collect(self, session: str) -> None:
        """Make files of what the session's programs have put out, if they may have.

        It never raises: what cannot be taken now is logged, and there at the next look.
        """
        for room in self._rooms.of(session):
            async with room.looking:
                sandbox, uses = room.sandbox, room.uses
                if sandbox is not None and room.place.lasting and room.looked < uses:
                    await self._outfitter.collect(room.place, sandbox)
                    room.looked = uses - room.calls

    def take_news(self, session: str) -> str | None:
        """What the model has to know of how the session's sandbox came about; told once."""
        room = self._rooms.enter(Place(session=session))
        news, room.news = room.news, []
        return "\n".join(news) or None

    def take_notices(self, session: str) -> list[Notice]:
        """What the client has to know of the same; told once."""
        room = self._rooms.find(Place(session=session))
        if room is None:
            return []
        notices, room.notices = room.notices, []
        return notices

    async def _ready(self, room: Room) -> tuple[ToolServer, Sandbox]:
        sandbox = room.sandbox
        if sandbox is not None and room.frozen:
            room.frozen = False
            with suppress(SandboxGone):  # which shows below
                await sandbox.thaw()
        if sandbox is None or not sandbox.alive:
            if sandbox is not None:
                await self._stop(room)
            sandbox = room.sandbox = await self._start(room)
        if not room.equipped:
            missing = await self._outfitter.equip(room.place, sandbox)
            room.equipped = True
            room.report(missing)
            room.news += [each.message for each in missing]
        server = room.server
        if server is None or server.closed:
            server = ToolServer(await sandbox.open("tools"))
            room.server = server
            assert self._tasks is not None, "enter `running` first"
            self._tasks.start_soon(server.listen)
        return server, sandbox

    async def _start(self, room: Room) -> Sandbox:
        place = room.place
        room.equipped = False
        try:
            spec = await self._outfitter.prepare(place)
        except BuildFailed as error:
            room.report([Notice("unknown_error", f"Packages were not installed: {error}")])
            raise
        if place.lasting:
            sandbox, news = await self._attic.take_out(place.owner, spec)
            room.news = [*filter(None, [news])]
        else:
            sandbox = await self._driver.create(spec)
        try:
            env, missing = await self._outfitter.furnish(place, sandbox)
            await sandbox.claim(env=env)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._outfitter.release(place)
                await sandbox.destroy(keep_layer=place.lasting)
            raise
        room.report(missing)
        room.news += [each.message for each in missing]
        return sandbox

    def wake(self, session: str) -> None:
        """The session is at work: its sandboxes stay as they are."""
        for room in self._rooms.of(session):
            room.disturb()
            room.told.clear()

    def park(self, session: str) -> None:
        """The session rests: its sandboxes go down the ladder, unless it wakes before."""
        if self._tasks is None:
            return
        self._tasks.start_soon(self.collect, session)
        for room in self._rooms.of(session):
            if room.sandbox is not None:
                self._ladder.let_down(room, self._tasks)

    async def _stop(self, room: Room) -> None:
        """End what runs in a room, and keep what should be kept."""
        sandbox, lasting = room.sandbox, room.place.lasting
        lost = await _count(sandbox) if sandbox is not None and lasting else None
        await self._destroy(room, keep_layer=lasting)
        if sandbox is not None and lasting:
            await self._attic.rest(room.place.owner, lost)

    async def _destroy(self, room: Room, *, keep_layer: bool) -> None:
        sandbox, server = room.sandbox, room.server
        room.sandbox = room.server = None
        room.frozen = False
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
        for room in self._rooms.of(session):
            room.disturb()
            async with room.lock:
                await self._destroy(room, keep_layer=False)
            self._rooms.leave(room)
        if row is not None:
            await self._attic.discard(row)


async def _count(sandbox: Sandbox) -> int | None:
    """How many processes end when the sandbox does; None if it cannot be told any more."""
    try:
        return await sandbox.count_processes()
    except SandboxError:
        return None
