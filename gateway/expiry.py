"""Denies the calls that nobody has approved in time, so that their sessions go on.

It answers as a person would, through the same door, and the model reads why. Gateways that share
a database all look: whoever comes first denies, the others find it done.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import structlog

from gateway.errors import ApiError, InvalidRequest, NotFound
from gateway.loop.approval import GATEWAY
from gateway.loop.intake import Intake
from gateway.store.approvals import ApprovalRow

log = structlog.get_logger()

SWEEP_SECONDS = 2.0
"""How long past its time a call may still seem to wait."""

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Expiry:
    """Ends the waiting. Enter `running` to have it done from time to time."""

    intake: Intake

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Look now and every `SWEEP_SECONDS` until the exit."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep_on)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def sweep(self) -> None:
        """Deny what has expired by now; some of it, if it is a lot."""
        now = self.intake.clock.now()
        for row in await self.intake.store.approvals.expired(now=now):
            await self._deny(row)

    async def _sweep_on(self) -> None:
        while True:
            try:
                await self.sweep()
            except ApiError as error:
                log.warning("cannot look for approvals that expired", error=error.message)
            await anyio.sleep(SWEEP_SECONDS)

    async def _deny(self, row: ApprovalRow) -> None:
        assert row.expires_at is not None, "only what expires has expired"
        within = _duration(row.expires_at - row.created_at)
        reason = f"nobody approved this call within {within}"
        try:
            await self.intake.answer(row, allow=False, reason=reason, sender=GATEWAY)
        except (InvalidRequest, NotFound):
            # Another gateway was first, or the session takes no answer: then nobody needs one.
            await self.intake.store.approvals.withdraw(id=row.id, now=self.intake.clock.now())
        except ApiError as error:
            log.warning("approval not denied yet", approval=row.id, error=error.message)
        else:
            log.info("approval expired", approval=row.id, session=row.session)


def _duration(micros: int) -> str:
    """In the largest unit that makes a whole number, such as ``1 day`` or ``90 seconds``."""
    seconds = max(1, micros // 1_000_000)
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    count = seconds // size
    return f"{count} {unit}{'s' if count > 1 else ''}"
