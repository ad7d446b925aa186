"""Files as whole things: a row and its bytes, kept in step.

Adding goes note, bytes, row; deleting goes row, bytes, note (`gateway.store.files` says why). The
sweep finishes what a crash or a failing place leaves over, and lets go of expired files.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import structlog

from gateway.clock import Clock
from gateway.errors import ApiError
from gateway.settings import Files as Settings
from gateway.store.blobs import Blobs, Stored
from gateway.store.records import FileRow
from gateway.store.store import Store

log = structlog.get_logger()

_DAY = 86_400 * 1_000_000
_UPLOAD_DAYS = 1
"""How long bytes may be on their way before they count as left behind."""

_DROP_SECONDS = 30.0
"""How long a failed upload waits for its bytes to go; after that the sweep takes them."""


class Shelf:
    """The files of a gateway. Enter `swept` to have it cleaned up from time to time."""

    def __init__(self, store: Store, blobs: Blobs, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self.blobs = blobs
        self.settings = settings

    async def put(
        self, chunks: AsyncIterable[bytes], keep: Callable[[str, Stored], Awaitable[FileRow]]
    ) -> FileRow:
        """Write bytes and let `keep` write the row that holds them, given their key.

        If `keep` raises, the bytes go away again.

        Raises:
            TooLarge: There are more bytes than a file may have.
            Internal: They cannot be stored.
        """
        blob = f"files/{self._clock.new_id('blob')}"
        await self._store.files.begin(blob=blob, now=self._clock.now())
        kept = False
        try:
            stored = await self.blobs.put(blob, chunks, max_bytes=self.settings.max_file)
            row = await keep(blob, stored)
            kept = True
        finally:
            if not kept:
                with anyio.move_on_after(_DROP_SECONDS, shield=True), suppress(ApiError):
                    await self._store.files.drop(blob=blob)
                    await self.clear()
        return row

    async def add(
        self, chunks: AsyncIterable[bytes], describe: Callable[[str, Stored], FileRow]
    ) -> FileRow:
        """Write bytes and the row that `describe` makes for them; it may raise to refuse.

        Raises:
            InvalidRequest: The quota is used up, or `describe` refused.
            TooLarge, Internal: As `put`.
        """

        async def keep(blob: str, stored: Stored) -> FileRow:
            row = describe(blob, stored)
            quota = self.settings.quota
            await self._store.files.add(row=row, now=self._clock.now(), quota=quota)
            return row

        return await self.put(chunks, keep)

    def open(self, row: FileRow) -> AsyncGenerator[bytes, None]:
        """Read a file that is `readable`; leave it with ``aclose``.

        Raises:
            FileNotFoundError: Its bytes were deleted meanwhile.
            Internal: The place of the bytes does not answer.
        """
        assert row.blob is not None, "only a readable file can be opened"
        return self.blobs.open(row.blob)

    async def delete(self, *, workspace: str, id: str) -> None:  # noqa: A002 - the wire's word
        """Delete a file; its bytes go with the last file that shares them.

        Raises:
            NotFound: No such file in this workspace.
        """
        await self._store.files.delete(workspace=workspace, id=id, now=self._clock.now())
        await self.clear()

    async def clear(self) -> None:
        """Delete the bytes that no file holds any more. What fails now is tried again later."""
        before = self._clock.now() - _UPLOAD_DAYS * _DAY
        while doomed := await self._store.files.doomed(before=before):
            gone: list[str] = []
            try:
                for blob in doomed:
                    await self.blobs.delete(blob)
                    gone.append(blob)
            except ApiError as error:
                log.warning("stored bytes not deleted", error=error.message)
                return
            finally:
                with anyio.CancelScope(shield=True):
                    await self._store.files.gone(blobs=gone)

    async def sweep(self) -> None:
        """Let go of what has expired, and finish what was left half done."""
        now = self._clock.now()
        keep = now - self.settings.expired_days * _DAY
        while await self._store.files.expire(now=now, keep=keep):
            pass
        await self.clear()

    @asynccontextmanager
    async def swept(self) -> AsyncGenerator[None]:
        """Sweep now and every `sweep_seconds` until the exit."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep_on)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _sweep_on(self) -> None:
        while True:
            try:
                await self.sweep()
            except ApiError as error:
                log.warning("files not swept", error=error.message)
            await anyio.sleep(self.settings.sweep_seconds)
