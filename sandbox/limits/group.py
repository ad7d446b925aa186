"""What bounds a sandbox: control groups where this machine lets us make them, else rlimits.

Which is found by trying: a group is made, limited and removed before anything is promised. The
groups are below the gateway's own, so whatever bounds the gateway bounds its sandboxes too. What
neither can bound is for `sandbox.limits.watchdog`.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from sandbox.contract import Enforcement, Limits, SandboxError
from sandbox.limits.rlimit import counts_by_namespace

Controller: TypeAlias = Literal["memory", "pids", "cpu"]
CONTROLLERS: Sequence[Controller] = ("memory", "pids", "cpu")

_PERIOD = 100_000
"""Microseconds over which processor time is counted."""
_OWN_LEAF = "gateway"
_REFUSALS = (
    ("memory", "memory.events", "oom_kill"),
    ("memory", "memory.oom_control", "oom_kill"),
    ("processes", "pids.events", "max"),
)
"""Field of `Limits`, the file that counts when it was enforced, and the word in it."""
_REMOVE_SECONDS = 2.0
_FREEZE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """The control groups of one sandbox: one directory, or one for each controller in version 1."""

    directories: tuple[Path, ...]

    def enter(self, pid: int) -> None:
        """Put a process in, with all its threads and whatever it will start; blocks.

        The first move in a while waits some ten milliseconds for all processors.

        Raises:
            OSError: It has ended, or the kernel refuses.
        """
        for directory in self.directories:
            (directory / "cgroup.procs").write_text(str(pid))

    def pids(self) -> list[int]:
        """The processes inside that this process can see; none where there are no groups."""
        for directory in self.directories:
            with suppress(OSError):
                pids = map(int, (directory / "cgroup.procs").read_text().split())
                return [pid for pid in pids if pid > 1]
        return []

    def freeze(self) -> bool:
        """Stop every process inside; blocks. False where that is not to be had, as in version 1.

        Raises:
            SandboxError: Not all of them have stopped after a second; none has.
        """
        if not self._set_frozen("1"):
            return False
        end = time.monotonic() + _FREEZE_SECONDS
        while not self._is_frozen():
            if time.monotonic() > end:
                self.thaw()
                raise SandboxError("a process does not stop")
            time.sleep(0.002)
        return True

    def thaw(self) -> bool:
        """Let every process inside go on. False where there was nothing to stop them with."""
        return self._set_frozen("0")

    def _set_frozen(self, state: str) -> bool:
        for directory in self.directories:
            with suppress(OSError):
                (directory / "cgroup.freeze").write_text(state)
                return True
        return False

    def _is_frozen(self) -> bool:
        for directory in self.directories:
            with suppress(OSError):
                return "frozen 1" in (directory / "cgroup.events").read_text()
        return False

    def kill(self) -> None:
        """Kill every process inside; for version 1, those that are there at this moment."""
        for directory in self.directories:
            with suppress(OSError):
                (directory / "cgroup.kill").write_text("1")
                continue
            with suppress(OSError):
                for pid in (directory / "cgroup.procs").read_text().split():
                    if int(pid) > 1:  # 0 is a process that this PID namespace cannot see
                        os.kill(int(pid), signal.SIGKILL)

    def counters(self) -> Sequence["Counter"]:
        """Where the kernel counts how often it enforced a limit; empty where it does not."""
        return [
            Counter(limit, directory / file, word)
            for directory in self.directories
            for limit, file, word in _REFUSALS
            if (directory / file).exists()
        ]

    def remove(self) -> None:
        """Remove the groups once the last process has left them; blocks for a moment.

        Raises:
            SandboxError: Processes are still there after two seconds.
        """
        end = time.monotonic() + _REMOVE_SECONDS
        for directory in self.directories:
            while directory.exists():
                try:
                    directory.rmdir()
                except OSError as error:
                    if time.monotonic() > end:
                        raise SandboxError(f"cannot remove {directory}: {error}") from error
                    time.sleep(0.002)


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that the kernel keeps in a file of a control group."""

    limit: str
    """The field of `Limits` that it tells of."""
    file: Path
    word: str

    def read(self) -> int:
        """The number now; 0 when the group is gone."""
        with suppress(OSError):
            for line in self.file.read_bytes().decode().splitlines():
                name, _, number = line.partition(" ")
                if name == self.word:
                    return int(number)
        return 0


