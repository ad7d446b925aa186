"""Audit records to put into a store, and a look at the trail from behind."""

from dataclasses import replace
from typing import Any

from sqlalchemy import text

from gateway.store.chain import AuditRecord, Break
from gateway.store.store import Store
from gateway.store.verification import Position
from tests.store.rows import WORKSPACE


def record(identity: str, **changes: Any) -> AuditRecord:
    row = AuditRecord(
        id=identity,
        at=100,
        kind="decision",
        workspace=WORKSPACE,
        session="sesn_1",
        event="sevt_1",
        actor="user_1",
        tool="sandbox.bash",
        outcome="allow",
        body={"rule": "policy:always_allow", "arguments": {"command": "ls \u00e9"}},
    )
    return replace(row, **changes)


async def verified(store: Store) -> list[Break]:
    """Everything that is wrong with the trail."""
    breaks: list[Break] = []
    position: Position | None = Position()
    while position is not None:
        step = await store.audit.verify(position)
        breaks += step.breaks
        position = step.next
    return breaks


async def meddle(store: Store, statement: str, **params: Any) -> None:
    """Change the database as somebody would who has it, but not the key."""

    def change(tx: Any) -> None:
        tx.execute(text(statement).bindparams(**params))

    await store.audit._db.write(change)  # pyright: ignore[reportPrivateUsage] - from behind
