"""What becomes of a sandbox that nobody needs: it goes down a ladder, one rung after the other.

    freeze    its processes stop where they are; the next call goes on with them
    stop      its processes end; its files stay on their layer
    archive   its files become one archive, and the layer goes
    expire    some time after it was made, its files are gone (spec/core 3.4)

The first two rungs are for sandboxes that run, and are forgotten with the process. The others are
read from the store, so that they are taken whichever process runs then. A call that needs the
sandbox cuts short whatever happens to it, and it goes up again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskGroup

from gateway.clock import Clock
from gateway.errors import ApiError
from gateway.store.records import SandboxRow
from gateway.tools.attic import Attic
from gateway.tools.place import Place
from gateway.tools.room import Room, Rooms
from sandbox.contract import SandboxError

log = structlog.get_logger()

_MIN_SWEEP, _MAX_SWEEP = 0.2, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rungs:
    """After how many seconds without need each comes."""

    freeze: float
    idle: float
    """Until processes end; before `freeze`, they are not frozen."""
    archive: float

    @property
    def sweep(self) -> float:
        """Between two looks at what is due."""
        return min(max(self.archive / 10, _MIN_SWEEP), _MAX_SWEEP)


class Ladder:
    """Lets sandboxes down. `stop` ends what runs in a room and keeps what should be kept."""

    def __init__(
        self,
        rooms: Rooms,
        attic: Attic,
        clock: Clock,
        rungs: Rungs,
        stop: Callable[[Room], Awaitable[None]],
    ) -> None:
        self._rooms = rooms
        self._attic = attic
        self._clock = clock
        self._rungs = rungs
        self._stop = stop
        self._refused: dict[str, int | None] = {}
        """What could not be put away -> since when it rested; tried again when that changes."""

    def let_down(self, room: Room, tasks: TaskGroup) -> None:
        """Freeze what runs in a room, and end it, unless somebody needs it before."""
        room.disturb()
        room.pending = anyio.CancelScope()
        tasks.start_soon(self._let_down, room, room.pending)

    async def sweep_on(self) -> None:
        """Do what is due, now and from time to time, for ever."""
        while True:
            try:
                await self.sweep()
            except ApiError as error:
                log.warning("sandboxes not swept", error=error.message)
            await anyio.sleep(self._rungs.sweep)

    async def sweep(self) -> None:
        """Archive and expire what is due."""
        for row in await self._attic.expired():
            await self._attempt(row, self._attic.expire)
        before = self._clock.now() - int(self._rungs.archive * 10**6)
        for row in await self._attic.due(before):
            if self._refused.get(row.owner, -1) != row.idle_at:
                await self._attempt(row, self._attic.put_away)
        await self._attic.clear()

    async def _let_down(self, room: Room, pending: anyio.CancelScope) -> None:
        with pending:
            if self._rungs.freeze < self._rungs.idle:
                await anyio.sleep(self._rungs.freeze)
                await self._freeze(room)
                await anyio.sleep(self._rungs.idle - self._rungs.freeze)
            else:
                await anyio.sleep(self._rungs.idle)
            async with room.lock:
                # From here on it is ended, whoever comes; who comes waits for that.
                with anyio.CancelScope(shield=True):
                    await self._end(room)

    async def _freeze(self, room: Room) -> None:
        async with room.lock:
            if room.calls or room.sandbox is None:
                return
            try:
                room.frozen = True  # before: it may be cancelled when it has happened
                await room.sandbox.freeze()
            except SandboxError as error:
                room.frozen = False
                log.warning("sandbox not frozen", sandbox=room.place.owner, error=str(error))

    async def _end(self, room: Room) -> None:
        if room.calls:
            return
        try:
            await self._stop(room)
        except (SandboxError, ApiError) as error:
            log.warning("sandbox not stopped", sandbox=room.place.owner, error=str(error))
        room.pending = None
        self._rooms.leave(room)

    async def _attempt(self, row: SandboxRow, act: Callable[[SandboxRow], Awaitable[None]]) -> None:
        """Do something to a sandbox that rests, unless it is needed before that is done."""
        room = self._rooms.enter(Place(session=row.owner))
        with anyio.CancelScope() as pending:
            if room.calls or room.sandbox is not None:
                return
            room.pending = pending
            async with room.lock:
                try:
                    await act(row)
                    self._refused.pop(row.owner, None)
                except (SandboxError, ApiError) as error:
                    self._refused[row.owner] = row.idle_at
                    log.warning("sandbox not put away", sandbox=row.owner, error=str(error))
        if room.pending is pending:
            room.pending = None
        self._rooms.leave(room)
