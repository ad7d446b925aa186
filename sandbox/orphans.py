"""Processes that still live on a layer, though the gateway that started them is gone.

The kernel ends a sandbox with its gateway; this is for what a hostile program or an accident kept
alive. A process is recognised by what it cannot change: the directory mounted at its
``/workspace``.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from sandbox.layer import MOUNTS, Layer
from sandbox.spawn import Process

_KILL_SECONDS = 10.0


def kill_inside(layers: Iterable[Layer]) -> int:
    """Kill every process that has one of `layers` mounted, and wait; returns how many."""
    found = find_inside(layers)
    for process in found:
        process.kill()
    for process in found:
        process.join(_KILL_SECONDS)
        process.close()
    return len(found)


def find_inside(layers: Iterable[Layer]) -> list[Process]:
    """Hold on to every process that has one of `layers` mounted; the caller closes them."""
    marks = {_mark(layer.path / "workspace") for layer in layers} - {None}
    if not marks:
        return []
    found: list[Process] = []
    for place in Path("/proc").iterdir():
        workspace = Path(f"{place}/root{MOUNTS['workspace']}")
        if not place.name.isdigit() or _mark(workspace) not in marks:
            continue
        try:
            process = Process(int(place.name), os.pidfd_open(int(place.name)))
        except ProcessLookupError:
            continue
        if _mark(workspace) in marks:  # still the same process, now that it is held
            found.append(process)
        else:
            process.close()
    return found


def _mark(directory: Path) -> tuple[int, int] | None:
    """The identity of a directory that no two have; None if it cannot be looked at."""
    try:
        status = directory.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
