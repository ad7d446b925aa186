"""What every driver answers the same way: it looks at the requirements, and its keeper does it."""

from abc import ABC, abstractmethod
from pathlib import Path

import anyio

from sandbox.cell import Cell
from sandbox.contract import Archive, Progress, Requirement, SandboxSpec, Unsupported
from sandbox.keeper import Keeper


class Steward(ABC):
    """A `Driver` but for `probe` and `aclose`, which are its kind's own."""

    def __init__(self) -> None:
        self._preparing = anyio.Lock()

    async def create(self, spec: SandboxSpec) -> Cell:
        keeper = await self._admit(spec)
        return await keeper.create(spec)

    async def adopt(self, ref: str, spec: SandboxSpec) -> Cell:
        keeper = await self._admit(spec)
        return await keeper.adopt(ref, spec)

    async def archive(self, ref: str, destination: Path, *, max_bytes: int) -> Archive:
        keeper = await self._ready()
        return await keeper.archive(ref, destination, max_bytes=max_bytes)

    async def restore(
        self, spec: SandboxSpec, source: Path, archive: Archive, *, progress: Progress | None = None
    ) -> Cell:
        keeper = await self._admit(spec)
        return await keeper.restore(spec, source, archive, progress=progress)

    async def forget(self, ref: str) -> None:
        keeper = await self._ready()
        await keeper.forget(ref)

    async def reap(self, keep: frozenset[str] = frozenset()) -> list[str]:
        keeper = await self._ready()
        return await keeper.reap(keep)

    @abstractmethod
    async def _prepare(self) -> Keeper:
        """Make what the driver stands on, unless it is there; never called twice at once.

        Raises:
            Unavailable: It does not work here.
        """

    @abstractmethod
    def _lacking(self, requirement: Requirement) -> str | None:
        """Why a requirement cannot be honoured, as a sentence; asked after `_prepare`."""

    async def _ready(self) -> Keeper:
        async with self._preparing:
            return await self._prepare()

    async def _admit(self, spec: SandboxSpec) -> Keeper:
        keeper = await self._ready()
        for requirement in sorted(spec.require):
            if reason := self._lacking(requirement):
                raise Unsupported(f"{requirement} is required, but {reason}")
        return keeper
