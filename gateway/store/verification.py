"""Verifying the audit trail: every chain is computed again, then held against the checkpoints.

It is done in steps, each on one snapshot, so that a trail of any length can be verified beside a
gateway that writes to it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, text

from gateway.store import checkpoints
from gateway.store.chain import START, Break, Link, find_breaks, read_record
from gateway.store.checkpoints import Signer
from gateway.store.engine import Hot, Tx
from gateway.store.schema import audit, audit_heads

STEP = 2000
"""Records looked at in one step; a step ends after the page in which it has seen so many."""

_FIELDS = ("id", "at", "kind", "workspace", "session", "event", "actor", "tool", "outcome")
_NEXT_CHAIN = Hot(
    text(
        "SELECT min(chain) FROM (SELECT min(chain) AS chain FROM audit WHERE chain > :after"
        " UNION ALL SELECT min(chain) AS chain FROM audit_heads WHERE chain > :after) AS both_"
    )
)
_LINKS = Hot(
    select(audit.c.n, audit.c.record, audit.c.mac, *(audit.c[name] for name in _FIELDS))
    .where(audit.c.chain == bindparam("of"), audit.c.n > bindparam("after"))
    .order_by(audit.c.n)
    .suffix_with(text("LIMIT :most"))
)
_HEAD = Hot(
    select(audit_heads.c.n, audit_heads.c.mac).where(audit_heads.c.chain == bindparam("of"))
)
_CODE = Hot(
    select(audit.c.mac).where(audit.c.chain == bindparam("of"), audit.c.n == bindparam("number"))
)
_CHECKPOINTS = Hot(
    text("SELECT n, body, signature FROM audit_checkpoints WHERE n >= :since ORDER BY n LIMIT 4")
)


class Position(NamedTuple):
    """How far a verification is. The chains come first, then the checkpoints."""

    chain: str = ""
    n: int | None = None
    """The last record seen of `chain`; None: the chain is done."""
    checkpoint: int | None = None
    """The last checkpoint seen; None: the chains are not done."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step saw."""

    next: Position | None
    """Where to go on; None at the end."""
    records: int = 0
    chains: int = 0
    """That were finished in this step."""
    checkpoints: int = 0
    breaks: tuple[Break, ...] = ()


def take_step(tx: Tx, key: bytes, position: Position) -> Step:
    """Verify from `position` on, as far as one step goes."""
    if position.checkpoint is None:
        return _check_chains(tx, key, position)
    return _check_checkpoints(tx, key, position.checkpoint)


def code(tx: Tx, chain: str, n: int) -> bytes | None:
    """The code of a record; None if it is not there."""
    row = tx.run(_CODE, {"of": chain, "number": n}).fetchone()
    return None if row is None else row[0]


def _check_chains(tx: Tx, key: bytes, position: Position) -> Step:
    records = chains = 0
    breaks: list[Break] = []
    place: Position | None = position
    while records < STEP and place.checkpoint is None:
        place, seen, found = _check_chain(tx, key, place)
        records += seen
        chains += place.n is None and place.checkpoint is None
        breaks += found
    return Step(place, records=records, chains=chains, breaks=tuple(breaks))


def _check_chain(tx: Tx, key: bytes, position: Position) -> tuple[Position, int, list[Break]]:
    """Look at the next page of a chain, or at the first page of the next chain."""
    chain, after = position.chain, position.n
    if after is None:
        found = tx.run(_NEXT_CHAIN, {"after": chain}).fetchone()
        if found is None or found[0] is None:
            return Position(chain, checkpoint=0), 0, []
        chain, after = found[0], 0
    rows = tx.run(_LINKS, {"of": chain, "after": after, "most": STEP}).fetchall()
    links = [Link(row[0], row[1], row[2]) for row in rows]
    previous = Link(after, b"", (code(tx, chain, after) or START) if after else START)
    breaks = list(find_breaks(key, chain, links, after=previous))
    breaks += _find_false_columns(chain, rows)
    if len(rows) == STEP:
        return Position(chain, n=links[-1].n), len(rows), breaks
    breaks += _check_head(tx, chain, links[-1] if links else previous)
    return Position(chain), len(rows), breaks


def _find_false_columns(chain: str, rows: Sequence[Any]) -> Iterator[Break]:
    """Yield records whose columns, which are searched, say something else than they do."""
    for n, written, _, *columns in rows:
        try:
            record = read_record(written)
        except ValueError:
            continue  # then its code does not fit either
        if [getattr(record, name) for name in _FIELDS] != columns:
            yield Break(chain, n, "the columns are not those of the record")


def _check_head(tx: Tx, chain: str, last: Link) -> Iterator[Break]:
    head = tx.run(_HEAD, {"of": chain}).fetchone()
    if head is None:
        yield Break(chain, last.n, "the chain has no head")
    elif head[0] > last.n:
        yield Break(chain, last.n + 1, f"records {last.n + 1} to {head[0]} are missing")
    elif head[0] < last.n:
        yield Break(chain, head[0] + 1, "there are records after the head")
    elif head[1] != last.mac:
        yield Break(chain, last.n, "the head is not that of the last record")


def _check_checkpoints(tx: Tx, key: bytes, after: int) -> Step:
    """Look at the next few checkpoints, and at all that they claim."""
    rows = tx.run(_CHECKPOINTS, {"since": after}).fetchall()
    public_key = Signer.of(key).public_key
    breaks: list[Break] = []
    previous = ""
    seen = after
    for n, body, signature in rows:
        if n > after:
            breaks += _check_checkpoint(tx, public_key, (n, body, signature), (seen, previous))
        previous, seen = checkpoints.digest(body, signature), n
    new = sum(row[0] > after for row in rows)
    following = Position(checkpoint=seen) if new else None
    if not new:
        breaks += _check_last(tx, seen)
    return Step(following, checkpoints=new, breaks=tuple(breaks))


def _check_last(tx: Tx, seen: int) -> Iterator[Break]:
    """Each checkpoint is a record too, so there are as many of the one as of the other."""
    head = tx.run(_HEAD, {"of": checkpoints.CHAIN}).fetchone()
    if head is not None and head[0] != seen:
        yield Break(checkpoints.CHAIN, seen + 1, f"of {head[0]} checkpoints {seen} are there")


def _check_checkpoint(
    tx: Tx, public_key: bytes, row: Sequence[Any], before: tuple[int, str]
) -> Iterator[Break]:
    n, body, signature = row
    if not checkpoints.is_signed(public_key, body, signature):
        yield Break(checkpoints.CHAIN, n, "the checkpoint is not what was signed")
        return
    statement = json.loads(body)
    if (statement["n"], n - 1, statement["previous"]) != (n, *before):
        yield Break(checkpoints.CHAIN, n, "the checkpoint does not follow the one before")
    for chain, number, claimed in checkpoints.claims(statement):
        found = code(tx, chain, number)
        if found is None:
            yield Break(chain, number, f"checkpoint {n} saw record {number}, which is missing")
        elif found != claimed:
            yield Break(chain, number, f"checkpoint {n} saw another record {number}")
