"""Delivers the audit trail to where it cannot be changed any more, and signs how far it is.

Every record is delivered to every sink at least once, oldest first and in batches; only then is it
marked as sent. A sink that fails is tried again for ever, at growing intervals, and the others wait
for it no further than a batch ahead: so nothing is lost, however long it lasts. Of several gateways
on one database one does this at a time.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import structlog

from gateway import __version__
from gateway.clock import Clock, rfc3339
from gateway.errors import ApiError
from gateway.policy.ocsf import to_ocsf
from gateway.settings.policy import AuditSettings
from gateway.sinks import Sink, Undelivered
from gateway.store.audit import Audit, Entry

log = structlog.get_logger()

BATCH = 200
"""The most records handed over at once."""
BATCH_BYTES = 1024 * 1024
"""The most bytes of them, unless one record alone is larger."""
PAUSE_SECONDS = 0.5
"""How long a record may wait before anybody looks for it."""
LATE_SECONDS = 30.0
"""A record that waits longer than this says that delivery does not work, whoever does it."""
RETRY_SECONDS = (0.5, 60.0)
"""The first and the longest pause after a failure."""


class Export:
    """The work on the audit trail that is nobody's request. Enter `running` to have it done.

    Args:
        audit: The trail.
        clock: Names and dates checkpoints.
        settings: How often to sign, and whether delivery is required.
        sinks: Where to deliver; none if nothing is delivered.
    """

    def __init__(
        self, audit: Audit, clock: Clock, settings: AuditSettings, sinks: Sequence[Sink]
    ) -> None:
        self._audit = audit
        self._clock = clock
        self._settings = settings
        self._sinks = list(sinks)
        self._batch: list[Entry] = []
        self._waiting: list[Sink] = []
        self._failed = ""
        self._late = ""

    @property
    def behind(self) -> str:
        """Why records are not being delivered; empty while they are, or need not be."""
        return self._failed or self._late

    @property
    def healthy(self) -> bool:
        return not self.behind

    @property
    def refusal(self) -> str:
        """Why calls that write may not run now (``audit.require_delivery``); empty if they may."""
        return self.behind if self._settings.require_delivery else ""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Deliver and sign until the exit."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sign_on)
            if self._sinks:
                tasks.start_soon(self._deliver_on)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    for sink in self._sinks:
                        await sink.aclose()

    async def _sign_on(self) -> None:
        while True:
            try:
                if await self._audit.turn.take():
                    await self.sign()
            except ApiError as error:
                log.warning("audit trail not signed", error=error.message)
            await anyio.sleep(self._settings.checkpoint_seconds)

    async def sign(self) -> None:
        """Write checkpoints until they say where every chain is."""
        while await self._audit.checkpoint(id=self._clock.new_id("audit"), now=self._clock.now()):
            pass

    async def _deliver_on(self) -> None:
        pause = RETRY_SECONDS[0]
        while True:
            try:
                await self.deliver()
                pause = RETRY_SECONDS[0]
                await anyio.sleep(PAUSE_SECONDS)
            except ApiError as error:
                log.warning("audit trail not read", error=error.message)
                await anyio.sleep(pause)
            except Undelivered:
                await self._tell(pause)
                await anyio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS[1])

    async def deliver(self) -> None:
        """Deliver until nothing is left, if it is this gateway's turn.

        Raises:
            Undelivered: A sink failed. Asked again, only those are tried that have not taken the
                batch; that is not remembered beyond this process.
        """
        if not await self._audit.turn.take():
            self._batch, self._failed = [], ""
            self._late = _tell_late(await self._audit.oldest_unsent(), self._clock.now())
            return
        while self._batch or await self._take_batch():
            events = [_event(entry) for entry in self._batch]
            while self._waiting:
                await self._offer(self._waiting[0], events)
                self._waiting.pop(0)
            await self._audit.mark(self._batch)
            self._batch = []
        self._failed = self._late = ""

    async def _take_batch(self) -> bool:
        self._batch = _bounded(await self._audit.unsent(limit=BATCH))
        self._waiting = list(self._sinks)
        return bool(self._batch)

    async def _offer(self, sink: Sink, events: Sequence[dict[str, Any]]) -> None:
        """Hand over a batch, in smaller pieces to a sink that finds it too large."""
        try:
            await sink.deliver(events)
        except Undelivered as error:
            if not error.too_much or len(events) == 1:
                self._failed = f"{sink.name}: {error}"
                raise
            half = len(events) // 2
            await self._offer(sink, events[:half])
            await self._offer(sink, events[half:])

    async def _tell(self, pause: float) -> None:
        try:
            backlog = await self._audit.backlog()
        except ApiError as error:
            log.warning("audit records not delivered", reason=self._failed, error=error.message)
            return
        log.warning(
            "audit records not delivered",
            reason=self._failed,
            records=backlog.records,
            since=_shown(backlog.since),
            again_in_seconds=pause,
        )


def _event(entry: Entry) -> dict[str, Any]:
    try:
        return to_ocsf(entry, product_version=__version__)
    except (LookupError, TypeError, AttributeError, ValueError):
        # Not ours, or not any more: it goes out as it is, for whoever verifies it there.
        return to_ocsf(
            replace(entry, record=replace(entry.record, body={})), product_version=__version__
        )


def _tell_late(since: int | None, now: int) -> str:
    """What is wrong when the oldest undelivered record is from `since`; empty if nothing is."""
    if since is None or now - since <= LATE_SECONDS * 1_000_000:
        return ""
    return f"nothing delivered since {rfc3339(since)}"


def _shown(instant: int | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _bounded(entries: Sequence[Entry]) -> list[Entry]:
    """The first of `entries`, as many as fit into a batch."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(entry.written)
        if batch and size > BATCH_BYTES:
            break
        batch.append(entry)
    return batch
