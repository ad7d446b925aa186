"""Rows to put into a store, with everything a test does not care about filled in."""

from dataclasses import replace
from typing import Any

from gateway.store.approvals import Accepted, ApprovalRow
from gateway.store.members import MemberRow
from gateway.store.people import PrincipalRow
from gateway.store.records import (
    AgentRow,
    Change,
    Claim,
    EnvironmentRow,
    Event,
    Head,
    Input,
    Locked,
    SessionRow,
    ThreadRow,
)
from gateway.store.store import Store
from gateway.store.workspaces import WorkspaceRow

WORKSPACE = "wrkspc_1"
THREAD = "sthr_primary"


def agent(name: str = "agent_1", **changes: Any) -> AgentRow:
    row = AgentRow(
        id=name,
        workspace=WORKSPACE,
        version=1,
        body={"name": "Primes"},
        created_at=1,
        updated_at=1,
        archived_at=None,
    )
    return replace(row, **changes)


def environment(identity: str = "env_1", **changes: Any) -> EnvironmentRow:
    row = EnvironmentRow(
        id=identity,
        workspace=WORKSPACE,
        name=f"name of {identity}",
        body={"name": f"name of {identity}"},
        created_at=1,
        updated_at=1,
        archived_at=None,
    )
    return replace(row, **changes)


def session(identity: str = "sesn_1", **changes: Any) -> SessionRow:
    row = SessionRow(
        id=identity,
        workspace=WORKSPACE,
        environment="env_1",
        agent="agent_1",
        agent_version=1,
        deployment=None,
        primary_thread=f"{THREAD}_{identity}",
        body={"title": None, "resources": []},
        head=Head(),
        seq=0,
        created_at=1,
        updated_at=1,
        archived_at=None,
    )
    return replace(row, **changes)


def thread(of: SessionRow, identity: str | None = None, **changes: Any) -> ThreadRow:
    row = ThreadRow(
        id=identity or of.primary_thread,
        session=of.id,
        parent=None if identity is None else of.primary_thread,
        status="idle",
        body={"stats": None},
        created_at=of.created_at,
        updated_at=of.created_at,
        archived_at=None,
    )
    return replace(row, **changes)


def event(identity: str, **changes: Any) -> Event:
    row = Event(
        id=identity,
        type="agent.message",
        thread=THREAD,
        processed_at=100,
        wire=b'{"id":"%b"}' % identity.encode(),
    )
    return replace(row, **changes)


def sent(identity: str, **changes: Any) -> Input:
    row = Input(
        id=identity, type="user.message", accepted_at=50, wire=b'{"id":"%b"}' % identity.encode()
    )
    return replace(row, **changes)


def approval(identity: str = "appr_1", **changes: Any) -> ApprovalRow:
    """An enterprise policy asks about a call; anybody but `user_1` may approve it."""
    row = ApprovalRow(
        id=identity,
        workspace=WORKSPACE,
        session="sesn_1",
        event="sevt_call",
        state="pending",
        body={
            "thread": THREAD,
            "tool": "pay.refund",
            "tool_digest": "d1",
            "arguments": {"amount": 120},
            "arguments_digest": "d2",
            "policy_set": "d3",
            "policies": ["refunds-need-two"],
            "actor": "user_1",
            "approvers": [],
            "second_person": True,
            "wire": False,
            "enterprise": True,
        },
        created_at=10,
        expires_at=1_000,
    )
    return replace(row, **changes)


async def add_session(store: Store, identity: str = "sesn_1", **changes: Any) -> SessionRow:
    row = session(identity, **changes)
    return await store.sessions.create(row=row, thread=thread(row))


async def send(store: Store, *inputs: Input, session: str = "sesn_1", live: bool = True):
    """Accept `inputs` without conditions."""
    return await store.log.accept(
        session=session,
        workspace=WORKSPACE,
        now=60,
        decide=lambda _row, _queued, _find, _approval: Accepted(list(inputs)),
        live=live,
    )


async def claimed(store: Store, session: str = "sesn_1", now: int = 70) -> Claim:
    claim = await store.log.claim(session=session, owner=store.leases.owner, now=now)
    assert claim is not None
    return claim


async def append(store: Store, claim: Claim, *events: Event, **options: Any):
    """Append under the claim, as the store's own gateway."""
    arguments: dict[str, Any] = {
        "head": claim.session.head,
        "now": 80,
        "owner": store.leases.owner,
        **options,
    }
    return await store.log.append(
        session=claim.session.id, epoch=claim.epoch, events=events, **arguments
    )


async def ids(store: Store, session: str = "sesn_1") -> list[str]:
    """The log as it is read from its beginning."""
    return [row.id for row in await store.log.read(session=session, after=0, limit=1_000_000)]


def add(*events: Event, **head: Any):
    """A change from the API side: these events, and these fields of the head."""

    def change(found: Locked) -> Change:
        row = found.session
        return Change(session=replace(row, head=replace(row.head, **head)), events=list(events))

    return change


def workspace(identity: str = "wrkspc_2", **changes: Any) -> WorkspaceRow:
    row = WorkspaceRow(
        id=identity, name=f"name of {identity}", body={}, created_at=1, archived_at=None
    )
    return replace(row, **changes)


def principal(identity: str = "user_1", **changes: Any) -> PrincipalRow:
    person = identity.startswith("user_")
    row = PrincipalRow(
        id=identity,
        kind="user" if person else "service_account",
        name=f"name of {identity}",
        email=f"{identity}@example.com" if person else None,
        role="developer",
        body={},
        created_at=1,
        updated_at=1,
        archived_at=None,
    )
    return replace(row, **changes)


def member(identity: str = "user_1", **changes: Any) -> MemberRow:
    row = MemberRow(
        workspace="wrkspc_2",
        principal=identity,
        role="workspace_developer",
        created_at=1,
        updated_at=1,
    )
    return replace(row, **changes)
