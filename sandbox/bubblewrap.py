"""Sandboxes made by bubblewrap: namespaces, a user without rights, a filter, limits, no daemon.

What stands between a program inside and this machine: an empty network namespace, a file system
of which it can write only its layer and memory (`sandbox.view`), no capability, no nested user
namespace, a system call filter (`sandbox.seccomp`), and, when the gateway is root, a host user id
that nothing else has. The kernel is shared. Processes are never adopted: a sandbox that is started
again on its layer has its files and nothing else.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from sandbox import diagnosis
from sandbox.birth import Newborn, give_birth
from sandbox.contract import Capabilities, Requirement, SandboxSpec
from sandbox.keeper import Keeper, Terms
from sandbox.layer import Layer
from sandbox.limits import ruins
from sandbox.limits.group import Cgroups
from sandbox.limits.quota import shortage
from sandbox.premises import Premises, prepare
from sandbox.spawn import Spawner
from sandbox.steward import Steward

ISOLATION = "Linux namespaces, a system call filter and dropped privileges; the kernel is shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may choose."""

    data_dir: Path
    program: Path | None = None
    """The program to run inside, one file for Python; None means the tool servers."""
    uids: range = range(210_000, 275_536)
    """Host user ids for sandboxes, when the gateway is root."""
    start_seconds: float = 20.0
    call_seconds: float = 60.0
    """For claim, open, pull and push; not for what goes over a channel."""
    keep_free: int = 1024**3
    """Bytes of the disk that sandboxes must leave alone."""
    bwrap: str = "bwrap"
    python: Path = Path("/usr/bin/python3")
    """The interpreter inside; if it is not there, the gateway's own is shown to the sandbox."""


class BubblewrapDriver(Steward):
    """A `Driver`. Its sandboxes live as tasks of the task group it is given."""

    def __init__(
        self,
        tasks: TaskGroup,
        settings: Settings,
        *,
        take_uid: Callable[[str], int] | None = None,
        new_token: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        """Do nothing yet.

        `take_uid` returns the host user id for a new sandbox by its id; without it the driver
        draws from `settings.uids`, where the owners of existing layers count as taken.
        """
        super().__init__()
        self._tasks = tasks
        self._settings = settings
        self._take_uid = take_uid
        self._new_token = new_token
        self._premises: Premises | None = None
        self._keeper: Keeper | None = None
        self._spawner = Spawner()
        self._maker = _Bwrap(self._spawner)

    async def probe(self) -> Capabilities:
        keeper = await self._ready()
        cell = await keeper.create(SandboxSpec(id=f"probe-{secrets.token_hex(8)}"))
        premises = self._premises
        assert premises is not None, "the sandbox stands on it"
        if not await keeper.is_watched(cell):
            self._premises = premises = replace(premises, watched=False)
        await cell.destroy()
        return Capabilities(
            driver="bubblewrap",
            isolation=ISOLATION,
            own_uid=premises.own_uid,
            limits=premises.limits,
            suspend=await keeper.suspensions(),
            notes=(*premises.notes(), *shortage(premises.estate.layers, self._settings.keep_free)),
        )

    async def aclose(self) -> None:
        if self._keeper is not None:
            await self._keeper.aclose()
        await self._spawner.aclose()
        premises, self._premises = self._premises, None
        if premises is not None and premises.cgroups is not None:
            premises.cgroups.close()

    async def _prepare(self) -> Keeper:
        if self._premises is None:
            self._premises = await anyio.to_thread.run_sync(
                partial(
                    prepare,
                    data_dir=self._settings.data_dir,
                    program=self._settings.program,
                    bwrap=self._settings.bwrap,
                    python=self._settings.python,
                )
            )
            self._maker.premises = self._premises
        if self._keeper is None:
            self._keeper = self._keep(self._premises)
        return self._keeper

    def _lacking(self, requirement: Requirement) -> str | None:
        assert self._premises is not None, "it is prepared"
        return self._premises.lacking(requirement)

    def _keep(self, premises: Premises) -> Keeper:
        return Keeper(
            self._tasks,
            premises.estate,
            self._maker,
            Terms(
                uids=self._settings.uids,
                start_seconds=self._settings.start_seconds,
                call_seconds=self._settings.call_seconds,
                keep_free=self._settings.keep_free,
            ),
            enforced=premises.limits,
            take_uid=self._take_uid,
            new_token=self._new_token,
        )


class _Bwrap:
    """The `Maker` of sandboxes that need nothing but bwrap."""

    def __init__(self, spawner: Spawner) -> None:
        self.premises: Premises | None = None
        """Set before anything else is asked."""
        self._spawner = spawner

    async def give_birth(self, layer: Layer, spec: SandboxSpec, token: str) -> Newborn:
        assert self.premises is not None
        return await give_birth(self.premises, self._spawner, layer, spec, token)

    def explain(self, complaints: str) -> str:
        return diagnosis.explain(complaints)

    async def clear(self, names: Collection[str]) -> None:
        if self.premises is not None and self.premises.cgroups is not None:
            await anyio.to_thread.run_sync(_clear_groups, self.premises.cgroups, names)


def _clear_groups(cgroups: Cgroups, names: Collection[str]) -> None:
    for name in cgroups.names():
        if name not in names:
            group = cgroups.group(name)
            group.kill()
            group.remove()
    ruins.clear(cgroups.name, cgroups.parents.values())
