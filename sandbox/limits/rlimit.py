"""Resource limits: what the kernel bounds for each process or user without control groups."""

import os
import resource
from contextlib import suppress

from sandbox.contract import Limits

_SPARE = 64
"""So many processes later the user's own count stops them, which nobody is told of."""
_NO_CORE = 1
"""With 0 a program that crashes inside would still be piped to the host's core handler, as root."""
_USER_NAMESPACE_COUNTS = (5, 14)
"""Since this kernel, RLIMIT_NPROC counts within a user namespace, not the whole host's user."""


def rlimits(limits: Limits, *, own_uid: bool, grouped: bool) -> list[tuple[int, int]]:
    """The resource limits to set before the start.

    The process count only with a user id of its own: it would count the gateway's otherwise.
    When it is `grouped`, a control group counts the same, and comes first.
    """
    wanted = [
        (resource.RLIMIT_CORE, _NO_CORE),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_size),
    ]
    if own_uid:
        return [*wanted, (resource.RLIMIT_NPROC, limits.processes + _SPARE * grouped)]
    return [(kind, _lower(value, resource.getrlimit(kind)[1])) for kind, value in wanted]


def limit_processes(pid: int, limits: Limits) -> None:
    """Bound the processes of a started sandbox that shares the gateway's user id.

    `pid` is its first process. Set from outside, now that it lives in a user namespace of its
    own, the limit counts that namespace alone.
    """
    with suppress(OSError):  # it may just have died, which others notice
        resource.prlimit(pid, resource.RLIMIT_NPROC, (limits.processes, limits.processes))


def counts_by_namespace() -> bool:
    """Whether this kernel counts processes for each user namespace."""
    release = os.uname().release.split(".")
    return tuple(int(part) for part in release[:2]) >= _USER_NAMESPACE_COUNTS


def _lower(value: int, hard: int) -> int:
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
