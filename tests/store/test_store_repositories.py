"""Tokens and clones of repositories, kept beside their sessions."""

from typing import Any

import pytest

from gateway.errors import InvalidRequest, NotFound
from gateway.store.records import SessionRow
from gateway.store.repositories import SKILLS, RepositoryRow
from gateway.store.store import Store
from tests.store import rows

ENTRY = {"id": "sesrsc_1", "type": "github_repository", "updated_at": "then"}


async def make(store: Store, token: bytes | None = b"sealed") -> SessionRow:
    row = rows.session(body={"resources": [ENTRY, {**ENTRY, "id": "sesrsc_2"}]})
    return await store.sessions.create(
        row=row,
        thread=rows.thread(row),
        checkouts=[
            RepositoryRow(resource="sesrsc_1", token=token),
            RepositoryRow(resource="sesrsc_2", token=None),
        ],
    )


def touch(row: SessionRow, entry: dict[str, Any]) -> dict[str, Any]:
    assert row.body["resources"]
    return {**entry, "updated_at": "now"}


async def test_a_token_is_kept_replaced_and_gone_with_its_session(store: Store):
    row = await make(store)
    tokens = store.repositories
    assert await tokens.token(resource="sesrsc_1") == b"sealed"
    assert await tokens.token(resource="sesrsc_2") is None
    assert await tokens.token(resource="sesrsc_3") is None
    place: Any = {"session": row.id, "workspace": row.workspace, "now": row.created_at + 1}
    new = await tokens.rotate(**place, resource="sesrsc_1", token=b"new", change=touch)
    assert new == {**ENTRY, "updated_at": "now"}
    assert await tokens.token(resource="sesrsc_1") == b"new"
    found = await store.sessions.get(workspace=row.workspace, id=row.id)
    assert found.body["resources"] == [new, {**ENTRY, "id": "sesrsc_2"}]
    await store.sessions.delete(workspace=row.workspace, id=row.id, now=0, check=lambda _: None)
    assert await tokens.token(resource="sesrsc_1") is None
    assert await tokens.layers(session=row.id) == {}


async def test_what_is_refused_changes_nothing(store: Store):
    row = await make(store)

    def refuse(found: SessionRow, entry: dict[str, Any]) -> dict[str, Any]:
        raise InvalidRequest(f"{found.id} {entry['id']}")

    place: Any = {"workspace": row.workspace, "now": 1, "token": b"new"}
    rotate = store.repositories.rotate
    with pytest.raises(InvalidRequest):
        await rotate(**place, session=row.id, resource="sesrsc_1", change=refuse)
    with pytest.raises(NotFound):
        await rotate(**place, session=row.id, resource="sesrsc_3", change=touch)
    place["workspace"] = "wrkspc_no"
    with pytest.raises(NotFound):
        await rotate(**place, session=row.id, resource="sesrsc_1", change=touch)
    assert await store.repositories.token(resource="sesrsc_1") == b"sealed"


async def test_a_clone_is_known_by_its_layer_and_its_first_skills_stay(store: Store):
    row = await make(store)
    assert await store.repositories.layers(session=row.id) == {"sesrsc_1": None, "sesrsc_2": None}
    for layer, name in ((5, "first"), (9, "second")):
        await store.repositories.cloned(
            row=row, resource="sesrsc_1", layer=layer, skills=[{"name": name}]
        )
    assert await store.repositories.layers(session=row.id) == {"sesrsc_1": 9, "sesrsc_2": None}
    found = await store.sessions.get(workspace=row.workspace, id=row.id)
    assert found.body[SKILLS] == {"sesrsc_1": [{"name": "first"}]}
    assert found.updated_at == row.updated_at
