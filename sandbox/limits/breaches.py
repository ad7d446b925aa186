"""Limits that a sandbox has reached: noticed by the kernel or from outside, told once.

The words are for the model that works inside: which limit, what was done, what to do.
"""

import threading
from collections.abc import Sequence

from sandbox.contract import Breach, Limits
from sandbox.limits import inmates
from sandbox.limits.group import Group
from sandbox.spawn import Process

_FULL = 0.9
"""The share of its processes at which a sandbox has no room for a shell that works."""
_UNITS = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("bytes", 1))


class Breaches:
    """What one sandbox has reached since it was last asked."""

    def __init__(self, group: Group, limits: Limits) -> None:
        self.limits = limits
        self._counters = group.counters()
        self._counted = [counter.read() for counter in self._counters]
        self._told: dict[str, Breach] = {}
        self.acting = threading.Lock()
        """Held while something is done about a breach: what starts then would be killed too."""

    def add(self, limit: str, text: str) -> None:
        """Remember a breach; the last text for a limit wins."""
        self._told[limit] = Breach(limit, text)

    def look(self) -> None:
        """Read the kernel's counts, while the control group is still there."""
        for place, counter in enumerate(self._counters):
            number = counter.read()
            if number > self._counted[place]:
                self.add(counter.limit, _TEXTS[counter.limit](self.limits))
            self._counted[place] = number

    @property
    def settled(self) -> bool:
        """Whether nothing has to be done before the next call."""
        return not self.acting.locked() and "processes" not in self._told

    def settle(self, first: Process) -> None:
        """Wait until everything is done about them, so that the next call may come; blocks."""
        with self.acting:
            if "processes" in self._told:
                self._make_room(first)

    def take(self) -> Sequence[Breach]:
        """Everything that has not been taken yet, one for each limit."""
        told, self._told = self._told, {}
        return tuple(told.values())

    def _make_room(self, first: Process) -> None:
        """Kill all but the first process, if they still fill their limit."""
        namespace = inmates.namespace_inside(first)
        if namespace is None:
            return
        crowd = inmates.census().get(namespace, ())
        if inmates.count_tasks(crowd) < _FULL * self.limits.processes:
            return
        inmates.kill_others(first, namespace)
        self.add("processes", cleared_text(self.limits))


def memory_text(limits: Limits) -> str:
    return (
        f"memory limit of {size(limits.memory)} reached: the largest process was killed "
        "(files in /tmp count too)"
    )


def processes_text(limits: Limits) -> str:
    return f"limit of {limits.processes} processes and threads reached: no more could be started"


def cleared_text(limits: Limits) -> str:
    return f"limit of {limits.processes} processes and threads reached: all of them were stopped"


def disk_text(limits: Limits) -> str:
    return (
        f"disk limit of {size(limits.disk)} reached: all processes were stopped; "
        "delete files before you write more"
    )


def files_text(limits: Limits) -> str:
    return (
        f"limit of {limits.files} files and directories reached: all processes were stopped; "
        "delete some before you make more"
    )


def depth_text(depth: int) -> str:
    return (
        f"limit of {depth} nested directories reached: all processes were stopped; "
        "delete the innermost ones"
    )


def reserve_text() -> str:
    return (
        "the disk of this machine is nearly full: all processes were stopped because they wrote; "
        "delete files, or try again later"
    )


def size(number: int) -> str:
    """Bytes for people: ``2 GiB``, ``1.5 MiB``."""
    unit, factor = next(each for each in _UNITS if number >= each[1] or each[1] == 1)
    return f"{number / factor:.4g} {unit}"


_TEXTS = {"memory": memory_text, "processes": processes_text}
