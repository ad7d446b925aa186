"""What every driver does the same way: names, user ids, layers, and the lives of its sandboxes.

A `Keeper` makes layers and runs sandboxes on them; how the processes of one come about is a
`Maker`'s business, and so is what else an earlier process may have left on this machine.
"""

import os
import re
import secrets
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from sandbox import layer
from sandbox.archive import archive, mount
from sandbox.birth import Newborn
from sandbox.cell import Cell
from sandbox.contract import (
    Archive,
    Enforcement,
    Progress,
    SandboxError,
    SandboxGone,
    SandboxSpec,
    Suspension,
    Unavailable,
)
from sandbox.estate import Estate
from sandbox.layer import Layer, UidRange
from sandbox.limits.breaches import Breaches
from sandbox.limits.quota import Meter
from sandbox.limits.watchdog import Ward, Watchdog
from sandbox.orphans import kill_inside

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Maker(Protocol):
    """Starts the processes of sandboxes of one kind."""

    async def give_birth(self, layer: Layer, spec: SandboxSpec, token: str) -> Newborn:
        """Start the program inside on `layer`, on which nothing else lives.

        Raises:
            Unavailable: It could not be started; nothing is left but the layer.
        """
        ...

    def explain(self, complaints: str) -> str:
        """Say why the program was never ready, from what it wrote to standard error."""
        ...

    async def clear(self, names: Collection[str]) -> None:
        """Remove what an earlier process left of any sandbox but `names`, and runs no more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an operator may choose for every kind of sandbox."""

    uids: range
    """Host user ids for sandboxes, when the gateway is root."""
    start_seconds: float
    call_seconds: float
    """For claim, open, pull and push; not for what goes over a channel."""
    keep_free: int = 1024**3
    """Bytes of the disk that sandboxes must leave alone."""
    mounts: bool = True
    """What this process mounts is seen by whatever starts the processes of a sandbox."""


