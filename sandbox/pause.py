"""All processes of one sandbox, stopped where they are and let go on, from outside.

Under version 2 of control groups the kernel does it. Elsewhere each gets SIGSTOP: the freezer of
version 1 would hold processes that then cannot even be killed, so those of a gateway that was
killed itself would stay for ever. Everything here blocks; it belongs in a thread.
"""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sandbox.contract import SandboxError
from sandbox.limits.group import Group
from sandbox.limits.inmates import Namespace, census, namespace_inside
from sandbox.spawn import Process

_ROUNDS = 200
_PAUSE = 0.005


def stop(first: Process, group: Group) -> None:
    """Stop every process of the sandbox whose first process is `first`.

    Raises:
        SandboxError: One cannot be stopped; all of them run on.
    """
    if group.freeze():
        return
    quiet = 0
    for _ in range(_ROUNDS):
        running = [pid for pid in inside(first, group) if not _is_stopped(pid)]
        # What was started during a look, by a process that has since been stopped, is only seen
        # by the next.
        quiet = 0 if running else quiet + 1
        if quiet > 1:
            return
        _send(running, signal.SIGSTOP, first)
        if running:
            time.sleep(_PAUSE)
    resume(first, group)
    raise SandboxError("a process in the sandbox does not stop")


def resume(first: Process, group: Group) -> None:
    """Let every process go on."""
    if not group.thaw():
        _send(inside(first, group), signal.SIGCONT, first)


def inside(first: Process, group: Group) -> Sequence[int]:
    """Every process of the sandbox; none if `first` is gone."""
    namespace = namespace_inside(first)
    if namespace is None:
        return ()
    pids = group.pids()  # quicker than a look at all processes of the machine
    if not pids:
        return census().get(namespace, ())
    return [pid for pid in pids if _is_inside(pid, namespace)]


def _send(pids: Sequence[int], number: signal.Signals, first: Process) -> None:
    namespace = namespace_inside(first)
    for pid in pids:
        with suppress(ProcessLookupError):
            held = os.pidfd_open(pid)
            try:
                # Held now, so it stays the one that is looked at.
                if namespace is not None and _is_inside(pid, namespace) and not first.exited:
                    signal.pidfd_send_signal(held, number)
            finally:
                os.close(held)


def _is_inside(pid: int, namespace: Namespace) -> bool:
    try:
        status = os.stat(f"/proc/{pid}/ns/pid")  # noqa: PTH116 - the link is the kernel's own
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == namespace


def _is_stopped(pid: int) -> bool:
    """Whether a process does nothing any more, for now or for ever."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in "TtZX"
