"""The processes inside a sandbox, seen from outside: how many, what memory they hold, their end.

They are known by their PID namespace, which none of them can leave. The kernel gives its number
to another as soon as the first process of a namespace is gone, so a number means something only
while that one lives. Everything here blocks and costs some microseconds for every process of this
machine; it belongs in a thread.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from sandbox.spawn import Process

Namespace: TypeAlias = tuple[int, int]
"""What no two PID namespaces have in common."""

_PAUSE = 0.01
_KILL_ROUNDS = 200
_MEMORY_DIRECTORIES = ("tmp", "dev/shm", "run")
_MAX_DESCRIPTORS = 4096
"""Of one process, to look at."""
_EACH_IN_FULL = ("status", "RssAnon", "RssShmem")
_SHARED_ONCE = ("smaps_rollup", "Pss_Anon", "Pss_Shmem")
"""A file of ``/proc/PID``, and where it tells private and shared memory, in KiB."""


def namespace_inside(first: Process) -> Namespace | None:
    """The PID namespace of a sandbox by its first process; None if that is not inside, or gone."""
    namespace = _namespace_of(first.pid)
    return None if namespace == _namespace_of(os.getpid()) or first.exited else namespace


def census() -> Mapping[Namespace, Sequence[int]]:
    """Every living process that may be looked at, by namespace, oldest first."""
    found: dict[Namespace, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are enough
        if name.isdigit() and (namespace := _namespace_of(int(name))) is not None:
            found.setdefault(namespace, []).append(int(name))
    return found


def count_tasks(pids: Iterable[int]) -> int:
    """How many threads they have together: what limits of processes count."""
    return sum(int(_lines(pid, "status").get("Threads", "0")) for pid in pids)


def memory_of(pid: int) -> int:
    """Bytes that go away with the process; what it shares with others counts in full."""
    return sum(_amounts(pid, *_EACH_IN_FULL))


def memory(first: int, pids: Sequence[int], *, exactly: bool) -> int:
    """Bytes of memory a sandbox takes, with its memory files and directories.

    `first` is its first process. Exactly means that shared pages count once, which takes the
    kernel a while; otherwise the answer may be too high, never too low. A memory file that no
    process has open or mapped, because it is on its way through a socket, is not seen.
    """
    view = _SHARED_ONCE if exactly else _EACH_IN_FULL
    held = [_amounts(pid, *view) for pid in pids]
    files: dict[tuple[int, int], int] = {}
    for pid in pids:
        files |= _memory_files(pid)
    private, shared = sum(each[0] for each in held), sum(each[1] for each in held)
    return private + max(shared, sum(files.values()) + _memory_directories(first))


def kill_others(first: Process, namespace: Namespace) -> None:
    """Kill every process of a sandbox but the first; that too, if new ones come without end.

    Returns when they are gone, or after two seconds.
    """
    killed: set[int] = set()
    fresh: set[int] = set()
    for _ in range(_KILL_ROUNDS):
        crowd = census().get(namespace, ())
        others = {pid for pid in crowd if pid != first.pid and _lives(pid)}
        if not others:
            return
        for pid in others:
            kill(pid, first, namespace)
        fresh = others - killed
        killed |= others
        time.sleep(_PAUSE)
    if fresh:
        first.kill()


def kill(pid: int, first: Process, namespace: Namespace) -> None:
    """Kill a process, unless it is not in the namespace of `first`."""
    try:
        process = Process(pid, os.pidfd_open(pid))
    except OSError:
        return
    # Held now, so it stays the one that is looked at; and `first` still stands for its namespace
    # if it is alive afterwards.
    if _namespace_of(pid) == namespace and not first.exited:
        process.kill()
    process.close()


def _namespace_of(pid: int) -> Namespace | None:
    try:
        status = os.stat(f"/proc/{pid}/ns/pid")  # noqa: PTH116 - the link is the kernel's own
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _lives(pid: int) -> bool:
    state = _lines(pid, "status").get("State", "X")
    return state[0] not in "ZX"


def _amounts(pid: int, file: str, private: str, shared: str) -> tuple[int, int]:
    lines = _lines(pid, file)
    return _kibibytes(lines.get(private)), _kibibytes(lines.get(shared))


def _kibibytes(text: str | None) -> int:
    return 1024 * int(text.split()[0]) if text else 0


def _lines(pid: int, file: str) -> Mapping[str, str]:
    """The lines ``NAME: VALUE`` of a file of ``/proc/PID``; none if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _memory_files(pid: int) -> dict[tuple[int, int], int]:
    """The memory files that a process has open, and what each takes."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")[:_MAX_DESCRIPTORS]  # noqa: PTH208 - names are enough
    except OSError:
        return {}
    found: dict[tuple[int, int], int] = {}
    for name in names:
        link = f"/proc/{pid}/fd/{name}"
        with suppress(OSError):
            if os.readlink(link).startswith("/memfd:"):  # noqa: PTH115 - the kernel's own words
                status = os.stat(link)  # noqa: PTH116 - of what is open there
                found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return found


def _memory_directories(first: int) -> int:
    """What is in the directories that are memory; nothing inside can replace them."""
    total = 0
    for name in _MEMORY_DIRECTORIES:
        with suppress(OSError):
            status = os.statvfs(f"/proc/{first}/root/{name}")
            total += (status.f_blocks - status.f_bfree) * status.f_frsize
    return total
