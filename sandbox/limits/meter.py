"""The small process that measures what sandboxes take up on disk.

It is run as a script, on its own and with low priority, by `sandbox.limits.quota`; it imports the
standard library alone. Why a process of its own: a walk over many files would hold up everything
else in the gateway.

One request is one line, ``{"path": TREE, "pids": [...], "bytes": N, "files": N}``: measure the
tree, and files that were deleted while one of the processes has them open, until there is more
than so much. The answer is ``{"bytes": N, "files": N, "deep": BOOL}``, or ``{"error": TEXT}``.

The tree is an enemy's, and changes while it is looked at. Every step goes from one open directory
to the next and never over a link; files are not opened at all.
"""

import json
import os
import resource
import stat
import sys
from contextlib import suppress
from pathlib import Path

MAX_DEPTH = 500
"""Directories below directories; each costs a descriptor while it is measured."""
_MAX_DESCRIPTORS = 100_000
"""Of other processes, to look at in one measurement."""
_BLOCK = 512


class _Enough(Exception):
    """There is more than was asked about: the answer is known."""


class Count:
    """What has been found so far: bytes that are really allocated, and names."""

    def __init__(self, most_bytes: int, most_files: int) -> None:
        self.bytes = 0
        self.files = 0
        self.deep = False
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._seen: set[tuple[int, int]] = set()

    def add(self, status: os.stat_result) -> None:
        """Count an entry; a file with several names takes its space only once."""
        self.files += 1
        several = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
        if not several or self._is_new(status):
            self.bytes += status.st_blocks * _BLOCK
        if self.bytes > self._most_bytes or self.files > self._most_files:
            raise _Enough

    def add_deleted(self, status: os.stat_result) -> None:
        """Count a file without a name."""
        if self._is_new(status):
            self.add(status)

    def _is_new(self, status: os.stat_result) -> bool:
        identity = status.st_dev, status.st_ino
        known = identity in self._seen
        self._seen.add(identity)
        return not known


def measure(path: str, pids: list[int], *, most_bytes: int, most_files: int) -> Count:
    """Measure a tree, and what its processes keep though it has no name any more.

    Raises:
        OSError: There is no such directory.
    """
    count = Count(most_bytes, most_files)
    with suppress(_Enough):
        _count_deleted(pids, os.lstat(path).st_dev, count)
        _walk(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC), count)
    return count


class _Directory:
    """An open directory, entered though it may be closed to its owner; left as it was."""

    def __init__(self, descriptor: int, closed_mode: int | None = None) -> None:
        self.descriptor = descriptor
        self._closed_mode = closed_mode
        self.directories: list[str] = []
        """Those in it that have not been entered yet."""

    def list(self, count: Count) -> None:
        """Count the entries."""
        with os.scandir(self.descriptor) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:  # it is gone again
                    continue
                count.add(status)
                if stat.S_ISDIR(status.st_mode):
                    self.directories.append(entry.name)

    def enter(self) -> "_Directory | None":
        """Open the next directory in it; None if it is not there any more."""
        name = self.directories.pop()
        flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            place = os.open(name, flags | os.O_PATH, dir_fd=self.descriptor)
        except OSError:
            return None
        try:
            return _open(place)
        except OSError:
            return None
        finally:
            os.close(place)

    def leave(self) -> None:
        if self._closed_mode is not None:
            os.fchmod(self.descriptor, self._closed_mode)
        os.close(self.descriptor)


def _open(place: int) -> _Directory:
    itself = Path(f"/proc/self/fd/{place}")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    mode = stat.S_IMODE(os.fstat(place).st_mode)
    needed = stat.S_IRUSR | stat.S_IXUSR
    if mode & needed == needed or os.geteuid() == 0:
        return _Directory(os.open(itself, flags))
    itself.chmod(mode | needed)
    return _Directory(os.open(itself, flags), mode)


def _walk(top: int, count: Count) -> None:
    """Go down and up again with one descriptor for each level."""
    levels = [_Directory(top)]
    try:
        levels[0].list(count)
        while levels:
            if not levels[-1].directories:
                levels.pop().leave()
            elif (inner := levels[-1].enter()) is not None:
                levels.append(inner)
                if len(levels) > MAX_DEPTH:
                    count.deep = True
                else:
                    inner.list(count)
    finally:
        while levels:
            levels.pop().leave()


def _count_deleted(pids: list[int], device: int, count: Count) -> None:
    left = _MAX_DESCRIPTORS
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - names are enough
        except OSError:
            continue
        for name in names[:left]:
            try:
                status = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116 - of what is open there
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and not status.st_nlink and status.st_dev == device:
                count.add_deleted(status)
        left -= len(names)
        if left <= 0:
            return


def _answer(line: str) -> dict[str, object]:
    try:
        order = json.loads(line)
        count = measure(
            order["path"],
            order["pids"],
            most_bytes=order["bytes"],
            most_files=order["files"],
        )
    except OSError as error:
        return {"error": str(error)}
    return {"bytes": count.bytes, "files": count.files, "deep": count.deep}


def main() -> None:
    """Answer requests on standard input until it ends."""
    os.nice(10)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 2 * MAX_DEPTH), most))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
