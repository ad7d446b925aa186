"""Where sandboxes are between two uses: on a kept layer, or as an archive among the stored bytes.

Putting one away goes row, bytes, digest, layer: at whatever point a process is killed, the layer
is there or a finished archive is, and what else was begun is cleared later. Taking one out leaves
its archives where they are, so that trying again is always possible; nothing is answered before
every file is there. Files that are damaged are never used, not even in part.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import structlog

from gateway.clock import Clock, rfc3339
from gateway.errors import ApiError
from gateway.store.blobs import CHUNK, Blobs
from gateway.store.records import ArchiveRow, SandboxRow
from gateway.store.store import Store
from sandbox.contract import (
    Archive,
    Damaged,
    Driver,
    Sandbox,
    SandboxError,
    SandboxGone,
    SandboxSpec,
)

log = structlog.get_logger()

RESTARTED = (
    "[The sandbox was restarted: files are as they were; running processes, shells and everything"
    " in /tmp are gone.]"
)
OLDER = (
    "[The sandbox was restored as it was at {instant}: what was changed in its files since is lost,"
    " and so are running processes, shells and everything in /tmp.]"
)
LOST = "[The sandbox could not be restored: this is a new one, and its files are lost.]"
EXPIRED = "[The sandbox was kept for {days:g} days and is gone: this is a new one, without files.]"

_DAY = 86_400 * 10**6
_LOG_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How sandboxes are kept."""

    driver: str
    """The driver's name, for the record."""
    host: str
    staging: Path
    """For archives on their way; made if need be, and nothing else is in it."""
    max_bytes: int
    """Of one archive."""
    expire_days: float
    """After its creation a sandbox that rests loses its files (spec/core 3.4)."""