@dataclass(frozen=True, slots=True)
class Cgroups:
    """A place to make control groups in."""

    kind: Literal["cgroup-v2", "cgroup-v1"]
    parents: Mapping[Controller, Path]
    """Under version 2 the same directory for each controller."""

    @property
    def name(self) -> str:
        """Of the place itself, under every controller."""
        return next(iter(self.parents.values())).name

    def make(self, name: str, limits: Limits) -> Group:
        """Make and limit the groups of a sandbox.

        Raises:
            OSError: The kernel refuses; nothing is left behind.
        """
        group = self.group(name)
        try:
            for directory in group.directories:
                directory.mkdir(exist_ok=True)
            for controller, parent in self.parents.items():
                _limit(parent / name, self.kind, controller, limits)
        except OSError:
            group.remove()
            raise
        return group

    def group(self, name: str) -> Group:
        """The groups of that name, whether they are there or not."""
        parents = dict.fromkeys(self.parents.values())
        return Group(tuple(parent / name for parent in parents))

    def close(self) -> None:
        """Remove the place, unless something is left in it."""
        for parent in set(self.parents.values()):
            with suppress(OSError):
                parent.rmdir()

    def names(self) -> list[str]:
        """Every group there is, also those of earlier processes."""
        found = {
            child.name
            for parent in self.parents.values()
            for child in parent.iterdir()
            if child.is_dir()
        }
        return sorted(found)


def find(name: str, *, proc: Path = Path("/proc")) -> Cgroups | None:
    """Make a directory `name` below the gateway's own control group, and try it.

    May move this process into a group beside it: version 2 allows no processes in a group whose
    children have limits. None when there is no control group this process may divide.
    """
    try:
        mounts = read_mounts((proc / "self/mountinfo").read_text())
        own = _own_groups((proc / "self/cgroup").read_text())
    except OSError:
        return None
    if "" in mounts and "" in own and (found := _find_v2(_inside(mounts[""], own[""]), name)):
        return found
    return _find_v1(mounts, own, name)


def group_of(pid: int, *, proc: Path = Path("/proc")) -> Group:
    """The control groups that somebody else put a process in, and removes; empty if not seen."""
    try:
        mounts = read_mounts((proc / "self/mountinfo").read_text())
        own = _own_groups((proc / str(pid) / "cgroup").read_text())
    except OSError:
        return Group(())
    found = {
        _inside(mounts[each], own[each]): None
        for each in (*CONTROLLERS, "")
        if each in own and each in mounts
    }
    return Group(tuple(place for place in found if (place / "cgroup.procs").exists()))


def enforcement(
    cgroups: Cgroups | None, *, own_uid: bool, watched: bool = True
) -> dict[str, Enforcement]:
    """Say for each field of `Limits` what enforces it; `watched` if the watchdog can see."""
    kind: Enforcement = "none" if cgroups is None else cgroups.kind
    parents = {} if cgroups is None else cgroups.parents
    counted = own_uid or counts_by_namespace()
    seen: Enforcement = "watchdog" if watched else "none"
    return {
        "memory": kind if "memory" in parents else seen,
        "processes": kind if "pids" in parents else "rlimit" if counted else seen,
        "cpus": kind if "cpu" in parents else "none",
        "open_files": "rlimit",
        "file_size": "rlimit",
        "tmp": "tmpfs",
        "disk": seen,
        "files": seen,
        "output": "tool server",
    }


