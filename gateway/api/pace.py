"""How often one workspace may call: a bucket of calls that fills again all the time."""

from gateway.clock import Clock
from gateway.errors import RateLimited

_MINUTE = 60.0
_KEPT = 10_000
"""Workspaces that are remembered; a forgotten one begins with a full bucket."""


class Pace:
    """Counts calls by workspace.

    Args:
        calls: How many a minute; 0 sets no limit.
        clock: Measures the time between them.
    """

    def __init__(self, calls: int, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, workspace: str) -> None:
        """Count one call.

        Raises:
            RateLimited: There were too many in the last minute.
        """
        if not self._calls:
            return
        now = self._clock.monotonic()
        left, since = self._left.pop(workspace, (float(self._calls), now))
        left = min(self._calls, left + (now - since) * self._calls / _MINUTE)
        self._left[workspace] = (max(left - 1, left % 1), now)
        if len(self._left) > _KEPT:
            self._left.pop(next(iter(self._left)))
        if left < 1:
            raise RateLimited(f"more than {self._calls} calls a minute; wait and try again")
