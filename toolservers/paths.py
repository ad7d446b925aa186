"""Which files the file tools may reach, and opening them.

The tools run as the agent's own user: what is refused here, a shell can still do. The refusal
gives clear errors and the same limits as the reference tools have. It holds against links swapped
meanwhile, because what was opened is checked after opening.
"""

from __future__ import annotations

import errno
import os
import stat

from toolservers.call import ToolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

WORKDIR = "/workspace"
OTHER_ROOTS = ("/mnt/session", "/mnt/memory", "/home/agent", "/tmp")  # noqa: S108 - the agent's own, not ours
_MAX_LINKS = 40


class Roots:
    """The working directory, where relative paths start, and the other permitted directories."""

    def __init__(self, workdir: str = WORKDIR, others: Sequence[str] = OTHER_ROOTS) -> None:
        self.workdir = os.path.realpath(workdir)
        self._others = tuple(others)

    def resolve(self, path: str) -> str:
        """The canonical form of a path that lies inside; it need not exist.

        ``.`` and ``..`` are collapsed first, then every link is followed, also a dangling one.

        Raises:
            ToolError: The path lies outside, or is none.
        """
        try:
            canonical = canonicalize(os.path.join(self.workdir, path))
        except OSError as error:
            raise ToolError(f"path {path!r}: {reason(error)}") from None
        except ValueError:
            raise ToolError(f"path {path!r}: not a valid path") from None
        if not self.contain(canonical):
            raise self._outside(path)
        return canonical

    def contain(self, canonical: str) -> bool:
        return any(is_within(canonical, root) for root in self._all())

    def open_regular(self, path: str, canonical: str) -> int:
        """Open a file for reading; `path` is what the caller called it.

        Raises:
            ToolError: It is no regular file, or what was opened lies outside.
            OSError: It cannot be opened.
        """
        place = os.open(canonical, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._check_opened(path, place)
            require_regular(path, os.fstat(place))  # never open a device
            return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(place)

    def open_directory(self, path: str, canonical: str) -> int:
        """Like `open_regular` for a directory; good for use as `dir_fd` only."""
        fd = os.open(canonical, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._check_opened(path, fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def make_directory(self, path: str, canonical: str) -> int:
        """Like `open_directory`; it is made, with its parents, where it is missing.

        Step by step, because the parents may be swapped for links while they are made.
        """
        root = next((root for root in self._all() if is_within(canonical, root)), None)
        if root is None:
            raise self._outside(path)
        os.makedirs(root, exist_ok=True)
        waiting = [part for part in canonical[len(root) :].split("/") if part][::-1]
        fd = self.open_directory(path, root)
        try:
            while waiting:
                above, fd = fd, _step(fd, waiting.pop(), is_last=not waiting)
                os.close(above)
            self._check_opened(path, fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _all(self) -> tuple[str, ...]:
        return (self.workdir, *map(os.path.realpath, self._others))

    def _check_opened(self, path: str, fd: int) -> None:
        if not self.contain(os.readlink(f"/proc/self/fd/{fd}")):
            raise self._outside(path)

    def _outside(self, path: str) -> ToolError:
        where = "the session's working directory"
        if self._others:
            where += " and its other permitted directories"
        return ToolError(f"path {path!r} is outside {where}")


def _step(directory: int, name: str, *, is_last: bool) -> int:
    """Open a directory in another one, and make it if it is missing.

    Raises:
        FileExistsError: The last one is there and no directory, as `os.makedirs` has it.
        OSError: It cannot be opened or made.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=directory)
    except FileNotFoundError:
        _make(name, directory)
        return os.open(name, flags, dir_fd=directory)
    except NotADirectoryError:
        if is_last:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        raise


def _make(name: str, directory: int) -> None:
    try:
        os.mkdir(name, dir_fd=directory)
    except FileExistsError:
        return  # somebody else was faster; whether it will do is seen when it is opened


def canonicalize(path: str) -> str:
    """Collapse ``.`` and ``..``, then follow every link; missing parts stay as spelled.

    Raises:
        OSError: A loop, or a part that may not be looked at.
        ValueError: Not a path.
    """
    waiting = os.path.normpath(path).split("/")[::-1]
    done = ""
    links = 0
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        target = _link_target(f"{done}/{part}")
        if target is None:
            done = f"{done}/{part}"
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            done = ""
        waiting.extend(target.split("/")[::-1])
    return done or "/"


def is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def require_regular(path: str, found: os.stat_result) -> None:
    """Refuse directories, devices, sockets, and pipes, which could block for ever."""
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{path}: not a regular file")


def reason(error: OSError) -> str:
    """Why it failed, in the same few words everywhere and without a path."""
    words = {
        errno.ENOENT: "no such file or directory",
        errno.ENOTDIR: "not a directory",
        errno.EISDIR: "is a directory",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.EEXIST: "file already exists",
        errno.ELOOP: "too many levels of symbolic links",
    }
    return words.get(error.errno or 0) or (error.strerror or "i/o error").lower()


def _link_target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError as error:
        # No link, not there, or below a file: whoever opens the path says so in better words.
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            return None
        raise
