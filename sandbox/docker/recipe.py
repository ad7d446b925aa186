"""What a container of ours is, in the words of an engine's API: every wall of it is here.

No network, no capability, no new privileges, no devices but the plain ones, our system call
filter, a read-only root, sized memory directories, limits, and as little of ``/proc`` and ``/sys``
as programs can do with. What shows inside is the same as in every other sandbox (`sandbox.view`),
at the same places; only the number of the user is the host's.
"""

import resource
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.contract import UPLOADS, Limits, SandboxSpec
from sandbox.docker import console, profile
from sandbox.layer import MEMORY, MOUNTS, Layer
from sandbox.limits.rlimit import rlimits
from sandbox.porch import Porch
from sandbox.view import (
    ENVIRONMENT,
    ETC,
    HIDDEN_PROC,
    MEMORY_DIRECTORIES,
    PROGRAM,
    SOCKET,
    START,
    accounts,
)

ESTATE_LABEL = "wharfkeep.estate"
"""Which gateway a container belongs to."""

_PYTHON = "/usr/bin/python3"
_GATEWAY = str(Path(SOCKET).parent)
_PERIOD = 100_000
_OOM_SCORE = 500
"""When memory runs out, a sandbox goes before anything else of this machine."""
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys",
    *(f"/proc/{name}" for name in HIDDEN_PROC),
)
_ULIMITS = {
    resource.RLIMIT_CORE: "core",
    resource.RLIMIT_NOFILE: "nofile",
    resource.RLIMIT_FSIZE: "fsize",
    resource.RLIMIT_NPROC: "nproc",
}
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fittings:
    """What all containers of one driver have in common."""

    estate: str
    """The value of `ESTATE_LABEL`."""
    program: Path
    etc: Path
    """A directory with the files of `sandbox.view.ETC`."""
    empty: Path
    """A directory with nothing in it, that nobody inside can write to."""
    runtime: str
    own_uid: bool
    remapped: bool
    """The engine gives containers other user ids, unless told not to."""
    cores: bool = True
    """The engine may set a limit of core files; without, it was itself started with none."""

    @property
    def proxies(self) -> Collection[int]:
        """Users of this host who dial on behalf of a container: gVisor's file server is root."""
        return (0,) if self.runtime == "runsc" else ()


def recipe(
    fittings: Fittings, layer: Layer, porch: Porch, image: str, spec: SandboxSpec
) -> Mapping[str, Any]:
    """The body of the request that creates the container.

    The porch is the sandbox's, and `furnish` has seen its sockets.
    """
    return {
        "Image": image,
        "Entrypoint": [],
        "Cmd": [
            *(_PYTHON, "-I", "-S", "-c", console.START + START),
            *(f"{_GATEWAY}/{console.NAME}", PROGRAM, "--socket", SOCKET, *spec.arguments),
        ],
        "User": f"{layer.uid}:{layer.uid}",
        "Hostname": "sandbox",
        "WorkingDir": MOUNTS["workspace"],
        "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
        "Labels": {ESTATE_LABEL: fittings.estate},
        "HostConfig": {
            **_isolation(fittings),
            **_bounds(spec.limits, fittings),
            "Tmpfs": _tmpfs(layer.uid, spec.limits),
            "Mounts": [_bind(*each) for each in _mounts(fittings, layer, porch, spec)],
        },
    }


def furnish(sockets: Path, layer: Layer) -> None:
    """Write beside the sockets of a sandbox what differs from one to the next; blocks."""
    for name, text in accounts(layer.uid).items():
        (sockets / name).write_text(text)
        (sockets / name).chmod(0o644)


def _isolation(fittings: Fittings) -> Mapping[str, Any]:
    return {
        "NetworkMode": "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={profile.document()}"],
        "ReadonlyRootfs": True,
        "MaskedPaths": list(_MASKED),
        "ReadonlyPaths": list(_READ_ONLY),
        "Runtime": fittings.runtime,
        "UsernsMode": "host" if fittings.remapped else "",
        "LogConfig": {"Type": "none"},
        "RestartPolicy": {"Name": "no"},
        "OomScoreAdj": _OOM_SCORE,
    }


def _bounds(limits: Limits, fittings: Fittings) -> Mapping[str, Any]:
    return {
        "Memory": limits.memory,
        "MemorySwap": limits.memory,
        "PidsLimit": limits.processes,
        "CpuPeriod": _PERIOD,
        "CpuQuota": int(limits.cpus * _PERIOD),
        "ShmSize": limits.tmp,
        "Ulimits": [
            {"Name": _ULIMITS[kind], "Soft": value, "Hard": value}
            for kind, value in rlimits(limits, own_uid=fittings.own_uid, grouped=True)
            if fittings.cores or kind != resource.RLIMIT_CORE
        ],
    }


def _tmpfs(uid: int, limits: Limits) -> Mapping[str, str]:
    return {
        place: f"rw,exec,nosuid,nodev,size={limits.tmp},mode={mode},uid={uid},gid={uid}"
        for place, mode in MEMORY_DIRECTORIES.items()
        if place != "/dev/shm"  # noqa: S108 - inside; the engine makes that one
    }


def _mounts(
    fittings: Fittings, layer: Layer, porch: Porch, spec: SandboxSpec
) -> Sequence[tuple[Path, str, bool]]:
    """Source, target, and whether it is writable."""
    mounts = [(layer.path / name, place, True) for name, place in MOUNTS.items()]
    mounts += [(fittings.program, PROGRAM, False)]
    mounts += [(porch.sockets, _GATEWAY, False), (porch.uploads, UPLOADS, False)]
    for name in ETC:
        source = (porch.sockets if name in accounts(layer.uid) else fittings.etc) / name
        mounts.append((source, f"/etc/{name}", False))
    if not any(Path(mount.target).is_relative_to(MEMORY) for mount in spec.mounts):
        mounts.append((fittings.empty, MEMORY, False))
    return mounts + [(mount.source, mount.target, mount.writable) for mount in spec.mounts]


def _bind(source: Path, target: str, writable: bool) -> Mapping[str, Any]:
    return {
        "Type": "bind",
        "Source": str(source),
        "Target": target,
        "ReadOnly": not writable,
        "BindOptions": {"Propagation": "rprivate"},
    }