class Keeper:
    """The sandboxes of one driver, as tasks of a task group."""

    def __init__(
        self,
        tasks: TaskGroup,
        estate: Estate,
        maker: Maker,
        terms: Terms,
        *,
        enforced: Mapping[str, Enforcement],
        take_uid: Callable[[str], int] | None = None,
        new_token: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        """Take over the layers of `estate`.

        `enforced` says for each field of `Limits` by what; what the watchdog has to, it does.
        `take_uid` returns the host user id for a new sandbox by its name; without it they are
        drawn from the terms' range, where the owners of existing layers count as taken.
        """
        self._tasks = tasks
        self._estate = estate
        self._maker = maker
        self._terms = terms
        self._take_uid = take_uid
        self._new_token = new_token
        self._uids: UidRange | None = None
        self._trying = anyio.Lock()
        self._unmountable: str | None = None
        """Why archives are unpacked here; empty where they are mounted."""
        self._enforced = enforced
        self._watchdog: Watchdog | None = None
        self._cells: dict[str, Cell | None] = {}
        """By ref, from before the layer is made until it lives no more; None while it starts."""
        self._wards: dict[str, Ward] = {}
        """By ref, while they live."""

    async def create(self, spec: SandboxSpec) -> Cell:
        """Start a sandbox on a new layer of its name."""
        with self._starting(spec.id):
            uid = self._draw_uid(spec.id)
            try:
                place = await anyio.to_thread.run_sync(
                    layer.create, self._estate.layers, spec.id, uid
                )
            except OSError as error:
                raise Unavailable(f"cannot make the layer of a sandbox: {error}") from error
            try:
                return await self._start(place, spec)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._remove, place)
                raise

    async def adopt(self, ref: str, spec: SandboxSpec) -> Cell:
        """Start a sandbox on a layer that was kept."""
        predecessor = self._cells.get(ref)
        if predecessor is not None and not predecessor.alive:
            await predecessor.destroy(keep_layer=True)
        with self._starting(ref):
            return await self._start(await self._find_empty(ref), spec)

    def hand_over(self, cell: Cell, name: str) -> None:
        """Make a sandbox that was started ahead the one of that name, with layer and user id.

        What shows inside are the same directories as before, under another name outside.

        Raises:
            SandboxGone: It is dead.
            SandboxError: There is a sandbox, or a layer, of that name; nothing has changed.
        """
        with self._starting(name):
            if not cell.alive:
                raise SandboxGone(f"the sandbox {cell.id} is gone")
            old, place = cell.ref, Layer(self._estate.layers / name, cell.uid)
            self._rename(old, name)
            if self._uids is not None:
                self._uids.pass_on(old, name)
            ward = self._wards[name] = self._wards.pop(old)
            ward.layer = place.path
            self._cells[name] = self._cells.pop(old)
            cell.rename(place.path, self._estate.porch(name), partial(self._remove, place))

    async def archive(self, ref: str, destination: Path, *, max_bytes: int) -> Archive:
        """Write a layer that was kept to a file."""
        with self._holding(ref):
            place = await self._find_empty(ref)
            return await archive.pack(place, destination, max_bytes=max_bytes)

    async def restore(
        self, spec: SandboxSpec, source: Path, wanted: Archive, *, progress: Progress | None = None
    ) -> Cell:
        """Start a sandbox on a layer made from an archive."""
        with self._starting(spec.id):
            place = Layer(self._estate.layers / spec.id, self._draw_uid(spec.id))
            mountable = "mount" in await self.suspensions()
            make = archive.mount_or_unfold if mountable else archive.unfold
            try:
                await make(self._estate, place, source, wanted, progress=progress)
                return await self._start(place, spec)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._remove, place)
                raise

    async def forget(self, ref: str) -> None:
        """Remove a layer that was kept."""
        with self._holding(ref), suppress(SandboxGone):
            place = await self._find_empty(ref)
            await anyio.to_thread.run_sync(self._remove, place)

    async def suspensions(self) -> tuple[Suspension, ...]:
        """How sandboxes can rest here; whether archives can be mounted is tried once."""
        if not self._terms.mounts:
            return ("freeze", "layer", "archive")
        async with self._trying:
            if self._unmountable is None:
                lack = await anyio.to_thread.run_sync(archive.explain_unmountable, self._estate)
                self._unmountable = lack or ""
        every: tuple[Suspension, ...] = ("freeze", "layer", "archive", "mount")
        return every[:-1] if self._unmountable else every

    async def reap(self, keep: frozenset[str]) -> list[str]:
        """Remove what earlier processes left, but for the layers to keep."""
        # What is listed first and then found not to be ours was there before us.
        layers = await anyio.to_thread.run_sync(layer.existing, self._estate.layers)
        layers = [each for each in layers if each.name not in self._cells]
        await anyio.to_thread.run_sync(kill_inside, layers)
        await self._maker.clear(self._cells.keys())
        return await anyio.to_thread.run_sync(self._reap, layers, keep)

    async def aclose(self) -> None:
        """Destroy every live sandbox, keeping layers."""
        async with anyio.create_task_group() as tasks:
            for cell in self._cells.values():
                if cell is not None:
                    tasks.start_soon(partial(cell.destroy, keep_layer=True))
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.close()
        await anyio.to_thread.run_sync(mount.release_all, self._estate.layers)

    async def is_watched(self, cell: Cell) -> bool:
        """Try whether what the watchdog has to see can be seen."""
        watchdog = self._watch()
        return await anyio.to_thread.run_sync(watchdog.sees, self._estate.layers / cell.ref)

    @contextmanager
    def _starting(self, ref: str) -> Generator[None]:
        """Take a name, and give it back if the start fails."""
        if not _NAME.fullmatch(ref):
            raise SandboxError(f"{ref!r} cannot name a sandbox")
        if ref in self._cells:
            raise SandboxError(f"the sandbox {ref} is running already")
        self._cells[ref] = None
        try:
            yield
        except BaseException:
            self._cells.pop(ref, None)
            raise

    @contextmanager
    def _holding(self, ref: str) -> Generator[None]:
        """Keep a name from others for a while."""
        with self._starting(ref):
            yield
            self._cells.pop(ref, None)

    async def _find_empty(self, ref: str) -> Layer:
        """The layer of that name, with nobody on it."""
        place = await anyio.to_thread.run_sync(layer.find, self._estate.layers, ref)
        await anyio.to_thread.run_sync(kill_inside, [place])
        return place

    def _draw_uid(self, owner: str) -> int:
        if not self._estate.own_uid:
            return os.geteuid()
        if self._take_uid is not None:
            return self._take_uid(owner)
        if self._uids is None:
            self._uids = UidRange(self._terms.uids, self._estate.layers)
        return self._uids.take(owner)

    async def _start(self, place: Layer, spec: SandboxSpec) -> Cell:
        newborn = await self._maker.give_birth(place, spec, self._new_token())
        breaches = Breaches(newborn.group, spec.limits)
        cell = Cell(
            id=spec.id,
            ref=place.name,
            newborn=newborn,
            breaches=breaches,
            remove_layer=partial(self._remove, place),
            call_seconds=self._terms.call_seconds,
        )
        self._cells[place.name] = cell
        ward = Ward(newborn.processes[0].copy(), place.path, spec.limits, breaches)
        self._wards[place.name] = ward
        self._tasks.start_soon(self._live, cell, ward, name=f"sandbox {spec.id}")
        ready = False
        try:
            with anyio.move_on_after(self._terms.start_seconds):
                ready = await cell.wait_ready()
        finally:
            if not ready:
                with anyio.CancelScope(shield=True):
                    await cell.destroy(keep_layer=True)
        if not ready:
            raise Unavailable(self._maker.explain(cell.complaints))
        if self._wards.get(place.name) is ward:
            # Not before: while it starts it still has the directories of this machine, and what
            # is in those would count as its own.
            self._watch().watch(ward)
        return cell

    async def _live(self, cell: Cell, ward: Ward) -> None:
        try:
            await cell.live()
        finally:
            if self._watchdog is not None:
                self._watchdog.forget(ward)
            self._wards.pop(cell.ref, None)
            if self._cells.get(cell.ref) is cell:
                del self._cells[cell.ref]

    def _rename(self, old: str, new: str) -> None:
        layers, porch = self._estate.layers, self._estate.porch(new)
        if os.path.lexists(layers / new) or porch.exists():
            raise SandboxError(f"there already is a sandbox {new}")
        (layers / old).rename(layers / new)
        self._estate.porch(old).move(porch)

    def _watch(self) -> Watchdog:
        if self._watchdog is None:
            self._watchdog = Watchdog(
                self._estate.layers,
                Meter(),
                keep_free=self._terms.keep_free,
                memory=self._enforced["memory"] == "watchdog",
                processes=self._enforced["processes"] in ("rlimit", "watchdog"),
            )
            self._tasks.start_soon(self._watchdog.run, name="watchdog of sandboxes")
        return self._watchdog

    def _remove(self, place: Layer) -> None:
        """Remove a layer, unless it has been removed or somebody lives there again."""
        if self._cells.get(place.name) is None:
            with suppress(FileNotFoundError):
                layer.discard(place, self._estate.trash)
            if self._uids is not None:
                self._uids.give_back(place.name)

    def _reap(self, layers: Sequence[Layer], keep: frozenset[str]) -> list[str]:
        for parent in (self._estate.sockets, self._estate.uploads):
            for directory in list(parent.iterdir()):
                if directory.name not in self._cells:
                    layer.remove(directory, self._estate.trash)
        archive.sweep(self._estate, self._cells.keys())
        layer.empty(self._estate.trash)
        gone = [each for each in layers if each.name not in keep]
        for each in gone:
            self._remove(each)
        return [each.name for each in gone]
