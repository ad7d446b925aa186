"""Positions in lists: as the store knows them and as opaque text."""

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
