"""Sessions whose agent wants to do something that a policy asks about, and people who answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.keys import digest, hint, new_key
from gateway.store.approvals import ApprovalRow
from gateway.store.members import MemberRow
from gateway.store.people import PrincipalRow
from gateway.store.records import Event
from tests.api.building import make_session
from tests.gateway import Running, Tenant

HOUR = 3_600_000_000


@dataclass(frozen=True)
class Place:
    """A workspace of a running gateway, with a key that is nobody's."""

    running: Running
    tenant: Tenant

    def person(self, name: str, scopes: frozenset[str] | None = None) -> tuple[str, Tenant]:
        """A new user who works here: the id, and the workspace as their own key opens it."""
        return self.running.call(self._person, name, scopes)

    async def _person(self, name: str, scopes: frozenset[str] | None) -> tuple[str, Tenant]:
        store, clock = self.running.gateway.store, self.running.gateway.clock
        user, key, now = clock.new_id("user"), new_key(), clock.now()
        row = PrincipalRow(
            id=user,
            kind="user",
            name=name,
            email=f"{user.lower()}@example.com",
            role="user",
            body={},
            created_at=now,
            updated_at=now,
            archived_at=None,
        )
        await store.people.create(row=row)
        where = MemberRow(
            workspace=self.tenant.workspace,
            principal=user,
            role="workspace_developer",
            created_at=now,
            updated_at=now,
        )
        await store.members.add(kind="user", row=where)
        await store.keys.create(
            workspace=self.tenant.workspace,
            name=name,
            sha256=digest(key),
            hint=hint(key),
            now=now,
            principal=user,
            scopes=scopes,
        )
        return user, replace(self.tenant, key=key)

    def ask(self, actor: str, session: str | None = None, **changes: Any) -> ApprovalRow:
        """A call that waits for somebody else than `actor`, in a session of its own."""
        if session is None:
            with self.tenant.client() as client:
                session = make_session(client).id
        return self.running.call(partial(self._ask, actor, session, changes))

    async def _ask(self, actor: str, session: str, changes: dict[str, Any]) -> ApprovalRow:
        store, clock = self.running.gateway.store, self.running.gateway.clock
        now, event = clock.now(), clock.new_id("sevt")
        claim = await store.log.claim(session=session, owner=store.leases.owner, now=now)
        assert claim is not None
        fields = {name: changes.pop(name) for name in list(changes) if name in _BODY}
        row = ApprovalRow(
            id=clock.new_id("appr"),
            workspace=self.tenant.workspace,
            session=session,
            event=event,
            state="pending",
            body={**_BODY, "thread": claim.session.primary_thread, "actor": actor, **fields},
            created_at=now,
            expires_at=now + HOUR,
        )
        waits = {**claim.session.head.waiting, event: "user.tool_confirmation"}
        await store.log.append(
            session=session,
            epoch=claim.epoch,
            owner=store.leases.owner,
            events=[_tool_use(event, claim.session.primary_thread, now)],
            head=replace(claim.session.head, waiting=waits, stop_reason="requires_action"),
            now=now,
            approvals=[replace(row, **changes)],
            release=True,
        )
        return replace(row, **changes)

    def found(self, row: ApprovalRow) -> ApprovalRow:
        """The approval as the store has it now."""
        find: Callable[..., Any] = self.running.gateway.store.approvals.find
        return self.running.call(partial(find, id=row.id))

    def answers(self, row: ApprovalRow) -> list[tuple[str, str | None]]:
        """What its session was sent: results and reasons."""
        with self.tenant.client() as client:
            events = client.beta.sessions.events.list(row.session).data
        return [
            (event.result, event.deny_message)
            for event in events
            if event.type == "user.tool_confirmation" and event.tool_use_id == row.event
        ]


_BODY: dict[str, Any] = {
    "thread": "",
    "tool": "sandbox.bash",
    "tool_digest": "d1",
    "arguments": {"command": "echo <b>refund</b>"},
    "arguments_digest": "d2",
    "policy_set": "d3",
    "policies": ["writes-need-two"],
    "actor": "",
    "approvers": [],
    "second_person": True,
    "wire": False,
    "enterprise": True,
}


def _tool_use(event: str, thread: str, now: int) -> Event:
    body = {
        "type": "agent.tool_use",
        "id": event,
        "processed_at": "2026-04-01T12:00:00.000000Z",
        "name": "bash",
        "input": {"command": "echo refund"},
        "evaluated_permission": "ask",
    }
    private = {"tool_use_id": "toolu_1", "place": "sandbox", "name": "bash"}
    return Event(
        id=event,
        type="agent.tool_use",
        thread=thread,
        processed_at=now,
        wire=json.dumps(body, separators=(",", ":")).encode(),
        private=json.dumps(private).encode(),
    )
