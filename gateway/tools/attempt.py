"""One build of packages: from its row in the store to an image on disk, or to why there is none."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread
import structlog

from gateway.clock import Clock
from gateway.errors import ApiError
from gateway.registries import Registries
from gateway.settings import Packages
from gateway.store.builds import MAX_LINES, Builds
from gateway.store.records import BuildLine, BuildRow
from gateway.tools.egress import Network
from gateway.tools.images import Image, Images
from gateway.tools.install import BuildFailed, Workplace, install
from gateway.tools.pip import pip_archive
from gateway.tools.recipe import PIP, PREFIX, Recipe, System
from sandbox.contract import Driver, Limits, Mount, SandboxError, SandboxSpec
from sandbox.image import make_root, probe_roots

log = structlog.get_logger()

_FLUSH_SECONDS = 0.5


class Roots(Protocol):
    """Makes Debian roots, as `sandbox.image` does."""

    def probe(self) -> str | None:
        """Why none can be made here; blocks."""
        ...

    async def make(
        self,
        destination: Path,
        *,
        include: Sequence[str],
        progress: Callable[[str], None],
        deadline: float,
        sources: Sequence[Path],
    ) -> None: ...


class DebianRoots:
    """The real ones."""

    probe = staticmethod(probe_roots)
    make = staticmethod(make_root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hall:
    """What builds are made with, and where."""

    driver: Driver
    network: Network
    registries: Registries
    builds: Builds
    clock: Clock
    system: System
    limits: Limits
    host: str
    """Names this machine and directory in the store; only one process at a time works there."""
    directory: Path
    """For images; sandbox users can reach it."""
    roots: Roots = field(default_factory=DebianRoots)


class Attempt:
    """A build that is going on."""

    def __init__(self, recipe: Recipe, images: Images, hall: Hall, settings: Packages) -> None:
        """Do nothing yet."""
        self.recipe = recipe
        self.begun = anyio.Event()
        """The store knows of it."""
        self.done = anyio.Event()
        """For whoever runs it to set."""
        self.failure: BuildFailed | None = None
        """Why it came to nothing, once it is done."""
        self._images = images
        self._hall = hall
        self._settings = settings
        self._pending: deque[BuildLine] = deque()
        self._row = BuildRow(
            host=hall.host, digest=recipe.digest, status="queued", queued_at=hall.clock.now()
        )

    async def run(self, slots: anyio.CapacityLimiter) -> None:
        """Build when there is a slot, and write down how far it is, to the end."""
        clock = self._hall.clock
        await self._record(begin=True)
        self.begun.set()
        async with slots:
            self._row = replace(self._row, status="running", started_at=clock.now())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._record_often)
                self.failure = await self._try()
                tasks.cancel_scope.cancel()
        status = "ready" if self.failure is None else "failed"
        reason = None if self.failure is None else str(self.failure)
        self._row = replace(self._row, status=status, reason=reason, ended_at=clock.now())
        await self._record()
        log.info("packages built", status=status, digest=self._row.digest, reason=reason)

    async def _try(self) -> BuildFailed | None:
        """Build; why it failed, if it did."""
        seconds = self._settings.build_seconds
        try:
            with anyio.fail_after(seconds):
                await self._build()
        except TimeoutError:
            return BuildFailed(f"the installation took more than {seconds:g} seconds")
        except BuildFailed as error:
            return error
        except (SandboxError, OSError) as error:
            return BuildFailed(f"cannot install packages: {error}")
        return None

    async def _build(self) -> None:
        recipe, images = self.recipe, self._images
        for line in recipe.summary:
            self._say(line)
        staged = await anyio.to_thread.run_sync(images.stage, recipe.digest)
        try:
            if recipe.debian is not None:
                await self._make_root(staged, recipe.debian)
            learned = dict[str, Any]()
            if recipe.steps:
                place = await self._workplace(staged)
                learned = await install(place, recipe, self._say)
            finish = partial(images.finish, staged, recipe.digest, learned)
            await anyio.to_thread.run_sync(finish)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(images.discard, staged)
            raise

    async def _make_root(self, staged: Image, debian: tuple[str, ...]) -> None:
        try:
            await self._hall.roots.make(
                staged.root,
                include=debian,
                progress=self._say,
                deadline=self._settings.build_seconds,
                sources=self._settings.apt_sources,
            )
        except SandboxError as error:
            raise BuildFailed(f"apt: {error}") from error

    async def _workplace(self, staged: Image) -> Workplace:
        hall, disk = self._hall, self._settings.disk
        pip = await anyio.to_thread.run_sync(pip_archive, self._images.directory)
        return Workplace(
            driver=hall.driver,
            spec=SandboxSpec(
                id=f"build-{self.recipe.digest}",
                limits=replace(hall.limits, disk=disk),
                root=staged.root if self.recipe.debian is not None else None,
                mounts=(
                    Mount(staged.packages, PREFIX, writable=True),
                    Mount(pip, PIP),
                    *hall.network.mounts(),
                ),
            ),
            packages=staged.packages,
            disk=disk,
            network=hall.network,
            registries=hall.registries,
        )

    def _say(self, text: str) -> None:
        """Log a line; what is too much is only counted."""
        self._row = replace(self._row, lines=self._row.lines + 1)
        if self._row.lines <= MAX_LINES:
            self._pending.append(BuildLine(self._row.lines, self._hall.clock.now(), text))

    async def _record_often(self) -> None:
        while True:
            await self._record()
            await anyio.sleep(_FLUSH_SECONDS)

    async def _record(self, *, begin: bool = False) -> None:
        """Write down how far it is; a store that does not answer holds up no build."""
        lines = [self._pending.popleft() for _ in range(len(self._pending))]
        try:
            with anyio.CancelScope(shield=True):
                if begin:
                    await self._hall.builds.begin(row=self._row)
                else:
                    await self._hall.builds.put(row=self._row, lines=lines)
        except ApiError as error:
            log.warning("build not recorded", digest=self._row.digest, reason=error.message)
