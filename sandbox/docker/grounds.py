"""What the docker driver stands on: an engine on this host, and the driver's own directories.

Found out and prepared once, before the first container.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import anyio
import anyio.to_thread

from sandbox.bundle import bundle
from sandbox.contract import Enforcement, Requirement, Unavailable
from sandbox.docker.engine import About, Engine
from sandbox.docker.recipe import Fittings
from sandbox.estate import Estate
from sandbox.layer import usable_root
from sandbox.limits.group import Cgroups, Controller, enforcement
from sandbox.premises import install
from sandbox.view import make_etc

Runtime: TypeAlias = Literal["auto", "runc", "runsc"]

_ENFORCED_BY: Mapping[Requirement, str] = {
    "memory": "memory",
    "processes": "processes",
    "cpu": "cpus",
    "disk": "disk",
}
_SHARED_KERNEL = (
    "containers of runc share this machine's kernel: install gVisor (runsc) and list it under "
    '"runtimes" in the engine\'s daemon.json'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """An engine on which containers can be started, as far as one can tell without starting one."""

    about: About
    estate: Estate
    fittings: Fittings
    watched: bool = True
    """Whether the watchdog can see what it has to."""

    @property
    def isolation(self) -> str:
        """What stands between a program inside and this machine."""
        if self.fittings.runtime == "runsc":
            return "containers of gVisor: a kernel of their own, in a process without privileges"
        return (
            "containers: Linux namespaces, a system call filter, no capability; "
            "the kernel is shared"
        )

    @property
    def limits(self) -> Mapping[str, Enforcement]:
        """What enforces each field of `Limits`."""
        counted: dict[Controller, bool] = {
            "memory": self.about.memory,
            "pids": self.about.processes,
            "cpu": self.about.cpu,
        }
        return enforcement(
            Cgroups(
                "cgroup-v2" if self.about.cgroup == "2" else "cgroup-v1",
                {controller: Path() for controller, there in counted.items() if there},
            ),
            own_uid=self.estate.own_uid,
            watched=self.watched,
        )

    def lacking(self, requirement: Requirement) -> str | None:
        """Why a requirement cannot be honoured, as a sentence; None if it can."""
        if requirement == "kernel_isolation":
            return None if self.fittings.runtime == "runsc" else _SHARED_KERNEL
        if requirement == "own_uid":
            if self.estate.own_uid:
                return None
            return "all sandboxes run under this user's id: run the gateway as root"
        if self.limits[_ENFORCED_BY[requirement]] != "none":
            return None
        return f"{requirement} is not limited: the engine's host has no control group for it"

    def notes(self) -> tuple[str, ...]:
        """What is not enforced here, each with the remedy."""
        wanted: tuple[Requirement, ...] = ("own_uid", *_ENFORCED_BY)
        notes = [note for note in map(self.lacking, wanted) if note is not None]
        if "seccomp" not in self.about.security:
            notes.append("system calls are not filtered: use an engine and a kernel with seccomp")
        return tuple(notes)


async def prepare(
    engine: Engine, *, data_dir: Path, program: Path | None, python: Path, runtime: Runtime
) -> Grounds:
    """Ask the engine what it is, and make the directories.

    Raises:
        Unavailable: It is of no use; the message says what to do.
    """
    about = await engine.about()
    if "rootless" in about.security:
        raise Unavailable(
            "a rootless engine gives containers user ids that own nothing here: use the engine of "
            'this machine, or sandbox.driver = "bubblewrap", which needs no root'
        )
    chosen = _choose(about, runtime)
    try:
        return await anyio.to_thread.run_sync(_prepare, about, chosen, data_dir, program, python)
    except OSError as error:
        raise Unavailable(f"cannot prepare directories for sandboxes: {error}") from error


def _choose(about: About, runtime: Runtime) -> str:
    wanted = ("runsc", "runc") if runtime == "auto" else (runtime,)
    for name in wanted:
        if name in about.runtimes:
            return name
    listed = ", ".join(sorted(about.runtimes))
    raise Unavailable(
        f"the container engine has no runtime {wanted[-1]} (it lists {listed}): add it under "
        '"runtimes" in its daemon.json'
    )


def _prepare(
    about: About, runtime: str, data_dir: Path, program: Path | None, python: Path
) -> Grounds:
    estate = Estate(root=usable_root(data_dir), own_uid=os.geteuid() == 0)
    estate.make()
    etc, empty = estate.runtime / "etc", estate.runtime / "empty"
    for place in (etc, empty):
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
    make_etc(etc)
    digest = hashlib.blake2b(os.fsencode(estate.root), digest_size=8).hexdigest()
    return Grounds(
        about=about,
        estate=estate,
        fittings=Fittings(
            estate=digest,
            program=install(program, estate.runtime) if program else bundle(python, estate.runtime),
            etc=etc,
            empty=empty,
            runtime=runtime,
            own_uid=estate.own_uid,
            remapped="userns" in about.security,
        ),
    )
