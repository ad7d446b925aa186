"""Tells others that a call waits for an approval: a JSON notice, posted, with links to answer.

It is told at least once, as long as anybody waits for the answer: again after a while when the
receiver did not take it, at ever longer intervals, also by another gateway or after a restart.
No session ever waits for it. What to do with a notice, such as showing it to the people named in
it, is the receiver's business: a link works for whoever holds it.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import anyio
import structlog

from gateway.clock import Clock, rfc3339
from gateway.errors import ApiError, ConfigError
from gateway.loop.approval import LINK
from gateway.store.approvals import ApprovalRow
from gateway.store.people import PrincipalRow
from gateway.store.store import Store
from gateway.vault.links import Link
from gateway.vault.seal import Seal

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger()

Json: TypeAlias = dict[str, Any]

SWEEP_SECONDS = 1.0
"""How long a new request may wait before it is told."""
POST_SECONDS = 10.0
"""How long the receiver may take."""
AGAIN_SECONDS = 15.0
"""The first wait before it is told again; later waits are as long as all before them."""
AT_ONCE = 8
MOST_APPROVERS = 100
"""People for whom one notice has links."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """Posts notices to one receiver. Enter `running` to have it done.

    Args:
        store: Where the approvals are.
        clock: What time it is.
        seal: What makes links that nobody can forge.
        receiver: The URL that notices are posted to.
        here: The URL under which people reach this gateway.
        members_of: Who is in any of these groups: principals, by id or by e-mail address.

    Raises:
        ConfigError: The receiver is no HTTP URL.
    """

    store: Store
    clock: Clock
    seal: Seal
    receiver: str
    here: str
    members_of: Callable[[frozenset[str]], Sequence[str]]

    def __post_init__(self) -> None:
        for name, url in (("approval_url", self.receiver), ("public_url", self.here)):
            if not url.startswith(("http://", "https://")):
                raise ConfigError(f"policy.{name}: must begin with http:// or https://")

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Look for what is to be told now and every `SWEEP_SECONDS`, until the exit."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep_on)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _sweep_on(self) -> None:
        import httpx2

        async with httpx2.AsyncClient(timeout=POST_SECONDS, follow_redirects=False) as client:
            while True:
                try:
                    await self.sweep(client)
                except ApiError as error:
                    log.warning("cannot look for approvals to tell of", error=error.message)
                await anyio.sleep(SWEEP_SECONDS)

    async def sweep(self, client: "httpx2.AsyncClient") -> None:
        """Tell of what is due; a few at once."""
        due = await self.store.approvals.take_unannounced(
            now=self.clock.now(), again=int(AGAIN_SECONDS * 1_000_000), limit=AT_ONCE
        )
        notices = [(row, await self._notice(row)) for row in due]
        async with anyio.create_task_group() as tasks:
            for row, notice in notices:
                tasks.start_soon(self._tell, client, row, notice)

    async def _tell(self, client: "httpx2.AsyncClient", row: ApprovalRow, notice: Json) -> None:
        import httpx2

        failure = "no answer in time"
        with anyio.move_on_after(POST_SECONDS):
            try:
                # The answer's body may be endless, and nobody wants it.
                async with client.stream("POST", self.receiver, json=notice) as answer:
                    failure = "" if answer.is_success else f"status {answer.status_code}"
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                failure = f"{type(error).__name__}: {error}"
        if failure:
            log.warning("approvers not told yet", approval=row.id, reason=failure)
            return
        try:
            await self.store.approvals.announced(id=row.id)
        except ApiError as error:
            log.warning("approvers will be told again", approval=row.id, reason=error.message)

    async def _notice(self, row: ApprovalRow) -> Json:
        body, expires_at = row.body, row.expires_at
        assert expires_at is not None, "what never expires is not told of"
        return {
            "type": "approval_requested",
            "id": row.id,
            "workspace_id": row.workspace,
            "session_id": row.session,
            "tool_use_id": row.event,
            "tool": body["tool"],
            "arguments": body["arguments"],
            "policies": body["policies"],
            "acting_for": body["actor"],
            "approvers": body["approvers"],
            "second_person": body["second_person"],
            "created_at": rfc3339(row.created_at),
            "expires_at": rfc3339(expires_at),
            "links": await self._links(row, expires_at),
        }

    async def _links(self, row: ApprovalRow, expires_at: int) -> list[Json]:
        """A set of links for each known person who may approve, or else one for nobody."""

        def link(approver: str, decision: Literal["approve", "deny"]) -> str:
            made = Link(
                approval=row.id, decision=decision, approver=approver, expires_at=expires_at
            )
            place = f"{self.here.rstrip('/')}/wharfkeep/v1/approvals/{row.id}/link"
            return f"{place}?token={made.token(self.seal)}"

        people = await self._approvers(row)
        if people:
            return [
                {
                    "approver": person.id,
                    "name": person.name,
                    "email": person.email,
                    "approve": link(person.id, "approve"),
                    "deny": link(person.id, "deny"),
                }
                for person in people
            ]
        nobody: Json = {"approver": LINK, "deny": link(LINK, "deny")}
        if not (row.body["approvers"] or row.body["second_person"]):
            nobody["approve"] = link(LINK, "approve")
        return [nobody]

    async def _approvers(self, row: ApprovalRow) -> list[PrincipalRow]:
        """The people whom the policy names and the gateway knows, but for who may not approve."""
        groups = frozenset(row.body["approvers"])
        names = self.members_of(groups) if groups else ()
        people = [await self._person(name) for name in names[:MOST_APPROVERS]]
        found = {person.id: person for person in people if person is not None}
        if row.body["second_person"]:
            found.pop(row.body["actor"], None)
        return list(found.values())

    async def _person(self, name: str) -> PrincipalRow | None:
        people = self.store.people
        if "@" in name:
            page = await people.list(kind="user", email=name.lower(), limit=1)
            return page.rows[0] if page.rows else None
        person = await people.principal(id=name)
        return person if person is not None and person.archived_at is None else None
