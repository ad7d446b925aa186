"""Sets of policies and switches, kept with the record of whoever changed them."""

from dataclasses import replace

import pytest

from gateway.store.audit import AuditRecord
from gateway.store.policies import PolicySetRow
from gateway.store.store import Store
from gateway.store.switches import SwitchRow
from tests.store.places import Place

ROW = SwitchRow(kind="tool", subject="mail.send", reason="spam", thrown_by="user_1", thrown_at=5)


def record(identity: str) -> AuditRecord:
    return AuditRecord(
        id=identity,
        at=1,
        kind="switch",
        workspace=None,
        session=None,
        event=None,
        actor="user_1",
        tool=None,
        outcome="thrown",
        body={},
    )


async def recorded(store: Store) -> list[str]:
    return [entry.record.id for entry in await store.audit.unsent(limit=100)]


async def test_the_set_that_came_into_force_last_is_the_last(store: Store):
    assert await store.policy_sets.last() is None
    first = PolicySetRow("d1", {"a.cedar": "é", "rules.toml": ""}, 10)
    second = PolicySetRow("d2", {"a.cedar": "x"}, 20)
    await store.policy_sets.put(row=first, record=record("a"))
    await store.policy_sets.put(row=second, record=record("b"))
    assert await store.policy_sets.last() == second
    await store.policy_sets.put(row=replace(first, loaded_at=30), record=record("c"))
    assert await store.policy_sets.last() == replace(first, loaded_at=30)
    assert await store.policy_sets.get(digest="d2") == second
    assert await store.policy_sets.get(digest="d3") is None
    assert sorted(await recorded(store)) == ["a", "b", "c"]


async def test_a_switch_comes_back_as_it_was_thrown_last(store: Store):
    later = replace(ROW, kind="server", subject="https://x", thrown_at=6, until=2**60)
    await store.switches.throw(row=later, record=record("a"))
    await store.switches.throw(row=ROW, record=record("b"))
    assert await store.switches.all() == [ROW, later]
    await store.switches.throw(row=replace(ROW, reason="again", until=9), record=record("c"))
    assert (await store.switches.all())[0] == replace(ROW, reason="again", until=9)


async def test_lifting_leaves_a_record_only_of_what_was_thrown(store: Store):
    await store.switches.throw(row=ROW, record=record("a"))
    assert await store.switches.lift(kind="tool", subject="mail.send", record=record("b"))
    assert not await store.switches.lift(kind="tool", subject="mail.send", record=record("c"))
    assert await store.switches.all() == []
    assert sorted(await recorded(store)) == ["a", "b"]


async def test_without_the_key_of_the_trail_nothing_is_changed(place: Place):
    async with place.open(audit_key=None) as store:
        with pytest.raises(AssertionError, match="audit trail"):
            await store.switches.throw(row=ROW, record=record("a"))
        with pytest.raises(AssertionError, match="audit trail"):
            await store.policy_sets.put(row=PolicySetRow("d", {}, 1), record=record("a"))
        assert await store.switches.all() == []
