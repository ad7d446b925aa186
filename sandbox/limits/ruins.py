"""Control groups of a killed gateway, in places where the next one makes none.

A gateway's groups are below the group that it runs in. A service that is started again is often put
into another group, and then those of the killed one are left elsewhere; the kernel never removes
them. They are known by their name, which says whose data directory they belong to.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from sandbox.contract import SandboxError
from sandbox.limits.group import CONTROLLERS, Group, read_mounts


def clear(name: str, own: Collection[Path], *, proc: Path = Path("/proc")) -> None:
    """Remove every group of that name, with all that is in it, but for our `own`; blocks.

    What still runs in one is killed first; what is not to be removed stays until the next time.
    """
    for place in _find(name, proc):
        if place not in own:
            inner = [child for child in place.iterdir() if child.is_dir()]
            for group in (Group((each,)) for each in (*inner, place)):
                group.kill()
                with suppress(SandboxError):
                    group.remove()


def _find(name: str, proc: Path) -> Iterator[Path]:
    try:
        mounts = read_mounts((proc / "self/mountinfo").read_text())
    except OSError:
        return
    for controller in (*CONTROLLERS, ""):
        if controller in mounts:
            top, _ = mounts[controller]
            for directory, names, _ in os.walk(top):
                if name in names:
                    names.remove(name)
                    yield Path(directory, name)
