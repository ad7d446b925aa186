"""What the audit trail costs: appending to a session's log with a record and without.

    python -m benchmarks.audit [--appends 3000] [--json]

The floor is the same append without a record, in the same store and the same run; both alternate in
blocks. What is counted is the time of the process's own processors, on SQLite, so waiting for the
disk does not hide it. "make" is building the record from the facts, redaction and digest included;
"in_ten" is what each of ten records in one append adds, which is what is left of the cost where
appends are committed together.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from gateway.clock import SystemClock
from gateway.policy.audit import Redaction, decision_record
from gateway.policy.facts import AgentFacts, SessionFacts, ToolFacts, UserFacts
from gateway.store.chain import AuditRecord
from gateway.store.records import Claim, Event, Head, SessionRow, ThreadRow
from gateway.store.store import Store, open_store

BLOCK = 100
CLOCK = SystemClock()
REDACTION = Redaction(["iban"])
AGENT = AgentFacts(id="agent_01", version=1, workspace="wrkspc_01")
ACTOR = UserFacts(id="user_01", kind="user", groups=frozenset({"support", "tier-2"}))
TOOL = ToolFacts(server="sandbox", name="bash", digest="0" * 64)
STATE = SessionFacts(id="sesn_01")
ARGUMENTS = {"command": "npm run test && git push origin main", "timeout": 120}


def make_record() -> AuditRecord:
    return decision_record(
        id=CLOCK.new_id("aud"),
        at=CLOCK.now(),
        stage="admitted",
        session="sesn_01",
        thread="sthr_01",
        event="sevt_01",
        agent=AGENT,
        actor=ACTOR,
        tool=TOOL,
        outcome="allow",
        rule="policy:always_allow",
        evaluation={"type": "always_allow"},
        state=STATE,
        arguments=ARGUMENTS,
        redaction=REDACTION,
    )


def _make_ten() -> list[AuditRecord]:
    return [make_record() for _ in range(10)]


async def measure(appends: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        store = await open_store("", Path(directory), clock=CLOCK, audit_key=bytes(32))
        try:
            claim = await _begin(store)
            plain: list[float] = []
            recorded: list[float] = []
            ten: list[float] = []
            for _ in range(appends // BLOCK):
                plain.append(await _block(store, claim, lambda: ()))
                recorded.append(await _block(store, claim, lambda: (make_record(),)))
                ten.append(await _block(store, claim, _make_ten))
        finally:
            await store.aclose()
    make = _repeat(make_record, appends)
    floor, with_record = statistics.median(plain), statistics.median(recorded)
    return {
        "append_us": round(floor, 1),
        "append_with_record_us": round(with_record, 1),
        "record_us": round(with_record - floor, 1),
        "record_in_ten_us": round((statistics.median(ten) - floor) / 10, 1),
        "make_us": round(make, 1),
        "ratio": round(with_record / floor, 2),
    }


async def _begin(store: Store) -> Claim:
    row = SessionRow(
        id="sesn_01",
        workspace="wrkspc_01",
        environment="env_01",
        agent="agent_01",
        agent_version=1,
        deployment=None,
        primary_thread="sthr_01",
        body={},
        head=Head(),
        seq=0,
        created_at=1,
        updated_at=1,
        archived_at=None,
    )
    thread = ThreadRow(
        id="sthr_01",
        session=row.id,
        parent=None,
        status="idle",
        body={},
        created_at=1,
        updated_at=1,
        archived_at=None,
    )
    await store.sessions.create(row=row, thread=thread)
    claim = await store.log.claim(session=row.id, owner=store.leases.owner, now=CLOCK.now())
    assert claim is not None
    return claim


async def _block(store: Store, claim: Claim, records: Callable[[], Any]) -> float:
    """Microseconds of processor for one append."""
    wire = json.dumps({"type": "agent.tool_use", "input": ARGUMENTS}).encode()
    begin = time.process_time()
    for _ in range(BLOCK):
        now = CLOCK.now()
        event = Event(
            id=CLOCK.new_id("sevt"),
            type="agent.tool_use",
            thread="sthr_01",
            processed_at=now,
            wire=wire,
        )
        await store.log.append(
            session="sesn_01",
            epoch=claim.epoch,
            owner=store.leases.owner,
            events=[event],
            head=claim.session.head,
            records=records(),
            now=now,
        )
    return (time.process_time() - begin) / BLOCK * 1e6


def _repeat(work: Callable[[], object], times: int) -> float:
    begin = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begin) / times * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--appends", type=int, default=3000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = anyio.run(measure, options.appends)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<24}{value:>9}")


if __name__ == "__main__":
    main()
