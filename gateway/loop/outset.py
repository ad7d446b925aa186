"""What happens between a session's start of work and its first model request.

The sandbox gets what the model will expect in it: the session's repositories. Whatever could not
be had, then or later, becomes a ``session.error``, and the session goes on (spec/core 8.3).
"""

import anyio

from gateway.loop import draft
from gateway.loop.journal import Journal
from gateway.tools.call import Gate
from gateway.tools.catalog import Catalog


class Outset:
    """Prepares one session. `interrupt` ends that early."""

    def __init__(self, journal: Journal, gate: Gate, catalog: Catalog) -> None:
        self._journal = journal
        self._gate = gate
        self._sandboxed = any(tool.place == "sandbox" for tool in catalog.visible())
        self._scope: anyio.CancelScope | None = None
        self.due = True
        """Set when the session begins to work; it may have begun under another runner."""

    def interrupt(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    async def prepare(self) -> bool:
        """Do it once for each start of work; false after an interrupt."""
        if not self.due or not self._sandboxed or not self._has_repositories():
            return True
        await self._journal.flush()
        if self._journal.interrupted:
            return False
        with anyio.CancelScope() as self._scope:
            await self._gate.prepare(self._journal.id)
            self.due = False
        self._scope = None
        self.tell()
        await self._journal.refresh()
        return not self.due

    def tell(self) -> None:
        """Write down what is missing and was not told yet."""
        for notice in self._gate.take_notices(self._journal.id):
            error = draft.error(notice.type, notice.message, "retrying", **notice.fields)
            self._journal.write(error)

    def _has_repositories(self) -> bool:
        resources = self._journal.session.body["resources"]
        return any(entry["type"] == "github_repository" for entry in resources)
