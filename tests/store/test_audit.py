"""The audit trail: written with what it records, searched, verified, signed."""

from contextlib import aclosing
from dataclasses import replace

import anyio
import pytest

from gateway.errors import Fenced, StartError
from gateway.store import checkpoints
from gateway.store.audit import Sought
from gateway.store.chain import canonical
from gateway.store.checkpoints import Signer
from gateway.store.records import Range
from gateway.store.store import AUDIT_TURN, Store
from gateway.store.verification import STEP
from tests.store.places import AUDIT_KEY, Place, connected
from tests.store.rows import add_session, append, claimed, event, ids, send, sent
from tests.store.trail import meddle, record, verified


async def found(store: Store, **sought: object) -> list[str]:
    page = await store.audit.search(Sought(**sought), limit=100, order="asc")  # pyright: ignore[reportArgumentType] - fields by name
    return [entry.record.id for entry in page.rows]


async def test_a_step_and_its_records_are_written_together(store: Store):
    await add_session(store)
    claim = await claimed(store)
    await append(store, claim, event("a"), records=[record("aud_1"), record("aud_2")])
    await append(store, claim, event("b"), records=[record("aud_3")])
    page = await store.audit.search(Sought(), limit=10, order="asc")
    assert [(e.chain, e.n, e.record) for e in page.rows] == [
        ("sesn_1", n, record(f"aud_{n}")) for n in (1, 2, 3)
    ]
    assert await verified(store) == []


async def test_a_fenced_step_leaves_no_record(store: Store):
    await add_session(store)
    claim = await claimed(store)
    with pytest.raises(Fenced):
        await append(store, replace(claim, epoch=9), event("a"), records=[record("aud_1")])
    assert await ids(store) == []
    assert await found(store) == []


async def test_a_step_that_is_not_written_leaves_no_record(store: Store):
    await add_session(store)
    claim = await claimed(store)
    await send(store, sent("i"))
    done = await append(store, claim, event("a"), records=[record("aud_1")], only_if_quiet=True)
    assert not done.idle
    assert await found(store) == []


async def test_records_of_one_chain_written_at_once_are_all_in_it(store: Store):
    async with anyio.create_task_group() as tasks:
        for n in range(20):
            tasks.start_soon(
                store.audit.write, "gateway", [record(f"aud_{n}.{k}") for k in range(3)]
            )
    assert await store.audit.count() == 60
    assert await verified(store) == []


async def test_records_are_found_by_what_they_say(store: Store):
    await store.audit.write("sesn_1", [record("a", at=1), record("b", at=2, outcome="deny")])
    await store.audit.write("sesn_2", [record("c", at=3, session="sesn_2", actor="user_2")])
    await store.audit.write(
        "gateway",
        [
            record("d", at=4, kind="switch", tool=None),
            record("e", at=5, workspace=None, session=None),
        ],
    )
    assert await found(store) == ["a", "b", "c", "d", "e"]
    assert await found(store, outcome="deny") == ["b"]
    assert await found(store, session="sesn_1") == ["a", "b", "d"]
    assert await found(store, actor="user_2") == ["c"]
    assert await found(store, kind="switch") == ["d"]
    assert await found(store, tool="sandbox.bash", kind="decision", session="sesn_2") == ["c"]
    assert await found(store, workspace="wrkspc_1") == ["a", "b", "c", "d"]
    assert await found(store, created=Range(gte=2, lt=4)) == ["b", "c"]


async def test_pages_of_a_search_follow_each_other(store: Store):
    await store.audit.write("gateway", [record(f"aud_{n}", at=n) for n in range(5)])
    first = await store.audit.search(Sought(), limit=2)
    second = await store.audit.search(Sought(), limit=2, cursor=first.next)
    last = await store.audit.search(Sought(), limit=2, cursor=second.next)
    rows = [*first.rows, *second.rows, *last.rows]
    assert [entry.record.id for entry in rows] == ["aud_4", "aud_3", "aud_2", "aud_1", "aud_0"]
    assert last.next is None


async def test_a_long_chain_is_verified_in_steps(store: Store):
    for start in range(0, STEP + 5, 1000):
        await store.audit.write("sesn_1", [record(f"aud_{start + n}") for n in range(1000)])
    assert await verified(store) == []
    await meddle(store, "UPDATE audit SET record = :new WHERE n = 2500", new=b"{}")
    assert [(b.chain, b.n) for b in await verified(store)] == [("sesn_1", 2500)]


