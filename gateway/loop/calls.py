"""The tool calls of one session that are running right now.

Each call is a task; its result comes back to the runner, which alone writes. Stopping a call
cancels its task, and with it the tool.
"""

from collections.abc import Callable
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from gateway.tools.admission import Admitted
from gateway.tools.call import Gate
from gateway.tools.result import Result


@dataclass(frozen=True, slots=True)
class Finished:
    """A call that has come back from the gate."""

    event: str
    result: Result


class Calls:
    """Runs what the gate has admitted, at most `parallel` at a time."""

    def __init__(self, gate: Gate, *, parallel: int, done: Callable[[], None]) -> None:
        self._gate = gate
        self._slots = anyio.Semaphore(parallel)
        self._done = done
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._finished: list[Finished] = []

    def start(self, tasks: TaskGroup, admitted: Admitted) -> None:
        """Run a call; `done` is called when it is back."""
        scope = self._scopes[admitted.decided.call.id] = anyio.CancelScope()
        tasks.start_soon(self._run, admitted, scope)

    async def _run(self, admitted: Admitted, scope: anyio.CancelScope) -> None:
        event = admitted.decided.call.id
        with scope:
            async with self._slots:
                result = await self._gate.run(admitted)
            self._finished.append(Finished(event, result))
        self._scopes.pop(event, None)
        self._done()

    def stop(self) -> None:
        """Cancel whatever runs. Results that come all the same are dropped by the runner."""
        for scope in self._scopes.values():
            scope.cancel()

    def take_finished(self) -> list[Finished]:
        """The calls that came back since the last time."""
        finished, self._finished = self._finished, []
        return finished
