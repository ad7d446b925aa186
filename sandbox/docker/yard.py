"""Containers as a driver has them: made, told apart from those of others, and cleared away.

A container is known by a name of its own, which is never used again and has nothing to do with
whose sandbox it is. Its processes are dead before the engine is asked to remove it, so nobody waits
for that, and what an engine cannot remove now it is asked to remove later.
"""

import resource
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial

import anyio
import anyio.from_thread

from sandbox.birth import Newborn
from sandbox.contract import SandboxSpec, Unavailable
from sandbox.docker.container import Berth, give_birth
from sandbox.docker.engine import Engine, Refused
from sandbox.docker.grounds import Grounds
from sandbox.docker.recipe import ESTATE_LABEL
from sandbox.docker.stock import Stock
from sandbox.layer import Layer
from sandbox.porch import Porch

_NO_CORES = f"rlimit type {resource.RLIMIT_CORE}:"
"""What runc says when it may not raise the limit it was started with."""
_TIDY_SECONDS = 10.0
"""Between two tries to have the engine remove a dead container."""


class Yard:
    """A `Maker` of containers."""

    def __init__(
        self,
        engine: Engine,
        grounds: Grounds,
        *,
        image: str,
        start_seconds: float,
        progress: Callable[[str], None],
    ) -> None:
        """Do nothing yet. Without an `image`, one is made when the first container needs it."""
        self.grounds = grounds
        self._engine = engine
        self._start_seconds = start_seconds
        self._stock = Stock(engine, grounds.estate.runtime, progress=progress)
        self._standard = image
        self._living: set[str] = set()
        """The names of our containers, from before they are made until they are dead."""
        self._dead: set[str] = set()
        """The names of containers that the engine has yet to remove."""
        self._died = anyio.Event()
        self._tidying = anyio.Lock()

    async def give_birth(self, layer: Layer, spec: SandboxSpec, token: str) -> Newborn:
        name = f"wharfkeep-{self.grounds.fittings.estate}-{secrets.token_hex(8)}"
        berth = Berth(
            engine=self._engine,
            fittings=self.grounds.fittings,
            image=await self._image(spec),
            estate=self.grounds.estate,
            start_seconds=self._start_seconds,
        )
        self._living.add(name)
        try:
            newborn = await give_birth(berth, name, layer, spec, token)
        except BaseException as error:
            self._bury(name)
            if isinstance(error, Refused) and berth.fittings.cores and _NO_CORES in str(error):
                fittings = replace(berth.fittings, cores=False)
                self.grounds = replace(self.grounds, fittings=fittings)
                return await self.give_birth(layer, spec, token)
            raise
        return replace(newborn, clear=partial(self._clear, name, newborn.clear))

    def explain(self, complaints: str) -> str:
        last = (complaints.strip().splitlines() or ["it said nothing"])[-1][:500]
        return f"the program inside a container did not start ({last}); see what it says"

    async def clear(self, names: Collection[str]) -> None:
        del names  # a container has a name of its own, which is never used again
        label = f"{ESTATE_LABEL}={self.grounds.fittings.estate}"
        self._dead.update({*await self._engine.containers(label)} - self._living)
        await self.tidy()
        await self._stock.tidy()

    async def tidy(self) -> None:
        """Have the engine remove what is dead; what it refuses is tried again the next time.

        Raises:
            Unavailable: It cannot be asked.
        """
        async with self._tidying:
            for name in list(self._dead):
                with suppress(Refused):
                    await self._engine.remove(name)
                    self._dead.discard(name)

    async def keep_tidy(self) -> None:
        """Do that whenever somebody died, and again while the engine does not."""
        while True:
            with anyio.move_on_after(_TIDY_SECONDS if self._dead else None):
                await self._died.wait()
            self._died = anyio.Event()
            with suppress(Unavailable):
                await self.tidy()

    async def _image(self, spec: SandboxSpec) -> str:
        if spec.root is not None:
            return await self._stock.of(spec.root)
        if not self._standard:
            self._standard = await self._stock.standard()
        return self._standard

    def _clear(self, name: str, clear: Callable[[Porch], None], porch: Porch) -> None:
        clear(porch)
        anyio.from_thread.run_sync(self._bury, name)

    def _bury(self, name: str) -> None:
        """Its processes are dead, so nobody has to wait for the engine."""
        self._living.discard(name)
        self._dead.add(name)
        self._died.set()