MEDDLING = [
    ("UPDATE audit SET outcome = 'deny' WHERE n = 2", 2, "columns"),
    ("UPDATE audit SET record = mac WHERE n = 2", 2, "not what was written"),
    ("UPDATE audit SET mac = record WHERE n = 3", 3, "not what was written"),
    ("DELETE FROM audit WHERE n = 2", 2, "records 2 to 2 are missing"),
    ("DELETE FROM audit WHERE n = 1", 1, "records 1 to 1 are missing"),
    ("DELETE FROM audit WHERE n = 3", 3, "records 3 to 3 are missing"),
    ("DELETE FROM audit", 1, "records 1 to 3 are missing"),
    ("DELETE FROM audit_heads", 3, "no head"),
    ("UPDATE audit_heads SET n = 2", 3, "after the head"),
    (
        "UPDATE audit_heads SET mac = (SELECT record FROM audit WHERE n = 1)",
        3,
        "not that of the last",
    ),
    ("UPDATE audit SET chain = 'sesn_0' WHERE n = 1", 1, "not what was written"),
]


@pytest.mark.parametrize(("statement", "n", "problem"), MEDDLING)
async def test_meddling_with_the_tables_is_found(
    store: Store, statement: str, n: int, problem: str
):
    await store.audit.write("sesn_1", [record(f"aud_{k}") for k in (1, 2, 3)])
    assert await verified(store) == []
    await meddle(store, statement)
    breaks = await verified(store)
    assert breaks[0].n == n
    assert problem in breaks[0].problem


async def test_a_checkpoint_states_the_heads_that_moved(store: Store):
    await store.audit.write("sesn_1", [record("a"), record("b")])
    await store.audit.write("sesn_2", [record("c")])
    first = await store.audit.checkpoint(id="aud_1", now=7)
    assert first is not None
    assert {chain: n for chain, n, _ in checkpoints.claims(first.statement)} == {
        "sesn_1": 2,
        "sesn_2": 1,
    }
    assert await store.audit.checkpoint(id="aud_2", now=8) is None
    await store.audit.write("sesn_2", [record("d")])
    second = await store.audit.checkpoint(id="aud_3", now=9)
    assert second is not None
    assert [(c, n) for c, n, _ in checkpoints.claims(second.statement)] == [("sesn_2", 2)]
    assert second.statement["n"] == 2
    assert second.statement["previous"] == checkpoints.digest(
        canonical(first.statement), first.signature
    )
    assert await found(store, kind="checkpoint") == ["aud_1", "aud_3"]
    assert await verified(store) == []


async def test_whoever_has_the_public_key_can_check_an_exported_checkpoint(store: Store):
    await store.audit.write("sesn_1", [record("a")])
    await store.audit.checkpoint(id="aud_1", now=7)
    page = await store.audit.search(Sought(kind="checkpoint"), limit=1)
    body = page.rows[0].record.body
    key, signature = bytes.fromhex(body["public_key"]), bytes.fromhex(body["signature"])
    assert key == Signer.of(AUDIT_KEY).public_key
    assert checkpoints.is_signed(key, canonical(body["statement"]), signature)
    assert not checkpoints.is_signed(key, canonical({**body["statement"], "at": 8}), signature)
    assert not checkpoints.is_signed(b"short", b"", b"")
    claims = list(checkpoints.claims(body["statement"]))
    assert await store.audit.differences(claims) == []
    assert await store.audit.differences([("sesn_1", 1, b"other"), ("x", 4, b"")]) == [
        ("sesn_1", 1),
        ("x", 4),
    ]


CUTTING = [
    ("DELETE FROM audit WHERE chain = 'sesn_1' AND n = 2", "sesn_1", "saw record 2"),
    ("DELETE FROM audit WHERE chain = 'sesn_1'", "sesn_1", "saw record 2, which is missing"),
    ("UPDATE audit_checkpoints SET body = signature WHERE n = 1", "checkpoints", "signed"),
    ("DELETE FROM audit_checkpoints WHERE n = 1", "checkpoints", "does not follow"),
    ("DELETE FROM audit_checkpoints WHERE n = 2", "checkpoints", "of 2 checkpoints 1 are there"),
    ("DELETE FROM audit_checkpoints", "checkpoints", "of 2 checkpoints 0 are there"),
]


@pytest.mark.parametrize(("statement", "chain", "problem"), CUTTING)
async def test_a_chain_cut_off_with_its_head_is_found_by_a_checkpoint(
    store: Store, statement: str, chain: str, problem: str
):
    await store.audit.write("sesn_1", [record("a"), record("b")])
    await store.audit.checkpoint(id="aud_1", now=7)
    await store.audit.write("sesn_2", [record("c")])
    await store.audit.checkpoint(id="aud_2", now=8)
    await meddle(store, statement)
    await meddle(
        store,
        "UPDATE audit_heads SET n = 1, mac = (SELECT mac FROM audit WHERE chain = 'sesn_1'"
        " AND n = 1) WHERE chain = 'sesn_1' AND 1 = (SELECT max(n) FROM audit WHERE chain = 'sesn_1')",
    )
    await meddle(store, "DELETE FROM audit_heads WHERE chain NOT IN (SELECT chain FROM audit)")
    breaks = await verified(store)
    assert (breaks[0].chain, problem in breaks[0].problem) == (chain, True)


