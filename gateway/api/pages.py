"""Positions in lists: as the store knows them, as opaque text, and as the ids of neighbours."""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.errors import InvalidRequest, NotFound
from gateway.store.records import Cursor
from gateway.wire.cursor import PageCursor, encode


def place(cursor: PageCursor | None) -> Cursor | None:
    """Where the client wants to go on."""
    if cursor is None:
        return None
    return Cursor(order=cursor.order, at=cursor.at, id=cursor.id, backwards=cursor.backwards)


def token(cursor: Cursor | None) -> str | None:
    """What the client sends back to go on there."""
    if cursor is None:
        return None
    return encode(PageCursor(cursor.order, cursor.at, cursor.id, cursor.backwards))


async def beside(
    query: dict[str, Any], created_at: Callable[[str], Awaitable[int]]
) -> Cursor | None:
    """Where ``after_id`` or ``before_id`` points in a list that is newest first.

    `created_at` says when the object with an id was made.

    Raises:
        InvalidRequest: Both are given, or `created_at` finds nothing.
    """
    after, before = query["after_id"], query["before_id"]
    if after is not None and before is not None:
        raise InvalidRequest("after_id and before_id cannot be combined")
    name, known = ("before_id", before) if after is None else ("after_id", after)
    if known is None:
        return None
    try:
        at = await created_at(known)
    except NotFound as error:
        raise InvalidRequest(f"{name}: {known!r} is not in this list") from error
    return Cursor(order="desc", at=at, id=known, backwards=before is not None)


def more(query: dict[str, Any], next: Cursor | None, prev: Cursor | None) -> bool:  # noqa: A002 - the page's word
    """Whether a list that is read by ids goes on in the direction it is read."""
    return (next if query["before_id"] is None else prev) is not None
