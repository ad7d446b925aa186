"""Limits that no kernel keeps for us, kept by looking: disk, and memory without control groups.

Every half second it asks for little: how much the file system has left and, where memory has to
be watched, what the processes hold. A layer is measured only when the file system lost so much
that it could have grown too large, or when its turn has come; turns get rarer while nothing
changes, and together take a twentieth of one processor. So a sandbox goes over a limit for
a moment: by what it can write or touch in about a second.

Who is over a limit on disk loses its processes, all but the first, so that the next shell starts
and can delete. It may shrink then and loses them again when it grows. When the machine's own
disk is nearly full, so does everyone who makes it fuller.
"""

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import anyio

from sandbox.contract import Limits
from sandbox.limits import breaches, inmates
from sandbox.limits.breaches import Breaches
from sandbox.limits.inmates import Namespace
from sandbox.limits.meter import MAX_DEPTH
from sandbox.limits.quota import Meter, MeterError, Space, Usage, space
from sandbox.spawn import Process

LOOK_SECONDS = 0.5
MAX_PAUSE = 120.0
"""Seconds between two measurements of a layer that does not change."""
_MIN_PAUSE = 1.0
_SHARE = 20.0
"""A measurement is followed by a pause of so many times its length."""
_TOLERANCE = 1024**2
"""Bytes that a layer may grow by without being called a writer."""
_FILE_TOLERANCE = 100
_BEYOND = 2
"""How far over the limit a layer is measured, in limits, to see it grow or shrink."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False, weakref_slot=True)
class Ward:
    """A sandbox that is watched."""

    first: Process
    """Its first process, the ward's own copy: what shares its PID namespace is the sandbox's."""
    layer: Path
    limits: Limits
    breaches: Breaches
    usage: Usage | None = None
    """At the last measurement."""
    left: Space | None = None
    """What the file system had left then."""
    due: float = 0.0
    pause: float = _MIN_PAUSE
    namespace: Namespace | None = field(init=False)

    def __post_init__(self) -> None:
        self.namespace = inmates.namespace_inside(self.first)
        weakref.finalize(self, self.first.close)  # once no thread looks at it any more


class Watchdog:
    """Watches sandboxes for as long as `run` runs.

    Args:
        layers: A directory on the file system that holds the layers.
        meter: Measures them; closed when `run` ends.
        keep_free: Bytes of it that sandboxes must leave alone.
        memory: Whether nothing else bounds memory.
        processes: Whether nothing else counts refusals to start processes, or bounds them.
    """

    def __init__(
        self,
        layers: Path,
        meter: Meter,
        *,
        keep_free: int,
        memory: bool,
        processes: bool,
    ) -> None:
        self._layers = layers
        self._keep_free = keep_free
        self._memory = memory
        self._processes = processes
        self._meter = meter
        self._wards: list[Ward] = []
        self._occupied = anyio.Event()
        self._running = anyio.CancelScope()

    def watch(self, ward: Ward) -> None:
        """Begin to watch a sandbox."""
        self._wards.append(ward)
        self._occupied.set()

    def forget(self, ward: Ward) -> None:
        """A sandbox is over, whether it was watched or not."""
        if ward in self._wards:
            self._wards.remove(ward)
        if not self._wards:
            self._occupied = anyio.Event()

    async def run(self) -> None:
        """Look again and again until it is closed; rest while there is nobody to look at."""
        try:
            with self._running:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._repeat, self.look_at_disk)
                    if self._memory or self._processes:
                        tasks.start_soon(self._repeat, self.look_at_processes)
        finally:
            self._meter.close()

    def close(self) -> None:
        """Look no more."""
        self._running.cancel()
        self._meter.interrupt()

    def sees(self, layer: Path) -> bool:
        """Try whether the sandbox on `layer` can be watched; blocks."""
        for ward in self._living():
            if ward.layer == layer and ward.namespace in inmates.census():
                with suppress(MeterError):
                    return self._meter.measure(layer, most_bytes=1, most_files=1).files > 0
        return False

    def look_at_processes(self) -> None:
        """Look once at what processes hold; blocks."""
        crowd = inmates.census()
        for ward in self._living():
            self._count(ward, _pids(ward, crowd))

    def look_at_disk(self) -> None:
        """Look once at what was written; blocks, for seconds when much has to be measured."""
        try:
            left = space(self._layers)
        except OSError as error:
            _log.error("cannot see what the disk has left: %s", error)
            return
        full = left.bytes < self._keep_free
        for ward in self._living():
            if self._is_due(ward, left, full=full):
                self._weigh(ward, left, full=full)

    async def _repeat(self, look: Callable[[], None]) -> None:
        while True:
            await self._occupied.wait()
            await anyio.to_thread.run_sync(look)
            await anyio.sleep(LOOK_SECONDS)

    def _living(self) -> list[Ward]:
        return [ward for ward in list(self._wards) if not ward.first.exited]

    def _count(self, ward: Ward, pids: Sequence[int]) -> None:
        limits = ward.limits
        if self._processes and (tasks := inmates.count_tasks(pids)) >= limits.processes:
            ward.breaches.add("processes", breaches.processes_text(limits))
            if tasks > limits.processes:
                ward.breaches.settle(ward.first)
        if not self._memory or _memory(ward, pids, exactly=False) <= limits.memory:
            return
        if _memory(ward, pids, exactly=True) > limits.memory and ward.namespace is not None:
            ward.breaches.add("memory", breaches.memory_text(limits))
            # The first process is the last to go: the sandbox ends with it.
            victim = max(pids, key=lambda pid: (pid != ward.first.pid, inmates.memory_of(pid)))
            inmates.kill(victim, ward.first, ward.namespace)

    def _is_due(self, ward: Ward, left: Space, *, full: bool) -> bool:
        if ward.usage is None or ward.left is None or monotonic() >= ward.due:
            return True
        lost = ward.left.bytes - left.bytes
        if full and lost > _TOLERANCE:
            return True
        room = max(ward.limits.disk - ward.usage.bytes, 0)
        if lost > max(room / 2, _TOLERANCE):
            return True
        if left.files is None or ward.left.files is None:
            return False
        room = max(ward.limits.files - ward.usage.files, 0)
        return ward.left.files - left.files > max(room / 2, _FILE_TOLERANCE)

    def _weigh(self, ward: Ward, left: Space, *, full: bool) -> None:
        before = ward.usage
        lost = 0 if ward.left is None else ward.left.bytes - left.bytes
        layer = ward.layer
        try:
            usage = self._measure(ward, left)
        except MeterError as error:
            moved = ward.layer != layer
            if not (moved or ward.first.exited or self._running.cancel_called):
                _log.error("%s", error)
            return
        breach = _judge(ward.limits, before, usage, full=full, lost=lost)
        if breach is None:
            ward.usage = _least(ward.limits, before, usage)
            return
        _log.warning("sandbox %s: %s", ward.layer.name, breach[1])
        with ward.breaches.acting:
            ward.breaches.add(*breach)
            if ward.namespace is None:
                ward.first.kill()
            else:
                inmates.kill_others(ward.first, ward.namespace)
            with suppress(MeterError):  # without what they had open; from here it may only shrink
                self._measure(ward, left)

    def _measure(self, ward: Ward, left: Space) -> Usage:
        """Measure a layer, and settle when its next turn is."""
        began = monotonic()
        ward.due = began + ward.pause
        limits, before = ward.limits, ward.usage
        usage = self._meter.measure(
            ward.layer,
            _pids(ward, inmates.census()),
            most_bytes=_BEYOND * limits.disk,
            most_files=_BEYOND * limits.files,
        )
        ended = monotonic()
        calm = before is not None and not _grew(before, usage)
        ward.pause = min(2 * ward.pause, MAX_PAUSE) if calm else _MIN_PAUSE
        ward.pause = max(ward.pause, _SHARE * (ended - began))
        ward.due = ended + ward.pause
        ward.usage, ward.left = usage, left
        return usage


def _judge(
    limits: Limits, before: Usage | None, now: Usage, *, full: bool, lost: int
) -> tuple[str, str] | None:
    """Which limit is broken and what to say; one that was broken before may be, without growth."""
    known, before = before is not None, before or Usage(0, 0)
    grew = _grew(before, now)
    # Nobody sees what is written far down, but that the disk has less.
    if now.deep and (not before.deep or lost > _TOLERANCE):
        return "files", breaches.depth_text(MAX_DEPTH)
    if now.bytes > limits.disk and (grew or before.bytes <= limits.disk):
        return "disk", breaches.disk_text(limits)
    if now.files > limits.files and (grew or before.files <= limits.files):
        return "files", breaches.files_text(limits)
    return ("disk", breaches.reserve_text()) if full and known and grew else None


def _grew(before: Usage, now: Usage) -> bool:
    return now.bytes > before.bytes + _TOLERANCE or now.files > before.files + _FILE_TOLERANCE


def _least(limits: Limits, before: Usage | None, now: Usage) -> Usage:
    """What growth is measured from: over a limit the least there was, lest it grows by inches."""
    if before is None or (now.bytes <= limits.disk and now.files <= limits.files):
        return now
    return Usage(min(before.bytes, now.bytes), min(before.files, now.files), now.deep)


def _pids(ward: Ward, crowd: Mapping[Namespace, Sequence[int]]) -> Sequence[int]:
    return () if ward.namespace is None else crowd.get(ward.namespace, ())


def _memory(ward: Ward, pids: Sequence[int], *, exactly: bool) -> int:
    return inmates.memory(ward.first.pid, pids, exactly=exactly)