async def test_a_record_rewritten_before_a_checkpoint_does_not_match_it(store: Store):
    await store.audit.write("sesn_1", [record("a")])
    await store.audit.checkpoint(id="aud_1", now=7)
    await meddle(store, "DELETE FROM audit WHERE chain = 'sesn_1'")
    await meddle(store, "DELETE FROM audit_heads WHERE chain = 'sesn_1'")
    await store.audit.write("sesn_1", [record("b")])
    breaks = await verified(store)
    assert [b.problem for b in breaks] == ["checkpoint 1 saw another record 1"]


async def test_more_heads_than_one_checkpoint_holds_go_into_the_next(store: Store):
    for n in range(checkpoints.MAX_HEADS + 1):
        await store.audit.write(f"sesn_{n}", [record(f"aud_{n}")])
    first = await store.audit.checkpoint(id="aud_a", now=7)
    second = await store.audit.checkpoint(id="aud_b", now=8)
    assert first is not None
    assert second is not None
    assert len(first.statement["heads"]) == checkpoints.MAX_HEADS
    assert len(second.statement["heads"]) == 1
    assert await store.audit.checkpoint(id="aud_c", now=9) is None
    assert await verified(store) == []


async def test_records_are_unsent_until_they_are_marked(store: Store):
    await store.audit.write("sesn_1", [record("a", at=5), record("b", at=6)])
    await store.audit.write("sesn_2", [record("c", at=4)])
    unsent = await store.audit.unsent(limit=2)
    assert [entry.record.id for entry in unsent] == ["c", "a"]
    backlog = await store.audit.backlog()
    assert (backlog.records, backlog.since) == (3, 4)
    await store.audit.mark(unsent)
    assert [entry.record.id for entry in await store.audit.unsent(limit=9)] == ["b"]
    assert await verified(store) == []


async def turn_comes(store: Store) -> None:
    """Wait until it is this store's turn: the server lets go a moment after a connection ended."""
    with anyio.fail_after(10):
        while not await store.audit.turn.take():  # noqa: ASYNC110 - another process's event
            await anyio.sleep(0.01)


async def test_one_gateway_at_a_time_has_the_turn(database: Place):
    async with database.open() as other:
        async with database.open() as one:
            assert await one.audit.turn.take()
            assert not await other.audit.turn.take()
            assert await one.audit.turn.take()
        await turn_comes(other)


async def test_the_turn_is_free_when_the_connection_of_its_holder_ends(database: Place):
    async with database.open() as one, database.open() as other:
        assert await one.audit.turn.take()
        with connected(database.url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND (classid::bigint << 32) + objid::bigint = %s",
                [AUDIT_TURN],
            )
        await turn_comes(other)
        assert not await one.audit.turn.take()
        assert not await one.audit.turn.take()


async def test_a_store_opened_without_the_key_writes_nothing(directory: Place):
    async with directory.open(audit_key=None) as store:
        with pytest.raises(AssertionError, match="without the key"):
            await store.audit.write("gateway", [record("a")])


async def test_another_key_than_the_one_that_was_does_not_start(place: Place):
    async with place.open() as store:
        await store.audit.write("gateway", [record("a")])
        await store.audit.write("sesn_1", [record("b")])
    with pytest.raises(StartError, match=r"another key.*audit\.key"):
        await place.start(audit_key=bytes(32))
    async with place.open() as store:
        await meddle(store, "UPDATE audit SET record = mac WHERE chain = 'gateway'")
    async with place.open() as store:
        assert [b.chain for b in await verified(store)] == ["gateway"]


async def test_gateways_on_one_database_share_the_key_of_the_first(database: Place):
    one = await database.start(audit_key=bytes(32), share_key=True)
    other = await database.start(audit_key=bytes(range(32)), share_key=True, serving=False)
    async with aclosing(one), aclosing(other):
        await one.audit.write("gateway", [record("a")])
        await other.audit.write("gateway", [record("b")])
        assert one.audit.key == other.audit.key == bytes(32)
        assert await verified(other) == []
    with pytest.raises(StartError, match="another key"):
        await database.start(audit_key=bytes(range(32)))


async def test_a_record_that_nobody_can_read_any_more_is_still_shown(store: Store):
    await store.audit.write("sesn_1", [record("a")])
    await meddle(store, "UPDATE audit SET record = mac")
    page = await store.audit.search(Sought(), limit=1)
    assert [(e.record.id, e.record.kind) for e in page.rows] == [("a", "unreadable")]
