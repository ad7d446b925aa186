"""One running sandbox of the bubblewrap driver: what can be asked of it, and its end.

How it was started is `sandbox.bubblewrap`'s business. It ends when a process of it dies, when its
control line ends, when it misbehaves, or when it is destroyed; in each case everything inside is
killed and cleared away at once, and only the layer waits for `destroy`.
"""

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import anyio

from sandbox import pause
from sandbox.birth import Newborn
from sandbox.channel import SocketChannel, closing, fetch, store
from sandbox.contract import Breach, Limits, SandboxError, SandboxGone
from sandbox.limits.breaches import Breaches
from sandbox.limits.group import Group
from sandbox.porch import Porch
from sandbox.spawn import Process

KILL_SECONDS = 10.0
REMOVE_SECONDS = 60.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Cell:
    """A `Sandbox`; `live` has to run for as long as it is of use."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the contract's name
        ref: str,
        newborn: Newborn,
        breaches: Breaches,
        remove_layer: Callable[[], None],
        call_seconds: float,
    ) -> None:
        """Take over a started sandbox; `remove_layer` blocks."""
        self._id = id
        self._ref = ref
        self._newborn = newborn
        self._breaches = breaches
        self._porch = newborn.porch
        self._layer = newborn.layer
        self._switchboard = newborn.switchboard
        self._processes = newborn.processes
        self._remove_layer = remove_layer
        self._call_seconds = call_seconds
        self._buried = anyio.Event()
        self._destroying = anyio.Lock()
        self._layer_removed = False

    @property
    def id(self) -> str:
        return self._id

    @property
    def ref(self) -> str:
        return self._ref

    @property
    def uid(self) -> int:
        return self._newborn.uid

    @property
    def sockets(self) -> Path:
        return self._porch.sockets

    @property
    def uploads(self) -> Path:
        return self._porch.uploads

    @property
    def layer(self) -> Path:
        return self._layer

    @property
    def limits(self) -> Limits:
        return self._breaches.limits

    @property
    def complaints(self) -> str:
        """The beginning of what was written to standard error inside, complete when it ended."""
        return self._newborn.complaints.text

    @property
    def alive(self) -> bool:
        if self._switchboard.over.is_set():
            return False
        return not any(process.exited for process in self._processes)

    async def live(self) -> None:
        """Serve the sandbox until it ends, then kill and clear away what is left."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch)
                tasks.start_soon(self._newborn.complaints.drain)
                await self._switchboard.serve()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._bury()

    async def wait_ready(self) -> bool:
        """Wait until it is bounded and the program inside is ready; False if it ended first."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._confine)
            await self._switchboard.settled.wait()
        return self.alive and self._switchboard.ready.is_set()

    async def wait_gone(self) -> None:
        """Wait until it has ended, whyever, and nothing of it runs any more."""
        await self._buried.wait()

    def rename(self, layer: Path, porch: Porch, remove_layer: Callable[[], None]) -> None:
        """From now on it is called as its layer is, and these are its directories outside."""
        self._id = self._ref = layer.name
        self._layer = layer
        self._porch = porch
        self._remove_layer = remove_layer

    async def claim(self, *, env: Mapping[str, str]) -> None:
        with self._deadline("claim"):
            await self._switchboard.claim(env, output=self.limits.output)

    async def open(
        self,
        target: Literal["tools", "spawn"],
        *,
        argv: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> SocketChannel:
        with self._deadline("open"):
            if target == "tools":
                return await self._switchboard.dial("open", target="tools")
            return await self._switchboard.dial(
                "open", target="spawn", argv=list(argv), env=dict(env or {})
            )

    async def pull(self, path: str, *, max_bytes: int) -> bytes:
        with self._deadline("pull"):
            async with closing(await self._switchboard.dial("pull", path=path)) as channel:
                return await fetch(channel, max_bytes)

    async def push(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        with self._deadline("push"):
            order = {"path": path, "mode": mode}
            async with closing(await self._switchboard.dial("push", **order)) as channel:
                await store(channel, data)

    async def freeze(self) -> None:
        await self._attempt(pause.stop)

    async def thaw(self) -> None:
        await self._attempt(pause.resume)

    async def count_processes(self) -> int:
        return max(len(await self._attempt(pause.inside)) - 1, 0)

    async def destroy(self, *, keep_layer: bool = False) -> None:
        self._switchboard.end()
        async with self._destroying:
            await self.wait_gone()  # bounded by the deadlines of the burial
            if any(not process.exited for process in self._processes):
                raise SandboxError(f"processes of the sandbox {self._id} cannot be killed")
            if not keep_layer and not self._layer_removed:
                # What takes longer goes on in its thread, or at the next start.
                with anyio.move_on_after(REMOVE_SECONDS):
                    await anyio.to_thread.run_sync(self._remove_layer, abandon_on_cancel=True)
                self._layer_removed = True

    async def breaches(self) -> Sequence[Breach]:
        if self.alive:
            self._breaches.look()
            if not self._breaches.settled:
                await anyio.to_thread.run_sync(self._breaches.settle, self._processes[0])
        else:
            with anyio.move_on_after(KILL_SECONDS):
                await self.wait_gone()
        return self._breaches.take()

    async def _attempt(self, act: Callable[[Process, Group], T]) -> T:
        """Do something to all processes, and not half of it."""
        self._require_life()
        first, group = self._processes[0], self._newborn.group
        # Once begun in its thread, it is not cancelled.
        result = await anyio.to_thread.run_sync(act, first, group)
        self._require_life()
        return result

    async def _confine(self) -> None:
        """Bound the program while it starts: doing so first would hold it up."""
        try:
            await anyio.to_thread.run_sync(self._newborn.confine)
        except ProcessLookupError:
            return  # it has ended, and perhaps said why
        except OSError as error:
            self._newborn.complaints.add(f"cannot limit the sandbox: {error}")
            self._switchboard.end()

    async def _watch(self) -> None:
        """Notice the death of the processes."""
        await self._processes[0].wait()
        self._switchboard.end()

    async def _bury(self) -> None:
        for kill in (self._kill_processes, self._newborn.group.kill):
            kill()
            with anyio.move_on_after(KILL_SECONDS):
                for process in self._processes:
                    await process.wait()
                break
        self._breaches.look()
        try:
            await anyio.to_thread.run_sync(self._newborn.clear, self._porch)
        except (OSError, SandboxError) as error:
            _log.error("cannot clear away the sandbox %s: %s", self._id, error)
        for process in self._processes:
            if process.exited:
                process.close()
        self._newborn.complaints.read()
        self._newborn.complaints.close()
        self._buried.set()

    def _kill_processes(self) -> None:
        for process in self._processes:
            process.kill()

    def _require_life(self) -> None:
        if not self.alive:
            raise SandboxGone(f"the sandbox {self._id} is gone")

    @contextmanager
    def _deadline(self, what: str) -> Generator[None]:
        self._require_life()
        try:
            with anyio.fail_after(self._call_seconds):
                yield
        except TimeoutError as error:
            raise SandboxError(
                f"the sandbox did not answer {what} within {self._call_seconds:g} seconds"
            ) from error
