"""Sandboxes started ahead, so that a session need not wait for a slow driver.

One is used once: it is handed out, becomes the session's with its layer and its user id, and is
never taken back. What it was started with is the same for everyone who asks for its kind, and
nothing in it is anybody's before the claim. So a kind is a root, limits, arguments and mounts that
nobody inside can write to; the program inside, the engine and its runtime are the driver's for as
long as it lives. A kind is kept once it was asked for twice, so what has mounts of its own never
is, and only the kinds that were last asked for are.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import anyio
from anyio.abc import TaskGroup

from sandbox.cell import Cell
from sandbox.contract import Limits, Mount, SandboxError, SandboxSpec

PREFIX = "warm-"
"""How the names of those begin that wait."""
MAX_AGE = 600.0
KINDS = 4
_MAX_ONCE = 64
_PAUSE_SECONDS = 1.0
"""Between two starts: a crowd of sessions starts cold rather than twice."""
_BACKOFF_SECONDS = 30.0
_LOOK_SECONDS = 15.0
_ANSWER_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kind:
    root: Path | None
    limits: Limits
    arguments: tuple[str, ...]
    mounts: tuple[Mount, ...]

    def spec(self) -> SandboxSpec:
        return SandboxSpec(
            id=PREFIX + secrets.token_hex(8),
            root=self.root,
            limits=self.limits,
            arguments=self.arguments,
            mounts=self.mounts,
        )


@dataclass(frozen=True, slots=True)
class _Waiting:
    cell: Cell
    born: float


class Pool:
    """Keeps `idle` sandboxes ready of each kind that is asked for again."""

    def __init__(
        self,
        tasks: TaskGroup,
        make: Callable[[SandboxSpec], Awaitable[Cell]],
        *,
        idle: int,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """Start nothing yet; `make` starts a sandbox of that name."""
        self._tasks = tasks
        self._make = make
        self._idle = idle
        self._now = now
        self._kinds: OrderedDict[_Kind, list[_Waiting]] = OrderedDict()
        self._once: OrderedDict[_Kind, None] = OrderedDict()
        """Asked for once, the last at the end."""
        self._wanted = anyio.Event()
        self._grown = anyio.Event()
        self._running: anyio.CancelScope | None = None

    async def take(self, spec: SandboxSpec) -> Cell | None:
        """One that fits and answers, for the caller alone; None if there is none."""
        if self._idle == 0 or any(mount.writable for mount in spec.mounts):
            return None
        waiting = self._remember(_Kind(spec.root, spec.limits, spec.arguments, spec.mounts))
        while waiting:
            one = waiting.pop(0)  # nobody else can have it from here
            if one.born + MAX_AGE > self._now() and await _answers(one.cell):
                return one.cell
            await _end(one.cell)
        return None

    def count(self) -> int:
        """How many wait."""
        return sum(map(len, self._kinds.values()))

    async def wait_full(self) -> None:
        """Wait until there are as many of each kind as there should be."""
        while any(len(waiting) < self._idle for waiting in self._kinds.values()):
            await self._grown.wait()

    async def aclose(self) -> None:
        """End everyone who waits, with their layers."""
        if self._running is not None:
            self._running.cancel()
        for waiting in list(self._kinds.values()):
            while waiting:
                await _end(waiting.pop().cell)

    def _remember(self, kind: _Kind) -> list[_Waiting]:
        """Those of a kind that wait; from the second time on there will be some."""
        if kind not in self._kinds and kind not in self._once:
            self._once[kind] = None
            if len(self._once) > _MAX_ONCE:
                self._once.popitem(last=False)
            return []
        self._once.pop(kind, None)
        waiting = self._kinds.setdefault(kind, [])
        self._kinds.move_to_end(kind)
        self._wanted.set()
        if self._running is None:
            self._running = anyio.CancelScope()
            self._tasks.start_soon(self._fill, self._running, name="pool of sandboxes")
        return waiting

    async def _fill(self, scope: anyio.CancelScope) -> None:
        """Start what is missing, one at a time, and end what is old, until closed."""
        with scope:
            while True:
                await self._weed()
                short = [kind for kind in self._kinds if len(self._kinds[kind]) < self._idle]
                if short:
                    await anyio.sleep(await self._start(short[-1]))
                    continue
                self._wanted = anyio.Event()
                with anyio.move_on_after(_LOOK_SECONDS):
                    await self._wanted.wait()
        self._running = None

    async def _weed(self) -> None:
        while len(self._kinds) > KINDS:
            _, waiting = self._kinds.popitem(last=False)
            for one in waiting:
                await _end(one.cell)
        for waiting in list(self._kinds.values()):
            for one in list(waiting):
                old = one.born + MAX_AGE <= self._now()
                if one in waiting and (old or not one.cell.alive):
                    waiting.remove(one)
                    await _end(one.cell)

    async def _start(self, kind: _Kind) -> float:
        """Start one; returns how long to wait before the next."""
        try:
            cell = await self._make(kind.spec())
        except SandboxError as error:
            _log.warning("no sandbox could be started ahead: %s", error)
            return _BACKOFF_SECONDS
        if kind in self._kinds:
            self._kinds[kind].append(_Waiting(cell, self._now()))
            self._grown.set()
            self._grown = anyio.Event()
        else:
            await _end(cell)
        return _PAUSE_SECONDS


async def _answers(cell: Cell) -> bool:
    with anyio.move_on_after(_ANSWER_SECONDS), suppress(SandboxError, FileNotFoundError):
        await cell.pull("/etc/hostname", max_bytes=100)
        return True
    return False


async def _end(cell: Cell) -> None:
    with anyio.CancelScope(shield=True):
        try:
            await cell.destroy()
        except SandboxError as error:
            _log.warning("a sandbox that nobody used does not end: %s", error)
