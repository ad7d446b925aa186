"""Sandboxes that are containers: the same walls and files, made by the engine of this host.

The engine has to run here, because what a container shows of its layer and its sockets are
directories of this machine; `recipe` says what a container is. Its processes are held and killed
from here, so the engine is asked at the start and at the end of a sandbox and never in between.
With runc the kernel is shared; with gVisor's runsc it is not.

Starting a container takes the engine a quarter of a second, so some are started ahead
(`pool`): on a layer and with a user id of their own, which become the session's when it
claims them.
"""

import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from sandbox.cell import Cell
from sandbox.contract import Capabilities, Requirement, SandboxError, SandboxSpec, Unavailable
from sandbox.docker.engine import Engine
from sandbox.docker.grounds import Runtime, prepare
from sandbox.docker.pool import Pool
from sandbox.docker.yard import Yard
from sandbox.keeper import Keeper, Terms
from sandbox.limits.quota import shortage
from sandbox.steward import Steward

_CLOSE_SECONDS = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may choose."""

    data_dir: Path
    program: Path | None = None
    """The program to run inside, one file for Python; None means the tool servers."""
    address: str = ""
    """Of the engine, ``unix:///PATH``; empty means ``DOCKER_HOST``, or where it usually is."""
    image: str = ""
    """What programs see; empty means one that is made from packages."""
    runtime: Runtime = "auto"
    """``auto`` is runsc if the engine lists it, else runc."""
    idle: int = 1
    """Containers started ahead for each of the last kinds that were asked for."""
    uids: range = range(210_000, 275_536)
    """Host user ids for sandboxes, when the gateway is root."""
    start_seconds: float = 20.0
    call_seconds: float = 60.0
    """For claim, open, pull and push; not for what goes over a channel."""
    engine_seconds: float = 20.0
    """For one answer of the engine."""
    keep_free: int = 1024**3
    """Bytes of the disk that sandboxes must leave alone."""
    python: Path = Path("/usr/bin/python3")
    """The interpreter of this machine that compiles the program inside."""


class DockerDriver(Steward):
    """A `Driver`. Its sandboxes live as tasks of the task group it is given."""

    def __init__(
        self,
        tasks: TaskGroup,
        settings: Settings,
        *,
        take_uid: Callable[[str], int] | None = None,
        new_token: Callable[[], str] = lambda: secrets.token_urlsafe(32),
        progress: Callable[[str], None] = _log.info,
    ) -> None:
        """Do nothing yet.

        `take_uid` is as for the bubblewrap driver. `progress` hears what takes long.
        """
        super().__init__()
        self._tasks = tasks
        self._settings = settings
        self._take_uid = take_uid
        self._new_token = new_token
        self._progress = progress
        self._engine = Engine(settings.address, seconds=settings.engine_seconds)
        self._yard: Yard | None = None
        self._keeper: Keeper | None = None
        self._tidying: anyio.CancelScope | None = None
        self._pool = Pool(tasks, self._start_ahead, idle=settings.idle)

    @property
    def waiting(self) -> int:
        """How many sandboxes were started ahead and are nobody's yet."""
        return self._pool.count()

    async def wait_warm(self) -> None:
        """Wait until all that should be started ahead is."""
        await self._pool.wait_full()

    async def probe(self) -> Capabilities:
        keeper = await self._ready()
        cell = await keeper.create(SandboxSpec(id=f"probe-{secrets.token_hex(8)}"))
        yard = self._yard
        assert yard is not None, "the sandbox stands in it"
        if not await keeper.is_watched(cell):
            yard.grounds = replace(yard.grounds, watched=False)
        await cell.destroy()
        grounds = yard.grounds
        rests = await keeper.suspensions()
        return Capabilities(
            driver="docker",
            isolation=grounds.isolation,
            own_uid=grounds.estate.own_uid,
            limits=grounds.limits,
            suspend=tuple(each for each in rests if each != "freeze" or grounds.watched),
            notes=(*grounds.notes(), *shortage(grounds.estate.layers, self._settings.keep_free)),
        )

    async def create(self, spec: SandboxSpec) -> Cell:
        keeper = await self._admit(spec)
        cell = await self._pool.take(spec)
        if cell is None:
            return await keeper.create(spec)
        try:
            keeper.hand_over(cell, spec.id)
        except SandboxError:
            await cell.destroy()
            raise
        return cell

    async def aclose(self) -> None:
        await self._pool.aclose()
        if self._yard is not None and self._keeper is not None:
            await self._keeper.aclose()
            with anyio.move_on_after(_CLOSE_SECONDS), suppress(Unavailable):
                await self._yard.tidy()
        if self._tidying is not None:
            self._tidying.cancel()
            self._tidying = None
        await self._engine.aclose()

    async def _prepare(self) -> Keeper:
        if self._yard is None or self._keeper is None:
            settings = self._settings
            grounds = await prepare(
                self._engine,
                data_dir=settings.data_dir,
                program=settings.program,
                python=settings.python,
                runtime=settings.runtime,
            )
            self._yard = Yard(
                self._engine,
                grounds,
                image=settings.image,
                start_seconds=settings.start_seconds,
                progress=self._progress,
            )
            self._keeper = self._keep(self._yard)
        if self._tidying is None:
            self._tidying = anyio.CancelScope()
            self._tasks.start_soon(self._tidy, self._yard, self._tidying)
        return self._keeper

    def _lacking(self, requirement: Requirement) -> str | None:
        assert self._yard is not None, "it is prepared"
        return self._yard.grounds.lacking(requirement)

    async def _tidy(self, yard: Yard, scope: anyio.CancelScope) -> None:
        with scope:
            await yard.keep_tidy()

    async def _start_ahead(self, spec: SandboxSpec) -> Cell:
        keeper = await self._ready()
        return await keeper.create(spec)

    def _keep(self, yard: Yard) -> Keeper:
        return Keeper(
            self._tasks,
            yard.grounds.estate,
            yard,
            Terms(
                uids=self._settings.uids,
                start_seconds=self._settings.start_seconds,
                call_seconds=self._settings.call_seconds,
                keep_free=self._settings.keep_free,
                mounts=False,  # an engine often lives in a mount namespace of its own
            ),
            enforced=yard.grounds.limits,
            take_uid=self._take_uid,
            new_token=self._new_token,
        )
