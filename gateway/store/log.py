"""The log of sessions: what clients send is accepted, what a runner did is appended, both are read.

An event is in the inbox or in the log, never in both (spec/core 12a). The SQL is in `journal` and
`history`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.store import history, journal
from gateway.store.approvals import ApprovalRow
from gateway.store.audit import Audit, AuditRecord, extend, needed
from gateway.store.engine import Database, Tx
from gateway.store.leases import Leases
from gateway.store.records import (
    Appended,
    Change,
    Claim,
    Event,
    Head,
    Input,
    Locked,
    LogCursor,
    LogPage,
    Order,
    Range,
    SessionRow,
    ThreadRow,
)


@dataclass(frozen=True, slots=True)
class Log:
    """The logs and inboxes of all sessions."""

    _db: Database
    _leases: Leases
    _audit: Audit

    async def accept(
        self,
        *,
        session: str,
        workspace: str,
        now: int,
        decide: journal.Decide,
        live: bool,
    ) -> list[Input]:
        """Queue what a client sent, in its order, and return it.

        `decide` is given the session, what is queued already, and two look-ups by the id of an
        event: of the logged event, and of the approval that this tool use waits for. It returns
        the inputs to queue and the approvals they answer, or raises to refuse them all. It runs
        inside the transaction, off the event loop, perhaps twice. `live` says whether a stream is
        open: if not, the next one begins its replay here (spec/core 6.10).

        Raises:
            NotFound: No such session in this workspace.
        """
        return await self._db.write(
            partial(
                journal.accept,
                session=session,
                workspace=workspace,
                now=now,
                decide=decide,
                live=live,
            )
        )

    async def claim(self, *, session: str, owner: str, now: int) -> Claim | None:
        """Take the lease under a new epoch and read everything a runner needs.

        None when another live gateway holds the lease, or the session is gone. A lease of one's
        own is taken again: the former epoch is fenced from then on.
        """
        return await self._db.write(
            partial(journal.claim, session=session, owner=owner, now=now, lives=self._leases.lives)
        )

    async def append(
        self,
        *,
        session: str,
        epoch: int,
        owner: str,
        events: Sequence[Event],
        head: Head,
        now: int,
        consumes: Sequence[str] = (),
        threads: Sequence[ThreadRow] = (),
        snapshot: bytes | None = None,
        records: Sequence[AuditRecord] = (),
        approvals: Sequence[ApprovalRow] = (),
        release: bool = False,
        only_if_quiet: bool = False,
    ) -> Appended:
        """Write one step of a runner: events, head, threads, snapshot, all or nothing.

        `records` go to the session's chain of the audit trail. Each of `approvals` takes the place
        of the one its tool use had.

        `consumes` names the inputs that leave the inbox; their events, with the same ids, are
        among `events`. A `first_seq` other than the one expected means that `append_now` wrote in
        between. With `only_if_quiet`, inputs that wait beyond `consumes` keep anything from being
        written. `release` gives the lease back.

        Raises:
            Fenced: The lease is not `owner`'s under `epoch` any more; nothing was written.
        """
        step = partial(
            journal.append,
            session=session,
            epoch=epoch,
            owner=owner,
            events=events,
            consumes=consumes,
            head=head,
            threads=threads,
            snapshot=snapshot,
            approvals=approvals,
            release=release,
            only_if_quiet=only_if_quiet,
            now=now,
        )
        if not records:
            return await self._db.write(step)
        key = needed(self._audit.key)

        def write(tx: Tx) -> Appended:
            appended = step(tx)
            if appended.idle:
                extend(tx, session, records, key)
            return appended

        return await self._db.write(write)

    async def append_now(
        self,
        *,
        session: str,
        workspace: str,
        now: int,
        change: Callable[[Locked], Change | None],
    ) -> SessionRow:
        """Change a session from the API side and return its row as it is then.

        `change` sees the session locked; it raises to refuse, or returns None to leave all as it
        is. Its events take numbers from the same counter as a runner's. A lease stays valid,
        unless the session is terminated: then whoever holds it is fenced.

        Raises:
            NotFound: No such session in this workspace.
        """
        return await self._db.write(
            partial(
                journal.append_now, session=session, workspace=workspace, now=now, change=change
            )
        )

    async def read(
        self, *, session: str, after: int, limit: int, thread: str | None = None
    ) -> list[Event]:
        """Up to `limit` events numbered above `after`: of one thread, or of the session's log."""
        return await self._db.read(
            partial(history.read, session=session, after=after, limit=limit, thread=thread)
        )

    async def inputs(self, *, session: str) -> list[Input]:
        """What is queued, in the order it arrived."""
        return await self._db.read(lambda tx: journal.queued(tx, session))

    async def find(self, *, session: str, event_id: str) -> Event | None:
        """The logged event of that id, if there is one."""
        return await self._db.read(lambda tx: journal.find(tx, session, event_id))

    async def list(
        self,
        *,
        session: str,
        limit: int,
        order: Order = "asc",
        types: Sequence[str] | None = None,
        created: Range = Range(),  # noqa: B008 - it is frozen
        cursor: LogCursor | None = None,
        thread: str | None = None,
    ) -> LogPage:
        """A page of events as clients list them (spec/core 6.9).

        Queued events come after the log, so first when going down; a thread's own list and a
        list bounded in time leave them out. An event consumed between two pages may be seen
        twice, with one id, and is never missed.
        """
        asked = history.Listing(
            session=session,
            thread=thread,
            order=order,
            types=types,
            created=created,
            limit=limit,
            cursor=cursor,
        )
        return await self._db.read(lambda tx: history.page(tx, asked))

    async def take_replay(self, *, session: str) -> int | None:
        """The number after which a new stream has to replay, once; None if nothing was missed."""
        return await self._db.write(lambda tx: journal.take_replay(tx, session))
