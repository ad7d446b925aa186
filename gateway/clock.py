"""Time and identity, injected everywhere so that tests own both.

Instants inside the gateway are whole microseconds since the Unix epoch, in UTC; the wire shows
them as RFC 3339 with a ``Z`` (spec/core 1.2). Ids are ``<prefix>_01`` and 22 base62 characters,
about 131 bits of randomness (spec/core 1.4).
"""

import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Protocol

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 22


class Clock(Protocol):
    """Where the gateway reads the time and takes new ids from."""

    def now(self) -> int:
        """The present instant in microseconds; never the same value twice in one process."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back, for measuring durations."""
        ...

    def new_id(self, prefix: str) -> str:
        """A fresh, unguessable id such as ``sesn_01...`` for the given prefix."""
        ...


class SystemClock:
    """The machine's own clock and randomness."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        with self._lock:
            # Lists are ordered by creation time: equal instants would make their order random.
            self._last = max(time.time_ns() // 1000, self._last + 1)
            return self._last

    def monotonic(self) -> float:
        return time.monotonic()

    def new_id(self, prefix: str) -> str:
        return new_id(prefix)


def new_id(prefix: str) -> str:
    """Return ``<prefix>_01`` followed by 22 random base62 characters."""
    number = secrets.randbits(132)
    letters: list[str] = []
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, 62)
        letters.append(_ALPHABET[digit])
    return f"{prefix}_01{''.join(letters)}"


def rfc3339(instant: int) -> str:
    """Show an instant as the wire does: ``2026-04-01T12:00:00.000000Z``."""
    moment = datetime.fromtimestamp(instant // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{instant % 1_000_000:06d}Z"


def parse_rfc3339(text: str) -> int:
    """Read an RFC 3339 timestamp into microseconds; a missing offset means UTC.

    Raises:
        ValueError: The text is not a timestamp.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
