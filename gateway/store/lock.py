"""The lock on a data directory: one gateway at a time, proven by the kernel.

The lock goes when its process dies, however it dies, so holding it proves that nobody else runs
sessions from this directory.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import StartError


@contextmanager
def locked(directory: Path) -> Generator[None]:
    """Hold the lock on `directory`; its file says which process does.

    Raises:
        StartError: Another process holds it.
        OSError: The file cannot be made.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, directory)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        raise StartError(f"{directory} is already served by pid {pid}") from error
