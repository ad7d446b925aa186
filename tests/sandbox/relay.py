"""A socket before the real engine's, that can be made to fail like an engine."""

import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

import anyio
from anyio.abc import SocketStream, TaskGroup

Mood: TypeAlias = Literal["well", "deaf", "rude"]
"""``deaf`` takes connections and never answers; ``rude`` answers, but not as an engine."""


class Relay:
    """Serves while `tasks` run."""

    def __init__(self, directory: Path, engine: str, tasks: TaskGroup) -> None:
        self.mood: Mood = "well"
        self._path = directory / "socket"
        self._engine = engine.removeprefix("unix://")
        self._tasks = tasks
        self._serving: anyio.CancelScope | None = None

    @property
    def address(self) -> str:
        return f"unix://{self._path}"

    async def start(self) -> None:
        """The engine is there."""
        self._path.unlink(missing_ok=True)
        listener = await anyio.create_unix_listener(self._path)
        scope = self._serving = anyio.CancelScope()

        async def serve() -> None:
            with scope:
                async with listener:
                    await listener.serve(self._pass_on)

        self._tasks.start_soon(serve)

    def stop(self) -> None:
        """The engine is gone, and every connection to it."""
        if self._serving is not None:
            self._serving.cancel()
        self._path.unlink(missing_ok=True)

    def steal(self) -> None:
        """Something else is where the engine was."""
        self.stop()
        self._path.write_text("not a socket")

    async def _pass_on(self, stream: SocketStream) -> None:
        async with stream:
            if self.mood == "deaf":
                await anyio.sleep_forever()
            if self.mood == "rude":
                with suppress(anyio.EndOfStream):
                    await stream.receive()
                    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                return
            engine = await anyio.connect_unix(self._engine)
            async with engine, anyio.create_task_group() as tasks:
                tasks.start_soon(_copy, stream, engine)
                await _copy(engine, stream)
                tasks.cancel_scope.cancel()


async def _copy(source: SocketStream, sink: SocketStream) -> None:
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            await sink.send(await source.receive())


@asynccontextmanager
async def relaying(engine: str) -> AsyncGenerator[Relay]:
    """A relay that is there."""
    directory = Path(tempfile.mkdtemp(prefix="wharfkeep-relay-"))
    try:
        async with anyio.create_task_group() as tasks:
            relay = Relay(directory, engine, tasks)
            await relay.start()
            yield relay
            tasks.cancel_scope.cancel()
    finally:
        shutil.rmtree(directory)
