"""Page tokens: a position in a list, as opaque text (spec/core 1.3, spec/resources 8.4).

A token names the order it belongs to, so that it cannot be used with another one. It carries a
checksum against damage and guessing, not against attack: a position is no secret, and whoever
makes one up sees no more than a list shows anyway.
"""

import base64
import binascii
import hashlib
import re
from typing import Literal, NamedTuple, TypeAlias

from gateway.errors import InvalidRequest

Order: TypeAlias = Literal["asc", "desc"]


class PageCursor(NamedTuple):
    """The last row shown, by its creation time in microseconds and its id."""

    order: Order
    at: int
    id: str
    backwards: bool = False


class EventCursor(NamedTuple):
    """How much was shown of the log, and of what is queued behind it; None for none of it."""

    order: Order
    seq: int | None = None
    position: int | None = None


_DIGEST = 6
_FILES = "page_"
_PAGE = re.compile(r"p([ad])([fb])([0-9]{1,18}) (.{1,255})", re.DOTALL)
_EVENT = re.compile(r"e([ad])([0-9]{0,18})\.([0-9]{0,18})")


def encode(cursor: PageCursor | EventCursor) -> str:
    """Return the token that a client sends back as ``page``."""
    if isinstance(cursor, PageCursor):
        way = "b" if cursor.backwards else "f"
        text = f"p{cursor.order[0]}{way}{cursor.at} {cursor.id}"
    else:
        text = f"e{cursor.order[0]}{_digits(cursor.seq)}.{_digits(cursor.position)}"
    payload = text.encode()
    return base64.urlsafe_b64encode(_digest(payload) + payload).rstrip(b"=").decode()


def decode_page(token: str, order: Order) -> PageCursor:
    """Read the token of a list ordered by creation time.

    Raises:
        InvalidRequest: It names ``page``: the token is damaged, foreign, or of another order.
    """
    found = _PAGE.fullmatch(_open(token))
    if found is None:
        raise _unknown()
    first, way, at, row = found.groups()
    return PageCursor(_same(first, order), int(at), row, way == "b")


def encode_file(cursor: PageCursor) -> str:
    """Return the token of a list of files; it begins with ``page_`` (spec/resources F-17)."""
    return _FILES + encode(cursor)


def decode_file(token: str, order: Order) -> PageCursor:
    """Read the token of a list of files; raises like `decode_page`."""
    if not token.startswith(_FILES):
        raise _unknown()
    return decode_page(token.removeprefix(_FILES), order)


def decode_event(token: str, order: Order) -> EventCursor:
    """Read the token of a list of events; raises like `decode_page`."""
    found = _EVENT.fullmatch(_open(token))
    if found is None:
        raise _unknown()
    first, seq, position = found.groups()
    return EventCursor(_same(first, order), _number(seq), _number(position))


def _digits(number: int | None) -> str:
    return "" if number is None else str(number)


def _number(digits: str) -> int | None:
    return int(digits) if digits else None


def _open(token: str) -> str:
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unknown() from error
    digest, payload = sealed[:_DIGEST], sealed[_DIGEST:]
    # The second comparison catches the unused bits of the last base64 character.
    again = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
    if digest != _digest(payload) or again != token:
        raise _unknown()
    return payload.decode()


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=_DIGEST, person=b"page").digest()


def _same(first: str, order: Order) -> Order:
    if first != order[0]:
        other = "asc" if first == "a" else "desc"
        raise InvalidRequest(f"page: this cursor belongs to order={other}, not order={order}")
    return order


def _unknown() -> InvalidRequest:
    return InvalidRequest("page: this is not a cursor of this list")
