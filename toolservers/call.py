"""One tool call in progress: for whom, for how long, and whether it is still wanted.

Not the protocol: a call knows nothing of requests and ids.
"""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PROGRESS_INTERVAL = 0.25
"""Seconds between two progress reports of one call, at least."""


class ToolError(Exception):
    """A tool could not do what was asked; the text, behind the tool's name, is for the model."""


class CommandFailed(ToolError):
    """A program the model started said no; its output is the whole text."""


class Cancelled(Exception):
    """The caller does not want the result any more."""


class Call:
    """The circumstances of one call, shared by the tool that runs and the thread that cancels.

    A call begins on the thread that reads requests, and nobody reads until it hands that over. A
    tool that waits must therefore watch `requests` as well, as `toolservers.watch` does, or hand
    over first. Passing the work to another thread each time instead would double the time of a
    short command.
    """

    def __init__(
        self,
        *,
        thread: str = "",
        seconds: float | None = None,
        report: Callable[[int, str], None] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        """`seconds` is the caller's own limit; None leaves it to the tool.

        `settings` are what the caller, and not the model, says of this call.
        `report` takes what has been done so far, a count that only grows, and a line for people.
        """
        self.thread = thread
        self.settings = settings or {}
        self.cancelled = False
        self.requests: int | None = None
        """Readable when a request is waiting for somebody to read it; None when somebody does."""
        self._started = time.monotonic()
        self._seconds = seconds
        self._report = report
        self._reported_at = 0.0
        self._lock = threading.Lock()
        self._wake: Callable[[], None] | None = None
        self._let_others_read: Callable[[], None] | None = None

    def hold_requests(self, requests: int, let_others_read: Callable[[], None]) -> None:
        """The thread of this call is the one that reads requests, until it hands over."""
        self.requests = requests
        self._let_others_read = let_others_read

    def hand_over(self) -> None:
        """Let another thread read requests, among them the one that cancels this call."""
        if self._let_others_read is not None:
            self.requests = None
            self._let_others_read()
            self._let_others_read = None

    def seconds(self, default: float) -> float:
        """How long the tool may still take: `default`, or what is left of the caller's limit."""
        if self._seconds is None:
            return default
        return max(0.0, min(default, self._started + self._seconds - time.monotonic()))

    def check(self, default: float) -> None:
        """To be called now and then by a tool that works without waiting.

        Raises:
            Cancelled: Nobody wants the result.
            ToolError: The time is over.
        """
        if self.cancelled:
            raise Cancelled
        limit = default if self._seconds is None else min(default, self._seconds)
        if time.monotonic() - self._started > limit:
            raise ToolError(f"timed out after {limit:g}s")

    def cancel(self) -> None:
        """From any thread."""
        with self._lock:
            self.cancelled = True
            if self._wake is not None:
                self._wake()

    def wake_with(self, wake: Callable[[], None] | None) -> None:
        """What cancelling does besides; called at once if the call is cancelled already."""
        with self._lock:
            self._wake = wake
            if wake is not None and self.cancelled:
                wake()

    def progress(self, done: int, line: Callable[[], str]) -> None:
        """Tell the caller how far the tool is, unless nobody asked or it was told just now."""
        if self._report is None:
            return
        now = time.monotonic()
        if now - self._reported_at >= PROGRESS_INTERVAL:
            self._reported_at = now
            self._report(done, line())
