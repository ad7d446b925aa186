"""Threads that run what the event loop hands them, and wake it once for all that is done.

A caller that goes away, cancelled or out of patience, leaves its job where it is: what was begun is
finished, and `stop` waits for it. What a job does on its thread is the database's business.
"""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

import anyio
import anyio.lowlevel
import anyio.to_thread

from gateway.errors import Overloaded
from gateway.store.engine import DEADLINE

T = TypeVar("T")

BOUND = 4096
"""Jobs that may be handed over and not done; more callers wait outside."""


class Loop(Protocol):
    """The one thing asked of an event loop from another thread."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object: ...


def current_loop() -> Loop:
    """The event loop this is called on."""
    return cast("Loop", anyio.lowlevel.current_token().native_token)


class Outcome:
    """Keeps whatever its body raises, for another thread to raise again."""

    __slots__ = ("error",)

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.error = error
        return True


class Job(Outcome):
    """A piece of work on its way to a thread, and what came of it."""

    __slots__ = ("done", "result", "work")

    def __init__(self, work: Callable[..., Any]) -> None:
        super().__init__()
        self.work = work
        self.done = anyio.Event()
        self.result: Any = None


class Workers:
    """Up to `count` threads, as many as there was work for at once, and the queue before them.

    Args:
        serve: What each thread does: `take` jobs until there are none, and `deliver` each.
        explain: Puts an error of the driver into the gateway's words.
        bound: Jobs that may be handed over and not done.
        deadline: Seconds a caller waits.
    """

    def __init__(
        self,
        serve: Callable[["Workers"], None],
        *,
        count: int,
        explain: Callable[[BaseException], BaseException],
        bound: int = BOUND,
        deadline: float = DEADLINE,
    ) -> None:
        self._serve = serve
        self._count = count
        self._explain = explain
        self._bound = bound
        self._deadline = deadline
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._room = anyio.Event()
        self._loop = current_loop()
        self._threads: list[threading.Thread] = []

    async def submit(self, work: Callable[..., T]) -> T:
        """Hand over `work` and wait; give what it returned, or raise what it raised.

        Raises:
            Overloaded: It was not done in time; it may yet be.
        """
        job = Job(work)
        with anyio.move_on_after(self._deadline):
            while self._waiting >= self._bound:
                await self._room.wait()
            self._hand_over(job)
            await job.done.wait()
            if job.error is not None:
                raise self._explain(job.error)
            return job.result
        raise Overloaded("the database did not answer in time")

    async def stop(self) -> None:
        """Finish what was handed over and end the threads."""
        self._queue.put(None)
        with anyio.CancelScope(shield=True):
            for thread in self._threads:
                await anyio.to_thread.run_sync(thread.join)

    def take(self, most: int) -> list[Job]:
        """On a thread: wait for a job and take what is behind it; none when it is time to end."""
        jobs: list[Job] = []
        job = self._queue.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == most:
                return jobs
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return jobs
        # The sign to end goes back, for the next turn of this thread and for the others.
        self._queue.put(None)
        return jobs

    def deliver(self, jobs: list[Job]) -> None:
        """On a thread: wake the callers of jobs that are done."""
        self._loop.call_soon_threadsafe(self._wake, jobs)

    def _hand_over(self, job: Job) -> None:
        self._waiting += 1
        if len(self._threads) < min(self._waiting, self._count):
            self._threads.append(threading.Thread(target=self._work, daemon=True))
            self._threads[-1].start()
        self._queue.put(job)

    def _wake(self, jobs: list[Job]) -> None:
        self._waiting -= len(jobs)
        for job in jobs:
            job.done.set()
        if self._waiting < self._bound:
            self._room.set()
            self._room = anyio.Event()

    def _work(self) -> None:
        fate = Outcome()
        with fate:
            self._serve(self)
        if fate.error is not None:
            # A thread that cannot go on says so to whoever still asks.
            while jobs := self.take(most=1):
                jobs[0].error = fate.error
                self.deliver(jobs)
