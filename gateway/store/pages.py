"""Pages of a list ordered by creation time and id, forwards and backwards (spec/core 1.3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, literal, tuple_

from gateway.errors import InvalidRequest
from gateway.store.engine import Tx
from gateway.store.records import Cursor, Order, Page, Range

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering(Generic[T]):
    """How a list is ordered in SQL and where each of its rows stands.

    `at` and `id` are the columns; `place` gives the same pair of a row.
    """

    at: ColumnElement[int]
    id: ColumnElement[str]
    place: Callable[[T], tuple[int, str]]


def fetch(
    tx: Tx,
    query: Select[*tuple[Any, ...]],
    build: Callable[[Sequence[Any]], T],
    ordering: Ordering[T],
    *,
    order: Order,
    limit: int,
    cursor: Cursor | None,
    created: Range = Range(),  # noqa: B008 - it is frozen
) -> Page[T]:
    """Read the page of `query` that `cursor` points at; without one, the first.

    Raises:
        InvalidRequest: The cursor was made for another order, or lies outside `created`.
    """
    backwards = False
    if cursor is not None:
        _check(cursor, order, created)
        backwards = cursor.backwards
        here = tuple_(ordering.at, ordering.id)
        there = tuple_(literal(cursor.at), literal(cursor.id))
        query = query.where(here > there if (order == "asc") != backwards else here < there)
    query = query.where(*within(ordering.at, created))
    by = (ordering.at, ordering.id)
    if (order == "asc") == backwards:
        by = (ordering.at.desc(), ordering.id.desc())
    found = tx.execute(query.order_by(*by).limit(limit + 1)).fetchall()
    more = len(found) > limit
    rows = [build(row) for row in found[:limit]]
    if backwards:
        rows.reverse()
    if not rows:
        return Page(rows)

    def edge(row: T, *, backwards: bool) -> Cursor:
        at, key = ordering.place(row)
        return Cursor(order=order, at=at, id=key, backwards=backwards)

    return Page(
        rows,
        next=edge(rows[-1], backwards=False) if more or backwards else None,
        prev=edge(rows[0], backwards=True) if (more if backwards else cursor) else None,
    )


def within(instant: ColumnElement[int], bounds: Range) -> list[ColumnElement[bool]]:
    """The conditions of `bounds` on `instant`."""
    conditions: list[ColumnElement[bool]] = []
    if bounds.gt is not None:
        conditions.append(instant > bounds.gt)
    if bounds.gte is not None:
        conditions.append(instant >= bounds.gte)
    if bounds.lt is not None:
        conditions.append(instant < bounds.lt)
    if bounds.lte is not None:
        conditions.append(instant <= bounds.lte)
    return conditions


def _check(cursor: Cursor, order: Order, created: Range) -> None:
    if cursor.order != order:
        raise InvalidRequest(f"page: this cursor belongs to a list with order={cursor.order}")
    outside = (
        (created.gt is not None and cursor.at <= created.gt)
        or (created.gte is not None and cursor.at < created.gte)
        or (created.lt is not None and cursor.at >= created.lt)
        or (created.lte is not None and cursor.at > created.lte)
    )
    if outside:
        raise InvalidRequest("page: this cursor lies outside the created_at filter")
