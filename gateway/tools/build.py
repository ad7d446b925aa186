"""Builds of environments' packages: made once for all who want the same, then shared read-only.

`Builder.ready` says what a sandbox of an environment has to be shown. What is not there yet is
built in the background, and a session waits for it no longer than `Packages.wait_seconds`. What
failed is remembered and not tried again at every call. How packages are installed is in
`gateway.tools.recipe`, `gateway.tools.attempt` and `gateway.tools.install`.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup

from gateway.errors import ApiError, InvalidRequest
from gateway.settings import Packages
from gateway.store.records import BuildLine, BuildRow
from gateway.tools.attempt import Attempt, Hall
from gateway.tools.images import Image, Images
from gateway.tools.install import BuildFailed
from gateway.tools.recipe import PREFIX, Recipe, needs_root, write
from sandbox.contract import Mount, SandboxError

log = structlog.get_logger()

_SWEEP_SECONDS = 3600.0
_MICROSECONDS = 1_000_000


class BuildPending(SandboxError):
    """The packages are still being installed; ask again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What the sandboxes of an environment are shown and told."""

    root: Path | None = None
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])


class Builder:
    """Builds, and hands out what was built. Enter `running` before use."""

    def __init__(self, hall: Hall, settings: Packages) -> None:
        self._hall = hall
        self._settings = settings
        self._images = Images(hall.directory)
        self._attempts: dict[str, Attempt] = {}
        self._held: dict[str, str] = {}
        """Digest by the owner of the sandbox that shows it."""
        self._rootless: str | None = None
        self._tasks: TaskGroup | None = None
        self._slots = anyio.CapacityLimiter(settings.parallel)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Go on with what an earlier process did not finish, and build until the exit."""
        await anyio.to_thread.run_sync(self._images.prepare)
        self._rootless = await anyio.to_thread.run_sync(self._hall.roots.probe)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            await self._resume()
            tasks.start_soon(self._sweep_often)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    def check(self, packages: Mapping[str, Any]) -> None:
        """Refuse packages that cannot be installed on this machine.

        Raises:
            InvalidRequest: The message names the field, the reason and the remedy.
        """
        needed = needs_root(packages, self._hall.system)
        if needed is not None and self._rootless is not None:
            manager, why = needed
            raise InvalidRequest(
                f"config.packages.{manager}: {why}, and none can be made: {self._rootless}"
            )

    def start(self, packages: Mapping[str, Any]) -> None:
        """Build in the background what is neither there nor being built."""
        recipe = self._recipe(packages)
        if recipe is not None and self._images.find(recipe.digest) is None:
            self._begin(recipe)

    async def restart(self, packages: Mapping[str, Any]) -> None:
        """As `start`, and by the time it returns `state` no longer tells of an earlier failure."""
        recipe = self._recipe(packages)
        if recipe is not None and self._images.find(recipe.digest) is None:
            await self._begin(recipe).begun.wait()

    async def ready(self, packages: Mapping[str, Any], *, owner: str) -> Built:
        """What a sandbox has to be shown; it stays there until `release` of its owner.

        Raises:
            BuildPending: It is being built, for longer than a call should wait.
            BuildFailed: It could not be built, now or a short while ago.
        """
        recipe = self._recipe(packages)
        if recipe is None:
            return Built()
        self._held[owner] = recipe.digest
        try:
            image = await self._find(recipe)
        except BaseException:
            self.release(owner)
            raise
        self._hall.registries.adopt(image.registries)
        return Built(
            root=image.root if recipe.debian is not None else None,
            mounts=(Mount(image.packages, PREFIX),) if recipe.steps else (),
            env=recipe.env,
        )

    async def sweep(self) -> list[str]:
        """Remove what no environment wants and no sandbox shows, after a while; returns what."""
        wanted = await self._wanted()
        unused = await anyio.to_thread.run_sync(self._images.unused, self._settings.keep_seconds)
        gone: list[str] = []
        for digest in unused:
            if digest not in {*wanted, *self._held.values()}:
                image = self._images.retire(digest)
                await anyio.to_thread.run_sync(self._images.discard, image)
                await self._hall.builds.forget(host=self._hall.host, digest=digest)
                gone.append(digest)
        return gone

    def release(self, owner: str) -> None:
        """The owner's sandbox shows nothing any more. Idempotent."""
        self._held.pop(owner, None)

    async def state(
        self, packages: Mapping[str, Any], *, after: int, limit: int
    ) -> tuple[BuildRow | None, list[BuildLine]]:
        """How far the build is, and lines of its log with numbers above `after`.

        None where there is nothing to build.
        """
        recipe = self._recipe(packages)
        if recipe is None:
            return None, []
        host, builds = self._hall.host, self._hall.builds
        row = await builds.get(host=host, digest=recipe.digest)
        gone = row is not None and row.status == "ready" and not self._images.find(recipe.digest)
        if row is None or gone:
            return BuildRow(host=host, digest=recipe.digest, status="queued", queued_at=0), []
        lines = await builds.lines(host=host, digest=recipe.digest, after=after, limit=limit)
        return row, lines

    def _recipe(self, packages: Mapping[str, Any]) -> Recipe | None:
        return write(packages, self._hall.system, self._settings.always)

    async def _find(self, recipe: Recipe) -> Image:
        """The image, built first if it is not there."""
        image = self._images.find(recipe.digest)
        if image is None:
            await self._wait(recipe)
            image = self._images.find(recipe.digest)
        if image is None:
            raise BuildFailed("the packages of this environment were removed; try again")
        return image

    async def _wait(self, recipe: Recipe) -> None:
        """Wait for a build, started now unless it failed a short while ago."""
        attempt = self._attempts.get(recipe.digest)
        if attempt is None:
            row = await self._hall.builds.get(host=self._hall.host, digest=recipe.digest)
            if row is not None and row.status == "failed" and self._is_recent(row):
                raise BuildFailed(row.reason or "the installation failed")
            attempt = self._begin(recipe)
        with anyio.move_on_after(self._settings.wait_seconds):
            await attempt.done.wait()
        if not attempt.done.is_set():
            raise BuildPending(
                "the packages of this environment are still being installed; try again later"
            )
        if attempt.failure is not None:
            raise attempt.failure

    def _is_recent(self, row: BuildRow) -> bool:
        age = self._hall.clock.now() - (row.ended_at or 0)
        return age < self._settings.retry_seconds * _MICROSECONDS

    def _begin(self, recipe: Recipe) -> Attempt:
        attempt = self._attempts.get(recipe.digest)
        if attempt is None:
            assert self._tasks is not None, "enter `running` first"
            attempt = Attempt(recipe, self._images, self._hall, self._settings)
            self._attempts[recipe.digest] = attempt
            self._tasks.start_soon(self._run, attempt, name=f"build {recipe.digest}")
        return attempt

    async def _run(self, attempt: Attempt) -> None:
        try:
            await attempt.run(self._slots)
        finally:
            del self._attempts[attempt.recipe.digest]
            attempt.done.set()

    async def _resume(self) -> None:
        """Start again what was interrupted, if anybody still wants it."""
        wanted = await self._wanted()
        for row in await self._hall.builds.all(host=self._hall.host):
            if row.status in ("queued", "running"):
                if row.digest in wanted:
                    self._begin(wanted[row.digest])
                else:
                    await self._hall.builds.forget(host=row.host, digest=row.digest)

    async def _sweep_often(self) -> None:
        while True:
            try:
                await self.sweep()
            except (ApiError, SandboxError, OSError) as error:
                log.warning("unused packages not removed", reason=str(error))
            await anyio.sleep(_SWEEP_SECONDS)

    async def _wanted(self) -> dict[str, Recipe]:
        """What environments want, by digest."""
        recipes = map(self._recipe, await self._hall.builds.wanted())
        return {recipe.digest: recipe for recipe in recipes if recipe is not None}