class Attic:
    """Puts sandboxes away and takes them out again; who calls sees to it that nobody else does."""

    def __init__(
        self, driver: Driver, store: Store, blobs: Blobs, clock: Clock, terms: Terms
    ) -> None:
        self._driver = driver
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._terms = terms
        self._writing: set[str] = set()
        """Keys of archives that are not finished, but not left behind either."""

    async def open(self) -> None:
        """Clear away what an earlier process left; no sandbox runs yet."""
        await anyio.to_thread.run_sync(_empty, self._terms.staging)
        rows = await self._store.sandboxes.all(host=self._terms.host)
        kept = [row.ref for row in rows if row.archived is None or row.idle_at is not None]
        await self._driver.reap(frozenset(kept))
        await self._store.archives.settle(host=self._terms.host, now=self._clock.now())

    async def take_out(self, owner: str, spec: SandboxSpec) -> tuple[Sandbox, str | None]:
        """Start the sandbox of `owner` on its files, or a new one if it has none.

        Also returns what the model has to know, if there is anything.

        Raises:
            SandboxError: It could not be started now; its files are where they were.
        """
        row = await self._store.sandboxes.get(owner=owner)
        if row is None:
            return await self._create(owner, spec, 1), None
        if self._is_expired(row):
            await self.expire(row)
            days = self._terms.expire_days
            return await self._create(owner, spec, row.generation + 1), EXPIRED.format(days=days)
        found = await self._adopt(row, spec) or await self._restore(row, spec)
        if found is None:
            log.error("sandbox lost", sandbox=owner)
            return await self._create(owner, spec, row.generation + 1), LOST
        sandbox, notice = found
        async with _recorded(sandbox, keep_layer=True):
            await self._store.archives.wake(owner=owner, host=self._terms.host, ref=sandbox.ref)
        return sandbox, notice

    async def rest(self, owner: str, lost: int | None) -> None:
        """The sandbox was stopped and its layer kept; `lost` processes ended with it."""
        await self._store.archives.rest(owner=owner, now=self._clock.now(), lost=lost)

    async def put_away(self, row: SandboxRow) -> None:
        """Archive the kept layer of a resting sandbox, and remove it.

        Raises:
            SandboxError, ApiError: It could not be archived; the layer is where it was.
        """
        if row.archived is None:
            await self._archive(row)
        await self._driver.forget(row.ref)
        await self._store.archives.forgotten(owner=row.owner)

    async def expire(self, row: SandboxRow) -> None:
        """Remove a resting sandbox, its files and its archives."""
        await self._store.sandboxes.delete(owner=row.owner)
        await self._driver.forget(row.ref)
        await self.clear()
        log.info("sandbox expired", sandbox=row.owner)

    async def discard(self, row: SandboxRow) -> None:
        """A sandbox that does not run was deleted with its row: its files and archives go too."""
        if row.host == self._terms.host:
            await self._driver.forget(row.ref)
        await self.clear()

    async def clear(self) -> None:
        """Delete the archives that nobody needs. What fails now is tried again later."""
        try:
            while surplus := await self._surplus():
                for row in surplus:
                    await self._blobs.delete(row.key)
                    await self._store.archives.delete(row=row)
        except ApiError as error:
            log.warning("archives not deleted", error=error.message)

    async def due(self, idle_before: int) -> list[SandboxRow]:
        """Resting sandboxes whose layer has been kept since before `idle_before`."""
        return await self._store.archives.due(host=self._terms.host, idle_before=idle_before)

    async def expired(self) -> list[SandboxRow]:
        """Resting sandboxes that are too old."""
        return await self._store.archives.expired(
            host=self._terms.host, created_before=self._oldest()
        )

    async def _surplus(self) -> list[ArchiveRow]:
        rows = await self._store.archives.surplus(host=self._terms.host)
        return [row for row in rows if row.key not in self._writing]

    def _oldest(self) -> int:
        return self._clock.now() - int(self._terms.expire_days * _DAY)

    def _is_expired(self, row: SandboxRow) -> bool:
        return row.created_at is not None and row.created_at < self._oldest()

    async def _create(self, owner: str, spec: SandboxSpec, generation: int) -> Sandbox:
        sandbox = await self._driver.create(spec)
        row = SandboxRow(
            owner=owner,
            driver=self._terms.driver,
            host=self._terms.host,
            ref=sandbox.ref,
            uid=None,
            generation=generation,
            created_at=self._clock.now(),
        )
        async with _recorded(sandbox, keep_layer=False):
            await self._store.sandboxes.put(row=row)
        return sandbox

    async def _adopt(self, row: SandboxRow, spec: SandboxSpec) -> tuple[Sandbox, str | None] | None:
        try:
            sandbox = await self._driver.adopt(row.ref, spec)
        except SandboxGone:
            return None
        return sandbox, None if row.lost == 0 else RESTARTED

    async def _restore(self, row: SandboxRow, spec: SandboxSpec) -> tuple[Sandbox, str] | None:
        """Start on the newest archive that is whole."""
        for archive in await self._store.archives.of(owner=row.owner):
            try:
                async with self._fetched(archive) as source:
                    sandbox = await self._unfold(spec, source, archive)
            except Damaged as error:
                log.warning("archive damaged", sandbox=row.owner, error=str(error))
                continue
            except ApiError as error:
                raise SandboxError(f"its archive cannot be had: {error.message}") from error
            if archive.generation == row.archived:
                return sandbox, RESTARTED
            return sandbox, OLDER.format(instant=_shown(archive.created_at))
        return None

    async def _unfold(self, spec: SandboxSpec, source: Path, row: ArchiveRow) -> Sandbox:
        said = self._clock.monotonic()

        def progress(done: int, of: int) -> None:
            nonlocal said
            if self._clock.monotonic() - said > _LOG_SECONDS:
                said = self._clock.monotonic()
                log.info("archive unpacking", sandbox=row.owner, entries=done, of=of)

        digest = row.digest or ""
        archive = Archive(size=row.size, entries=row.entries, digest=digest)
        return await self._driver.restore(spec, source, archive, progress=progress)

    async def _archive(self, sandbox: SandboxRow) -> None:
        draft = self._terms.staging / sandbox.owner
        row = await self._store.archives.begin(
            owner=sandbox.owner, host=self._terms.host, now=self._clock.now()
        )
        self._writing.add(row.key)
        try:
            most = self._terms.max_bytes
            made = await self._driver.archive(sandbox.ref, draft, max_bytes=most)
            await self._blobs.put(row.key, _chunks(draft), max_bytes=most)
            row = replace(row, size=made.size, entries=made.entries, digest=made.digest)
            if not await self._store.archives.finish(row=row):
                raise SandboxError("its archive was deleted while it was written")
        finally:
            self._writing.discard(row.key)
            draft.unlink(missing_ok=True)
        log.info("sandbox archived", sandbox=row.owner, bytes=made.size, entries=made.entries)

    @asynccontextmanager
    async def _fetched(self, row: ArchiveRow) -> AsyncGenerator[Path]:
        """An archive as a file of this machine."""
        place = self._blobs.path(row.key)
        if place is not None:
            yield place
            return
        copy = self._terms.staging / row.owner
        try:
            await _copy(self._blobs, row, copy)
            yield copy
        finally:
            copy.unlink(missing_ok=True)


@asynccontextmanager
async def _recorded(sandbox: Sandbox, *, keep_layer: bool) -> AsyncGenerator[None]:
    """Let a sandbox that was just started live only if the block records it."""
    try:
        yield
    except BaseException:
        with anyio.CancelScope(shield=True):
            await sandbox.destroy(keep_layer=keep_layer)
        raise


async def _chunks(file: Path) -> AsyncGenerator[bytes]:
    async with await anyio.open_file(file, "rb") as reader:
        while chunk := await reader.read(CHUNK):
            yield chunk


async def _copy(blobs: Blobs, row: ArchiveRow, target: Path) -> None:
    """Fetch an archive, and no more of it than there should be.

    Raises:
        Damaged: It is not there.
        SandboxError: The disk is full.
    """
    size = 0
    try:
        async with (
            aclosing(blobs.open(row.key)) as chunks,
            await anyio.open_file(target, "xb") as file,
        ):
            async for chunk in chunks:
                size += len(chunk)
                if size > row.size:
                    raise Damaged(f"the archive of {row.owner} is longer than it was")
                await file.write(chunk)
    except FileNotFoundError as error:
        raise Damaged(f"the archive of {row.owner} is not there") from error
    except OSError as error:
        raise SandboxError(f"its archive cannot be fetched: {error}") from error


def _empty(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for leftover in directory.iterdir():
        leftover.unlink()


def _shown(instant: int) -> str:
    return rfc3339(instant)[:16].replace("T", " ") + " UTC"
