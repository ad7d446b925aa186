"""The end of a stream of output, made fit for a model to read."""

from __future__ import annotations

LIMIT = 100 * 1024
TRUNCATED = "[output truncated]\n"


class Tail:
    """Keeps the last `limit` bytes of what it is given, in bounded memory."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.received = 0
        self._limit = limit
        self._kept = bytearray()

    def add(self, chunk: bytes) -> None:
        self.received += len(chunk)
        self._kept += chunk
        if len(self._kept) > 2 * self._limit:  # cut rarely: each cut moves what is kept
            del self._kept[: -self._limit]

    def text(self) -> str:
        """The output without terminal escapes and final line feeds, marked if cut."""
        kept = bytes(self._kept[-self._limit :]).decode("utf-8", "replace")
        text = strip_escapes(kept).rstrip("\n")
        return TRUNCATED + text if self.received > self._limit else text

    def last_line(self) -> str:
        """The last line with something on it, cut to 200 characters, to show to people."""
        lines = bytes(self._kept[-1000:]).decode("utf-8", "replace").strip().splitlines()
        return strip_escapes(lines[-1])[:200] if lines else ""


def strip_escapes(text: str) -> str:
    """Remove the control sequences that colour text and move the cursor."""
    if "\x1b" not in text:
        return text
    import re

    return re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]", "", text)
