"""Sandboxes made by bubblewrap: namespaces, a user without rights, a filter, limits, no daemon.

What stands between a program inside and this machine: an empty network namespace, a file system
of which it can write only its layer and memory (`sandbox.view`), no capability, no nested user
namespace, a system call filter (`sandbox.seccomp`), and, when the gateway is root, a host user id
that nothing else has. The kernel is shared. Processes are never adopted: a sandbox that is started
again on its layer has its files and nothing else.
"""

import os
import re
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from sandbox import diagnosis, layer
from sandbox.birth import give_birth
from sandbox.cell import Cell
from sandbox.contract import Capabilities, SandboxError, SandboxSpec, Unavailable, Unsupported
from sandbox.layer import Layer, UidRange
from sandbox.orphans import kill_inside
from sandbox.premises import Premises, prepare
from sandbox.spawn import Spawner

ISOLATION = "Linux namespaces, a system call filter and dropped privileges; the kernel is shared"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may choose."""

    data_dir: Path
    program: Path | None = None
    """The program to run inside, one file for Python; None means the tool servers."""
    uids: range = range(210_000, 275_536)
    """Host user ids for sandboxes, when the gateway is root."""
    start_seconds: float = 20.0
    call_seconds: float = 60.0
    """For claim, open, pull and push; not for what goes over a channel."""
    bwrap: str = "bwrap"
    python: Path = Path("/usr/bin/python3")
    """The interpreter inside; if it is not there, the gateway's own is shown to the sandbox."""


class BubblewrapDriver:
    """A `Driver`. Its sandboxes live as tasks of the task group it is given."""

    def __init__(
        self,
        tasks: TaskGroup,
        settings: Settings,
        *,
        take_uid: Callable[[str], int] | None = None,
        new_token: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        """Do nothing yet.

        `take_uid` returns the host user id for a new sandbox by its id; without it the driver
        draws from `settings.uids`, where the owners of existing layers count as taken.
        """
        self._tasks = tasks
        self._settings = settings
        self._take_uid = take_uid
        self._new_token = new_token
        self._preparing = anyio.Lock()
        self._premises: Premises | None = None
        self._uids: UidRange | None = None
        self._spawner = Spawner()
        self._cells: dict[str, Cell | None] = {}
        """By ref, from before the layer is made until it lives no more; None while it starts."""

    async def probe(self) -> Capabilities:
        premises = await self._prepare()
        cell = await self.create(SandboxSpec(id=f"probe-{secrets.token_hex(8)}"))
        await cell.destroy()
        return Capabilities(
            driver="bubblewrap",
            isolation=ISOLATION,
            own_uid=premises.own_uid,
            limits=premises.limits,
            notes=premises.notes(),
        )

    async def create(self, spec: SandboxSpec) -> Cell:
        premises = await self._prepare()
        _check(premises, spec)
        with self._starting(spec.id):
            uid = self._draw_uid(premises, spec.id)
            try:
                place = await anyio.to_thread.run_sync(layer.create, premises.layers, spec.id, uid)
            except OSError as error:
                raise Unavailable(f"cannot make the layer of a sandbox: {error}") from error
            try:
                return await self._start(premises, place, spec)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._remove, premises, place)
                raise

    async def adopt(self, ref: str, spec: SandboxSpec) -> Cell:
        premises = await self._prepare()
        _check(premises, spec)
        predecessor = self._cells.get(ref)
        if predecessor is not None and not predecessor.alive:
            await predecessor.destroy(keep_layer=True)
        with self._starting(ref):
            place = await anyio.to_thread.run_sync(layer.find, premises.layers, ref)
            await anyio.to_thread.run_sync(kill_inside, [place])
            return await self._start(premises, place, spec)

    async def reap(self, keep: frozenset[str] = frozenset()) -> list[str]:
        premises = await self._prepare()
        return await anyio.to_thread.run_sync(self._reap, premises, keep)

    async def aclose(self) -> None:
        async with anyio.create_task_group() as tasks:
            for cell in self._cells.values():
                if cell is not None:
                    tasks.start_soon(partial(cell.destroy, keep_layer=True))
        await self._spawner.aclose()
        premises, self._premises = self._premises, None
        if premises is not None and premises.cgroups is not None:
            premises.cgroups.close()

    async def _prepare(self) -> Premises:
        async with self._preparing:
            if self._premises is None:
                self._premises = await anyio.to_thread.run_sync(
                    partial(
                        prepare,
                        data_dir=self._settings.data_dir,
                        program=self._settings.program,
                        bwrap=self._settings.bwrap,
                        python=self._settings.python,
                    )
                )
            return self._premises

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

    def _draw_uid(self, premises: Premises, owner: str) -> int:
        if not premises.own_uid:
            return os.geteuid()
        if self._take_uid is not None:
            return self._take_uid(owner)
        if self._uids is None:
            self._uids = UidRange(self._settings.uids, premises.layers)
        return self._uids.take(owner)

    async def _start(self, premises: Premises, place: Layer, spec: SandboxSpec) -> Cell:
        newborn = await give_birth(premises, self._spawner, place, spec, self._new_token())
        cell = Cell(
            id=spec.id,
            ref=place.name,
            newborn=newborn,
            remove_layer=partial(self._remove, premises, place),
            call_seconds=self._settings.call_seconds,
        )
        self._cells[place.name] = cell
        self._tasks.start_soon(self._live, cell, name=f"sandbox {spec.id}")
        ready = False
        try:
            with anyio.move_on_after(self._settings.start_seconds):
                ready = await cell.wait_ready()
        finally:
            if not ready:
                with anyio.CancelScope(shield=True):
                    await cell.destroy(keep_layer=True)
        if not ready:
            raise Unavailable(diagnosis.explain(cell.complaints))
        return cell

    async def _live(self, cell: Cell) -> None:
        try:
            await cell.live()
        finally:
            if self._cells.get(cell.ref) is cell:
                del self._cells[cell.ref]

    def _remove(self, premises: Premises, place: Layer) -> None:
        """Remove a layer, unless it has been removed or somebody lives there again."""
        if self._cells.get(place.name) is None:
            with suppress(FileNotFoundError):
                layer.remove(place.path, premises.trash)
            if self._uids is not None:
                self._uids.give_back(place.name)

    def _reap(self, premises: Premises, keep: frozenset[str]) -> list[str]:
        # What is listed first and then found not to be ours was there before us.
        layers = [each for each in layer.existing(premises.layers) if each.name not in self._cells]
        kill_inside(layers)
        if premises.cgroups is not None:
            for name in premises.cgroups.names():
                if name not in self._cells:
                    group = premises.cgroups.group(name)
                    group.kill()
                    group.remove()
        for directory in list(premises.sockets.iterdir()):
            if directory.name not in self._cells:
                layer.remove(directory, premises.trash)
        layer.empty(premises.trash)
        gone = [each for each in layers if each.name not in keep]
        for each in gone:
            self._remove(premises, each)
        return [each.name for each in gone]


def _check(premises: Premises, spec: SandboxSpec) -> None:
    for requirement in sorted(spec.require):
        if reason := premises.lacking(requirement):
            raise Unsupported(f"{requirement} is required, but {reason}")
