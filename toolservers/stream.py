"""Lines in and out of file descriptors: bounded when read, whole when written."""

from __future__ import annotations

import os
import threading

MAX_LINE = 16 * 1024 * 1024
_CHUNK = 65536


class LineTooLong(Exception):
    """A line exceeded the bound; it was skipped and reading goes on behind it."""


class LineReader:
    """Reads lines from a descriptor. One thread at a time."""

    def __init__(self, fd: int, *, limit: int = MAX_LINE) -> None:
        self.fd = fd
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False

    def read_line(self) -> bytes | None:
        """The next line without its line feed; None at the end, where half a line is dropped.

        Raises:
            LineTooLong: Once for every line longer than the limit.
        """
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end >= 0:
                return self._take(end)
            self._searched = len(self._buffer)
            if self._searched > self._limit:
                self._forget()
                self._skipping = True
            chunk = _read(self.fd)
            if not chunk:
                return None
            self._buffer += chunk

    def has_line(self) -> bool:
        """Whether there is more to take before the descriptor is read again."""
        return self._buffer.find(b"\n") >= 0

    def _take(self, end: int) -> bytes:
        too_long = self._skipping or end > self._limit
        line = b"" if too_long else bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        self._skipping = False
        if too_long:
            raise LineTooLong
        return line

    def _forget(self) -> None:
        self._buffer.clear()
        self._searched = 0


class LineWriter:
    """Writes lines to a descriptor, each whole, from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def write_line(self, line: bytes) -> bool:
        """Write `line` and a line feed; False when nobody reads any more."""
        with self._lock:
            try:
                write_all(self._fd, line + b"\n")
            except OSError:
                return False
        return True


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, however little the descriptor takes at a time."""
    written = os.write(fd, data)
    if written < len(data):
        view = memoryview(data)
        while written < len(data):
            written += os.write(fd, view[written:])


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK)
    except OSError:
        return b""  # a reset connection ends like a closed one
