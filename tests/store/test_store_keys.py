"""API keys: found by their digest, listed, revoked once; and the workspace they open."""

import hashlib

import pytest

from gateway.errors import Conflict, NotFound
from gateway.store.store import Store

DIGEST = hashlib.sha256(b"wk-secret").digest()


async def add(store: Store, name: str = "laptop", digest: bytes = DIGEST, now: int = 5):
    workspace = await store.keys.default_workspace()
    return await store.keys.create(
        workspace=workspace, name=name, sha256=digest, hint="cret", now=now
    )


async def test_there_is_a_default_workspace_from_the_start(store: Store):
    workspace = await store.keys.default_workspace()
    assert workspace.startswith("wrkspc_01")
    assert await store.keys.default_workspace() == workspace


async def test_a_key_is_found_by_its_digest_only(store: Store):
    key = await add(store)
    assert key.id.startswith("apikey_01")
    assert (key.name, key.hint, key.created_at, key.revoked_at) == ("laptop", "cret", 5, None)
    assert await store.keys.by_hash(sha256=DIGEST) == key
    assert await store.keys.by_hash(sha256=b"other") is None


async def test_one_key_cannot_be_added_twice(store: Store):
    await add(store)
    with pytest.raises(Conflict, match="exists already"):
        await add(store, "again")


async def test_a_key_is_revoked_once_and_stays_listed(store: Store):
    key = await add(store)
    other = await add(store, "other", b"2", now=6)
    assert (await store.keys.revoke(id=key.id, now=7)).revoked_at == 7
    assert (await store.keys.revoke(id=key.id, now=8)).revoked_at == 7
    found = await store.keys.by_hash(sha256=DIGEST)
    assert found is not None
    assert found.revoked_at == 7
    assert await store.keys.list(workspace=key.workspace) == [found, other]
    assert await store.keys.list(workspace="wrkspc_2") == []


async def test_a_key_that_is_not_there_cannot_be_revoked(store: Store):
    with pytest.raises(NotFound, match="apikey_1"):
        await store.keys.revoke(id="apikey_1", now=1)
