"""Changes that leave a record: who did what to a key, a person, a workspace or a member.

The change and its record are one transaction, in the audit trail's chain of what belongs to no
session (`gateway.store.audit`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from gateway.store.audit import GATEWAY, Audit, AuditRecord, extend, needed
from gateway.store.engine import Database, Tx

T = TypeVar("T")

Outcome: TypeAlias = Literal["created", "changed", "archived", "added", "removed"]


class Told(NamedTuple):
    """What a record says of the thing that was changed."""

    kind: Literal["key", "member"]
    workspace: str | None
    body: dict[str, Any]


class Subject(Protocol):
    """What a deed can be done to."""

    def tell(self) -> Told:
        """How it is now; nothing secret."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody does.

    Args:
        id: Of the record.
        at: Microseconds since 1970 UTC.
        actor: Who does it; None for the command line.
        outcome: What becomes of the subject.
    """

    id: str
    at: int
    actor: str | None
    outcome: Outcome

    def record(self, subject: Subject) -> AuditRecord:
        kind, workspace, body = subject.tell()
        return AuditRecord(
            id=self.id,
            at=self.at,
            kind=kind,
            workspace=workspace,
            session=None,
            event=None,
            actor=self.actor,
            tool=None,
            outcome=self.outcome,
            body=body,
        )


S = TypeVar("S", bound=Subject | None)


@dataclass(frozen=True, slots=True)
class Recorder:
    """The database, as those use it whose changes are recorded."""

    _db: Database
    _audit: Audit

    async def write(self, fn: Callable[[Tx], S], deed: Deed | None) -> S:
        """Run `fn` in a transaction as `Database.write` does; record the deed to what it returns.

        Without a deed, or when it returns None, there is nothing to record.
        """

        def both(tx: Tx) -> S:
            subject = fn(tx)
            if deed is not None and subject is not None:
                extend(tx, GATEWAY, [deed.record(subject)], needed(self._audit.key))
            return subject

        return await self._db.write(both)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """As `Database.read`."""
        return await self._db.read(fn)
