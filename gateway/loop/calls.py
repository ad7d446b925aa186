"""The tool calls of one session that are running right now.

Each call is a task; its result comes back to the runner, which alone writes. Stopping a call
cancels its task, and with it the tool.
"""

from collections.abc import Callable
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from gateway.loop.state import OpenCall
from gateway.tools.call import Call, Gate, Outcome
from gateway.tools.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Finished:
    """A call that has come back from the gate."""

    event: str
    outcome: Outcome


class Calls:
    """Runs calls through the gate, at most `parallel` at a time."""

    def __init__(
        self, gate: Gate, catalog: Catalog, *, session: str, parallel: int, done: Callable[[], None]
    ) -> None:
        self._gate = gate
        self._catalog = catalog
        self._session = session
        self._slots = anyio.Semaphore(parallel)
        self._done = done
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._finished: list[Finished] = []

    def start(self, tasks: TaskGroup, call: OpenCall, thread: str) -> None:
        """Send a call through the gate; `done` is called when it is back."""
        call.running = True
        request = Call(
            id=call.event,
            session=self._session,
            thread=thread,
            name=call.name,
            input=call.input,
            broken=call.broken,
            answer=call.answer,
            reason=call.reason,
        )
        scope = self._scopes[call.event] = anyio.CancelScope()
        tasks.start_soon(self._run, request, scope)

    async def _run(self, request: Call, scope: anyio.CancelScope) -> None:
        with scope:
            async with self._slots:
                outcome = await self._gate.call(request, self._catalog)
            self._finished.append(Finished(request.id, outcome))
        self._scopes.pop(request.id, None)
        self._done()

    def stop(self) -> None:
        """Cancel whatever runs. Results that come all the same are dropped by the runner."""
        for scope in self._scopes.values():
            scope.cancel()

    def take_finished(self) -> list[Finished]:
        """The calls that came back since the last time."""
        finished, self._finished = self._finished, []
        return finished
