"""Kill switches as calls see them: in memory, looked up afresh in the database all the time.

A switch counts here for the next call after it was thrown here, and within `POLL_SECONDS` and a
read of the database when it was thrown at another gateway. While the database does not answer, what
is known goes on to count.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import structlog

from gateway.clock import Clock, rfc3339
from gateway.errors import GatewayError, InvalidRequest, NotFound
from gateway.policy.facts import CallFacts, Facts, ToolFacts
from gateway.store.audit import AuditRecord
from gateway.store.store import Store
from gateway.store.switches import ENFORCEMENT, KINDS, Kind, SwitchRow

log = structlog.get_logger()

POLL_SECONDS = 0.5
MAX_UNENFORCED = 24 * 3600
"""Seconds for which enforcement can be switched off at a time."""
_MAX_REASON = 500
_MOST_SECONDS = 10 * 366 * 86_400


class Switches:
    """Every switch that is thrown."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Know none yet: `refresh` reads them."""
        self._store = store
        self._clock = clock
        self._thrown: Mapping[tuple[str, str], SwitchRow] = {}

    def stopping(self, call: CallFacts, facts: Facts) -> str:
        """Why a call is stopped, for people; empty if no switch stops it."""
        return self.stopping_tool(call.tool, facts)

    def stopping_tool(self, tool: ToolFacts, facts: Facts) -> str:
        """Why every call of a tool is stopped, whatever its arguments."""
        if not self._thrown:
            return ""
        named = (
            ("tool", tool.action),
            ("server", facts.server.kind),
            ("server", facts.server.id),
            ("agent", facts.agent.id),
            ("user", facts.user.id),
            ("workspace", facts.agent.workspace),
        )
        for each in named:
            row = self._thrown.get(each)
            if row is not None and _counts(row, facts.now):
                return f"the {row.kind} {row.subject} was stopped: {row.reason}"
        return ""

    def enforced(self, now: int) -> bool:
        """Whether the enterprise's policies decide."""
        row = self._thrown.get(ENFORCEMENT)
        return row is None or not _counts(row, now)

    def all(self) -> list[SwitchRow]:
        """Those that count now, the oldest first."""
        now = self._clock.now()
        return [row for row in self._thrown.values() if _counts(row, now)]

    async def throw(
        self, *, kind: str, subject: str, reason: str, actor: str, seconds: float | None
    ) -> SwitchRow:
        """Stop something, for so many seconds or until the switch is lifted.

        Raises:
            InvalidRequest: There is no such kind of thing, or nothing to stop, or no reason.
        """
        if kind not in KINDS:
            raise InvalidRequest(f"kind: must be one of {', '.join(KINDS)}")
        if not subject:
            raise InvalidRequest("subject: say which one")
        if seconds is not None and not 0 < seconds <= _MOST_SECONDS:
            raise InvalidRequest("seconds: must be more than 0 and at most ten years")
        return await self._throw(kind, subject, reason, actor, seconds)

    async def lift(self, *, kind: str, subject: str, actor: str) -> None:
        """Let it run again.

        Raises:
            NotFound: It is not stopped.
        """
        record = self._record(kind, subject, actor, "lifted", {})
        if not await self._store.switches.lift(kind=kind, subject=subject, record=record):
            raise NotFound(f"There is no switch for the {kind[:20]} {subject[:200]}.")
        await self.refresh()

    async def suspend(self, *, reason: str, actor: str, seconds: float) -> SwitchRow:
        """Let no policy of the enterprise decide for a while; kill switches go on to count.

        Raises:
            InvalidRequest: There is no reason, or the while is longer than `MAX_UNENFORCED`.
        """
        if not 0 < seconds <= MAX_UNENFORCED:
            hours = MAX_UNENFORCED // 3600
            raise InvalidRequest(f"seconds: must be more than 0 and at most {hours} hours")
        row = await self._throw(*ENFORCEMENT, reason, actor, seconds)
        log.warning("policy enforcement is off", by=actor, reason=reason, until=_instant(row.until))
        return row

    async def resume(self, *, actor: str) -> None:
        """Let the policies decide again; nothing happens if they do."""
        kind, subject = ENFORCEMENT
        record = self._record(kind, subject, actor, "lifted", {})
        await self._store.switches.lift(kind=kind, subject=subject, record=record)
        await self.refresh()

    async def refresh(self) -> None:
        """Look what is thrown."""
        rows = await self._store.switches.all()
        self._thrown = {(row.kind, row.subject): row for row in rows}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Look again and again until the exit."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._poll)
            yield
            tasks.cancel_scope.cancel()

    async def _poll(self) -> None:
        silent = False
        while True:
            try:
                await self.refresh()
                silent = False
            except GatewayError as error:
                if not silent:
                    log.warning("cannot read the kill switches", reason=str(error))
                silent = True
            await anyio.sleep(POLL_SECONDS)

    async def _throw(
        self, kind: Kind, subject: str, reason: str, actor: str, seconds: float | None
    ) -> SwitchRow:
        if not reason.strip() or len(reason) > _MAX_REASON:
            raise InvalidRequest(f"reason: must be 1 to {_MAX_REASON} characters")
        now = self._clock.now()
        row = SwitchRow(
            kind=kind,
            subject=subject,
            reason=reason,
            thrown_by=actor,
            thrown_at=now,
            until=None if seconds is None else now + int(seconds * 1_000_000),
        )
        about = {"reason": reason, "until": _instant(row.until)}
        record = self._record(kind, subject, actor, "thrown", about)
        await self._store.switches.throw(row=row, record=record)
        await self.refresh()
        return row

    def _record(
        self, kind: str, subject: str, actor: str, outcome: str, about: dict[str, Any]
    ) -> AuditRecord:
        return AuditRecord(
            id=self._clock.new_id("audit"),
            at=self._clock.now(),
            kind="enforcement" if kind == "enforcement" else "switch",
            workspace=subject if kind == "workspace" else None,
            session=None,
            event=None,
            actor=actor,
            tool=subject if kind == "tool" else None,
            outcome=outcome,
            body={"switch": kind, "subject": subject, **about},
        )


def _counts(row: SwitchRow, now: int) -> bool:
    return row.until is None or row.until > now


def _instant(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
