"""API keys: found by their digest, listed, revoked once; and when they open nothing any more."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import Conflict, InvalidRequest, NotFound
from gateway.store.keys import KeyRow
from gateway.store.store import Store
from tests.store.rows import member, principal, workspace

DIGEST = hashlib.sha256(b"wk-secret").digest()


async def add(store: Store, name: str = "laptop", digest: bytes = DIGEST, **fields: Any) -> KeyRow:
    place = fields.pop("workspace", None) or await store.keys.default_workspace()
    values: dict[str, Any] = {"now": 5, **fields}
    return await store.keys.create(workspace=place, name=name, sha256=digest, hint="cret", **values)


async def add_member(store: Store) -> None:
    """A workspace, and a user who is its member."""
    await store.workspaces.create(row=workspace())
    await store.people.create(row=principal())
    await store.members.add(kind="user", row=member())


async def test_there_is_a_default_workspace_from_the_start(store: Store):
    place = await store.keys.default_workspace()
    assert place.startswith("wrkspc_01")
    assert await store.keys.default_workspace() == place


async def test_a_key_is_found_by_its_digest_only(store: Store):
    key = await add(store)
    assert key.id.startswith("apikey_01")
    assert (key.name, key.hint, key.created_at, key.revoked_at) == ("laptop", "cret", 5, None)
    found = await store.keys.bearer(sha256=DIGEST)
    assert found is not None
    assert (found.key, found.kind, found.closed, found.gone) == (key, "api_key", False, False)
    assert await store.keys.get(id=key.id) == key
    assert await store.keys.bearer(sha256=b"other") is None


async def test_a_key_keeps_all_it_was_made_with(store: Store):
    await add_member(store)
    key = await add(
        store,
        workspace="wrkspc_2",
        principal="user_1",
        scopes=frozenset({"sessions:read", "files:*"}),
        organization=True,
        created_by="apikey_1",
        expires_at=9,
    )
    found = await store.keys.bearer(sha256=DIGEST)
    assert found is not None
    assert found.key == key
    assert found.kind == "user"
    assert key.scopes == {"sessions:read", "files:*"}
    assert (key.organization, key.created_by, key.expires_at) == (True, "apikey_1", 9)


async def test_one_key_cannot_be_added_twice(store: Store):
    await add(store)
    with pytest.raises(Conflict, match="exists already"):
        await add(store, "again")


async def test_a_key_is_revoked_once_and_stays_listed(store: Store):
    key = await add(store)
    other = await add(store, "other", b"2", now=6)
    assert (await store.keys.revoke(id=key.id, now=7)).revoked_at == 7
    assert (await store.keys.revoke(id=key.id, now=8)).revoked_at == 7
    found = await store.keys.bearer(sha256=DIGEST)
    assert found is not None
    assert found.key.revoked_at == 7
    assert await store.keys.list(workspace=key.workspace) == [found.key, other]
    assert await store.keys.list() == [found.key, other]
    assert await store.keys.list(workspace="wrkspc_2") == []


async def test_a_key_that_is_not_there_cannot_be_revoked_or_read(store: Store):
    with pytest.raises(NotFound, match="apikey_1"):
        await store.keys.revoke(id="apikey_1", now=1)
    with pytest.raises(NotFound, match="apikey_1"):
        await store.keys.get(id="apikey_1")


async def test_a_key_is_switched_off_and_on_until_it_is_archived(store: Store):
    key = await add(store)
    off = await store.keys.update(id=key.id, now=6, status="inactive", name="old laptop")
    assert (off.name, off.status(6)) == ("old laptop", "inactive")
    on = await store.keys.update(id=key.id, now=7, status="active")
    assert (on.name, on.status(7)) == ("old laptop", "active")
    gone = await store.keys.update(id=key.id, now=8, status="archived")
    assert gone.status(8) == "archived"
    for status in ("active", "inactive"):
        with pytest.raises(InvalidRequest, match="is archived, which is for ever"):
            await store.keys.update(id=key.id, now=9, status=status)
    assert (await store.keys.update(id=key.id, now=9, name="lost")).name == "lost"


async def test_keys_are_listed_by_what_is_asked_for(store: Store):
    await add_member(store)
    made = {
        "active": await add(store, "1", b"1", now=1, created_by="user_1"),
        "expired": await add(store, "2", b"2", now=2, expires_at=50),
        "fresh": await add(store, "3", b"3", now=3, expires_at=51, workspace="wrkspc_2"),
        "organization": await add(store, "4", b"4", now=4, organization=True, workspace="wrkspc_2"),
    }
    inactive = await add(store, "5", b"5", now=5)
    inactive = await store.keys.update(id=inactive.id, now=6, status="inactive")
    archived = await add(store, "6", b"6", now=6, expires_at=7)
    archived = await store.keys.revoke(id=archived.id, now=8)

    async def listed(**filters: Any) -> list[str]:
        page = await store.keys.page(now=50, limit=10, **filters)
        return [row.name for row in page.rows]

    assert await listed() == ["6", "5", "4", "3", "2", "1"]
    assert await listed(status="active") == ["4", "3", "1"]
    assert await listed(status="expired") == ["2"]
    assert await listed(status="inactive") == ["5"]
    assert await listed(status="archived") == ["6"]
    assert await listed(workspace="wrkspc_2") == ["3"]
    assert await listed(created_by="user_1") == ["1"]
    every = [*made.values(), inactive, archived]
    assert [row.status(50) for row in every] == [
        "active",
        "expired",
        "active",
        "active",
        "inactive",
        "archived",
    ]


async def test_a_key_can_only_be_made_for_somebody_who_works_there(store: Store):
    with pytest.raises(NotFound, match="workspace wrkspc_2 not found"):
        await add(store, workspace="wrkspc_2")
    with pytest.raises(NotFound, match="principal user_1 not found"):
        await add(store, principal="user_1")
    await store.workspaces.create(row=workspace())
    await store.people.create(row=principal())
    with pytest.raises(InvalidRequest, match="user_1 is not a member of workspace wrkspc_2"):
        await add(store, workspace="wrkspc_2", principal="user_1")
    await add(store, digest=b"1", principal="user_1")
    await add(store, digest=b"2", workspace="wrkspc_2", principal="user_1", organization=True)
    await store.workspaces.archive(id="wrkspc_2", now=6)
    with pytest.raises(InvalidRequest, match="workspace wrkspc_2 is archived"):
        await add(store, digest=b"3", workspace="wrkspc_2")


async def test_who_leaves_a_workspace_has_no_key_to_it(store: Store):
    await add_member(store)
    await add(store, workspace="wrkspc_2", principal="user_1")
    await store.members.remove(kind="user", workspace="wrkspc_2", principal="user_1")
    found = await store.keys.bearer(sha256=DIGEST)
    assert found is not None
    assert (found.gone, found.closed, found.key.revoked_at) == (True, False, None)
    await store.members.add(kind="user", row=replace(member(), created_at=9))
    again = await store.keys.bearer(sha256=DIGEST)
    assert again is not None
    assert not again.gone


async def test_archiving_a_workspace_archives_its_keys_and_nothing_else(store: Store):
    await store.workspaces.create(row=workspace())
    await add(store, workspace="wrkspc_2")
    other = await add(store, digest=b"2")
    whole = await add(store, digest=b"3", workspace="wrkspc_2", organization=True)
    await store.workspaces.archive(id="wrkspc_2", now=9)
    found = await store.keys.bearer(sha256=DIGEST)
    assert found is not None
    assert (found.closed, found.key.revoked_at) == (True, 9)
    assert await store.keys.get(id=other.id) == other
    kept = await store.keys.bearer(sha256=b"3")
    assert kept is not None
    assert (kept.key, kept.closed) == (whole, False)


async def test_removing_somebody_archives_their_keys(store: Store):
    await add_member(store)
    await add(store, principal="user_1")
    await store.people.archive(kind="user", id="user_1", now=9)
    found = await store.keys.bearer(sha256=DIGEST)
    assert found is not None
    assert (found.gone, found.key.revoked_at) == (True, 9)
