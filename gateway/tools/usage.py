"""Uses of credentials, on record before they happen.

Whatever attaches a secret to what leaves a sandbox says so here first; what cannot be recorded
does not leave with it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.clock import Clock
from gateway.errors import ApiError
from gateway.store.audit import AuditRecord
from gateway.store.store import Store
from sandbox.egress.rules import Denied, Target

Use: TypeAlias = Callable[[str, str, Target], Awaitable[None]]
"""Told which sandbox is about to use which credential, and where: `Usage.record`."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Writes the audit records of credentials."""

    _store: Store
    _clock: Clock

    async def record(self, owner: str, credential: str, target: Target) -> None:
        """Put on record that a sandbox's request gets a credential.

        Args:
            owner: The name of the sandbox (`gateway.tools.place.Place.owner`).
            credential: Which one: the id of a repository of the session, or the search engine.
            target: Where the request goes.

        Raises:
            Denied: It could not be written.
        """
        session = owner.partition(".")[0]
        try:
            row = await self._store.sessions.find(id=session)
            record = AuditRecord(
                id=self._clock.new_id("audit"),
                at=self._clock.now(),
                kind="credential",
                workspace=row.workspace if row else None,
                session=session,
                event=None,
                actor=row.actor if row else None,
                tool=None,
                outcome="used",
                body={"credential": credential, "host": target.host, "port": target.port},
            )
            await self._store.audit.write(session, [record])
        except ApiError as error:
            raise Denied("audit:unwritten") from error
