"""A tree that programs in a sandbox wrote, made fit to be shown read-only to other sandboxes.

It was written by an enemy, of whom no process may be left: nothing here follows a link. Afterwards
everything belongs to the gateway's user, everybody may read it, and all that is left are
directories, regular files and symbolic links, which lead wherever they lead inside.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from sandbox.contract import SandboxError

MAX_DEPTH = 200
MAX_ENTRIES = 2_000_000

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Unfit(SandboxError):
    """The tree is too deep or has too many entries."""


@dataclass(slots=True)
class _Count:
    entries: int = 0

    def add(self, depth: int) -> None:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise Unfit(f"there are more than {MAX_ENTRIES} files")
        if depth > MAX_DEPTH:
            raise Unfit(f"directories are nested more than {MAX_DEPTH} deep")


def seal(tree: Path) -> None:
    """Hand a tree over to this process's user, for everybody to read. Blocks.

    Raises:
        Unfit: It is not one anybody would install on purpose.
        OSError: The disk failed.
    """
    os.chown(tree, os.geteuid(), os.getegid(), follow_symlinks=False)
    top = os.open(tree, _DIRECTORY)
    try:
        os.fchmod(top, 0o755)
        _seal(top, _Count(), 1)
    finally:
        os.close(top)


def _seal(directory: int, count: _Count, depth: int) -> None:
    for name in os.listdir(directory):
        count.add(depth)
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            _take(directory, name, 0o755)
            opened = os.open(name, _DIRECTORY, dir_fd=directory)
            try:
                _seal(opened, count, depth + 1)
            finally:
                os.close(opened)
        elif stat.S_ISREG(mode):
            _take(directory, name, 0o755 if mode & 0o100 else 0o644)
        elif stat.S_ISLNK(mode):
            os.chown(name, *_us(), dir_fd=directory, follow_symlinks=False)
        else:
            os.unlink(name, dir_fd=directory)


def _take(directory: int, name: str, mode: int) -> None:
    """Own an entry that is not a link; nobody is left who could put one in its place."""
    os.chown(name, *_us(), dir_fd=directory, follow_symlinks=False)
    os.chmod(name, mode, dir_fd=directory)


def _us() -> tuple[int, int]:
    return os.geteuid(), os.getegid()
