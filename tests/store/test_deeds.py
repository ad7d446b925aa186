"""Changes to keys, people and workspaces leave a record, in the same transaction."""

from dataclasses import replace

import pytest

from gateway.errors import ApiError
from gateway.store.audit import Sought
from gateway.store.chain import AuditRecord
from gateway.store.deeds import Deed, Outcome
from gateway.store.store import Store
from tests.store.rows import member, principal, workspace


def deed(outcome: Outcome, number: int = 1) -> Deed:
    return Deed(id=f"audit_{number}", at=number, actor="user_9", outcome=outcome)


async def records(store: Store) -> list[AuditRecord]:
    page = await store.audit.search(Sought(), limit=20, order="asc")
    return [entry.record for entry in page.rows]


async def test_a_key_leaves_records_without_itself(store: Store):
    default = await store.keys.default_workspace()
    key = await store.keys.create(
        workspace=default, name="ci", sha256=b"1", hint="hint", now=5,
        scopes=frozenset({"files:read", "agents:read"}), deed=deed("created"),
    )  # fmt: skip
    await store.keys.update(id=key.id, now=6, status="inactive", deed=deed("changed", 2))
    await store.keys.revoke(id=key.id, now=7, deed=deed("archived", 3))
    made, changed, gone = await records(store)
    assert (made.kind, made.outcome, made.actor) == ("key", "created", "user_9")
    assert (made.workspace, made.id, made.at) == (default, "audit_1", 1)
    assert made.body == {
        "key": key.id,
        "name": "ci",
        "principal": None,
        "scopes": ["agents:read", "files:read"],
        "organization": False,
        "enabled": True,
        "revoked_at": None,
        "expires_at": None,
    }
    assert (changed.outcome, changed.body["enabled"]) == ("changed", False)
    assert (gone.outcome, gone.body["revoked_at"]) == ("archived", 7)


async def test_people_and_places_leave_records(store: Store):
    await store.workspaces.create(row=workspace(), deed=deed("created"))
    await store.people.create(row=principal(), deed=deed("created", 2))
    await store.members.add(kind="user", row=member(), deed=deed("added", 3))
    await store.members.remove(
        kind="user", workspace="wrkspc_2", principal="user_1", deed=deed("removed", 4)
    )
    await store.people.archive(kind="user", id="user_1", now=5, deed=deed("removed", 5))
    await store.workspaces.archive(id="wrkspc_2", now=6, deed=deed("archived", 6))
    found = await records(store)
    assert {record.kind for record in found} == {"member"}
    assert [(r.workspace, r.outcome, r.body.get("principal")) for r in found] == [
        ("wrkspc_2", "created", None),
        (None, "created", "user_1"),
        ("wrkspc_2", "added", "user_1"),
        ("wrkspc_2", "removed", "user_1"),
        (None, "removed", "user_1"),
        ("wrkspc_2", "archived", None),
    ]


async def test_what_is_refused_or_changes_nothing_leaves_no_record(store: Store):
    await store.workspaces.create(row=workspace())
    await store.people.create(row=principal())
    for change in (
        store.workspaces.create(row=workspace("wrkspc_3", name="default"), deed=deed("created")),
        store.people.create(row=replace(principal(), id="user_2"), deed=deed("created")),
        store.members.add(kind="user", row=member("user_7"), deed=deed("added")),
        store.keys.revoke(id="apikey_none", now=1, deed=deed("archived")),
    ):
        with pytest.raises(ApiError):
            await change
    assert not await store.members.remove(
        kind="user", workspace="wrkspc_2", principal="user_1", deed=deed("removed")
    )
    assert await records(store) == []