def _limit(group: Path, kind: str, controller: Controller, limits: Limits) -> None:
    table = _v2_values if kind == "cgroup-v2" else _v1_values
    for number, (file, value) in enumerate(table(controller, limits).items()):
        path = group / file
        if number and not path.exists():
            continue  # the first is the limit itself; swap accounting may be switched off
        path.write_text(str(value))


def _v2_values(controller: Controller, limits: Limits) -> Mapping[str, object]:
    return {
        "memory": {"memory.max": limits.memory, "memory.swap.max": 0},
        "pids": {"pids.max": limits.processes},
        "cpu": {"cpu.max": f"{int(limits.cpus * _PERIOD)} {_PERIOD}"},
    }[controller]


def _v1_values(controller: Controller, limits: Limits) -> Mapping[str, object]:
    return {
        "memory": {
            "memory.limit_in_bytes": limits.memory,
            "memory.memsw.limit_in_bytes": limits.memory,
        },
        "pids": {"pids.max": limits.processes},
        "cpu": {
            "cpu.cfs_quota_us": int(limits.cpus * _PERIOD),
            "cpu.cfs_period_us": _PERIOD,
        },
    }[controller]


def read_mounts(mountinfo: str) -> dict[str, tuple[Path, str]]:
    """Controller, or ``""`` for version 2 -> where it is mounted and which group is its root."""
    found: dict[str, tuple[Path, str]] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        root, point = left.split()[3:5]
        kind, _, options = right.split(maxsplit=2)
        if kind == "cgroup2":
            found.setdefault("", (Path(point), root))
        elif kind == "cgroup":
            for controller in CONTROLLERS:
                if controller in options.split(","):
                    found.setdefault(controller, (Path(point), root))
    return found


def _own_groups(cgroup: str) -> dict[str, str]:
    """Controller, or ``""`` for version 2 -> this process's group."""
    found: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _inside(mount: tuple[Path, str], own: str) -> Path:
    """The directory of the group `own`, seen through `mount`."""
    point, root = mount
    return point / own.removeprefix(root.rstrip("/")).lstrip("/")


def _find_v1(
    mounts: Mapping[str, tuple[Path, str]], own: Mapping[str, str], name: str
) -> Cgroups | None:
    parents: dict[Controller, Path] = {}
    for controller in CONTROLLERS:
        if controller in mounts and controller in own:
            parent = _inside(mounts[controller], own[controller]) / name
            if _try(Cgroups("cgroup-v1", {controller: parent})):
                parents[controller] = parent
    return Cgroups("cgroup-v1", parents) if parents else None


def _find_v2(own: Path, name: str) -> Cgroups | None:
    base = own.parent if own.name == _OWN_LEAF else own
    try:
        there = (base / "cgroup.controllers").read_text().split()
        wanted: list[Controller] = [each for each in CONTROLLERS if each in there]
        if not wanted or not _divide(base, wanted):
            return None
        parent = base / name
        parent.mkdir(exist_ok=True)
        _enable(parent, wanted)
    except OSError:
        return None
    cgroups = Cgroups("cgroup-v2", dict.fromkeys(wanted, parent))
    return cgroups if _try(cgroups) else None


def _divide(base: Path, controllers: Sequence[Controller]) -> bool:
    """Let children of `base` have limits, moving this process out of the way if it must be."""
    try:
        _enable(base, controllers)
    except OSError:
        leaf = base / _OWN_LEAF
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text("0")
        try:
            _enable(base, controllers)
        except OSError:  # others live here too, so it is not ours to divide
            (base / "cgroup.procs").write_text("0")
            leaf.rmdir()
            return False
    return True


def _enable(group: Path, controllers: Sequence[Controller]) -> None:
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in controllers))


def _try(cgroups: Cgroups) -> bool:
    try:
        for parent in cgroups.parents.values():
            parent.mkdir(exist_ok=True)
        cgroups.make("probe", Limits()).remove()
    except (OSError, SandboxError):
        return False
    return True
