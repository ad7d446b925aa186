"""The writable layer of a sandbox: plain directories that outlive its processes.

A layer is ``LAYERS/NAME/`` with ``workspace``, ``session/outputs`` and ``home`` (spec/core 3.4 says
where they appear). All of it belongs to the sandbox's
host user; who owns the layer is also the record of which user ids are taken. What is inside was
written by an enemy: nothing here follows a link, and nothing reads a file. The space a layer
takes is not limited here.
"""

import hashlib
import logging
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sandbox.archive import mount
from sandbox.contract import SandboxError, SandboxGone, Unavailable

MOUNTS = {
    "workspace": "/workspace",
    "session/outputs": "/mnt/session/outputs",
    "home": "/home/agent",
}
"""Directory of the layer -> where programs inside find it."""

MEMORY = "/mnt/memory"
"""Where read-only mounts go; empty without them. Its parents are not the sandbox's to change."""

_DIRECTORIES = ("workspace", "session", "session/outputs", "home")
_FALLBACK = Path("/var/lib/wharfkeep")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer on disk."""

    path: Path
    uid: int

    @property
    def name(self) -> str:
        return self.path.name


class UidRange:
    """Hands out host user ids, one for each owner; those of existing layers count as taken."""

    def __init__(self, uids: range, layers: Path) -> None:
        self._uids = uids
        self._taken = {layer.name: layer.uid for layer in existing(layers)}
        self._next = 0

    def take(self, owner: str) -> int:
        """Return a user id that nobody has; it stays the owner's until given back.

        Raises:
            SandboxError: The range is used up.
        """
        used = set(self._taken.values())
        for step in range(len(self._uids)):
            place = (self._next + step) % len(self._uids)
            if (uid := self._uids[place]) not in used:
                self._next = place + 1
                self._taken[owner] = uid
                return uid
        raise SandboxError(
            f"all {len(self._uids)} user ids from {self._uids[0]} on are taken; "
            "delete sessions or widen sandbox.uid_range"
        )

    def pass_on(self, owner: str, heir: str) -> None:
        """The owner's user id is another's from now on."""
        self._taken[heir] = self._taken.pop(owner)

    def give_back(self, owner: str) -> None:
        """Let others have the owner's user id."""
        self._taken.pop(owner, None)


def usable_root(data_dir: Path, *, fallback: Path = _FALLBACK) -> Path:
    """Choose and make the directory below which layers live.

    It is ``data_dir/sandboxes`` when a sandbox's user can get there. For root that means that
    others may enter every directory above: the data directory itself is opened for that (mode
    0711) if need be; if a directory above it is closed, as ``/root`` is, layers live in
    ``FALLBACK/layers-DIGEST`` and a warning says so.

    Raises:
        Unavailable: The fallback cannot be entered either.
    """
    data_dir = Path(os.path.realpath(data_dir))
    if os.geteuid() != 0:
        return _make(data_dir / "sandboxes", 0o700)
    _make(data_dir, 0o711)
    if enterable(data_dir.parent) and _open_for_others(data_dir):
        return _make(data_dir / "sandboxes", 0o711)
    digest = hashlib.blake2b(os.fsencode(data_dir), digest_size=8).hexdigest()
    root = fallback / f"layers-{digest}"
    _make(root, 0o711)
    if not enterable(root):
        raise Unavailable(
            f"sandbox users can enter neither {data_dir} nor {root}; "
            "choose a data_dir whose parent directories have mode 0711 or wider"
        )
    _log.warning("sandbox users cannot enter %s; layers live in %s", data_dir, root)
    return root


def enterable(directory: Path) -> bool:
    """Whether users without any rights may enter a directory, seen from the root."""
    return all(place.stat().st_mode & stat.S_IXOTH for place in (directory, *directory.parents))


def create(layers: Path, name: str, uid: int) -> Layer:
    """Make an empty layer that belongs to `uid`.

    Raises:
        SandboxError: There is a layer of that name.
    """
    top = layers / name
    try:
        top.mkdir(mode=0o700)
    except FileExistsError as error:
        raise SandboxError(f"there already is a sandbox layer {name}") from error
    for directory in _DIRECTORIES:
        place = top / directory
        place.mkdir(mode=0o700)
        _hand_over(place, uid)
    _hand_over(top, uid)  # last: an unfinished layer belongs to nobody's sandbox
    return Layer(top, uid)


def find(layers: Path, name: str) -> Layer:
    """Return the layer that an earlier process made.

    Raises:
        SandboxGone: It is not there, or was never finished.
        SandboxError: It is an archive that cannot be mounted again.
    """
    top = layers / name
    try:
        status = top.lstat()
    except OSError as error:
        raise SandboxGone(f"the sandbox layer {name} is not there any more") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid == 0:
        raise SandboxGone(f"the sandbox layer {name} was never finished")
    mount.ensure(top, status.st_uid)
    return Layer(top, status.st_uid)


def existing(layers: Path) -> list[Layer]:
    """Every layer on disk, unfinished ones included, by name."""
    with os.scandir(layers) as entries:
        found = [
            Layer(layers / entry.name, entry.stat(follow_symlinks=False).st_uid)
            for entry in entries
        ]
    return sorted(found, key=lambda layer: layer.name)


def is_whole(layer: Path) -> bool:
    """Whether every directory of a layer is there, and is one."""
    try:
        return all(stat.S_ISDIR((layer / name).lstat().st_mode) for name in _DIRECTORIES)
    except OSError:
        return False


def discard(layer: Layer, trash: Path) -> None:
    """Remove a layer, and what belongs to it if it is a mount (`sandbox.archive.mount`).

    Raises:
        FileNotFoundError: It is not there.
    """
    home = mount.release(layer.path)
    remove(layer.path, trash)
    if home is not None:
        remove(home, trash)


def remove(tree: Path, trash: Path) -> None:
    """Delete a tree that an enemy wrote; no process may be left that could still change it.

    It is gone from its place at once; what a crash leaves in `trash` is for `empty` to delete.
    """
    grave = _fresh(trash)
    tree.rename(grave)
    _delete(grave)


def empty(trash: Path) -> None:
    """Delete what an interrupted `remove` left."""
    for grave in list(trash.iterdir()):
        _delete(grave)


def _fresh(trash: Path) -> Path:
    """A name in `trash` that nothing has; `os.rename` onto an empty directory would replace it."""
    for number in count():
        grave = trash / str(number)
        try:
            grave.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return grave
    raise AssertionError


def _delete(grave: Path) -> None:
    """Flatten, then delete: every subdirectory is moved up to `grave` and emptied there.

    So depth costs neither stack nor descriptors nor long paths, and a link is only ever a name.
    """
    numbers = count()
    with _opened(grave) as top:
        while names := os.listdir(top):  # noqa: PTH208 - by descriptor
            for name in names:
                _empty(top, name, numbers)
    grave.rmdir()


def _empty(top: int, name: str, numbers: Iterator[int]) -> None:
    """Remove the entry `name` of `top`; its subdirectories become entries of `top`."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=top)
        return
    with _opened(name, top) as directory:
        entries = True
        while entries:
            with os.scandir(directory) as listing:
                entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
            for entry, is_directory in entries:
                if is_directory:
                    with _opened(entry, directory):
                        pass  # moving a directory needs the right to write to it
                    name_above = _free_name(top, numbers)
                    os.rename(entry, name_above, src_dir_fd=directory, dst_dir_fd=top)
                else:
                    os.unlink(entry, dir_fd=directory)
    os.rmdir(name, dir_fd=top)


def _free_name(top: int, numbers: Iterator[int]) -> str:
    """A name that nothing has in `top`, where an interrupted removal may have left some."""
    for number in numbers:
        name = f"moved.{number}"
        try:
            os.stat(name, dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            return name
    raise AssertionError


@contextmanager
def _opened(name: str | Path, parent: int | None = None) -> Generator[int]:
    """Open a directory, never a link to one, whatever its mode was."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    place = os.open(name, flags | os.O_PATH, dir_fd=parent)
    try:
        if os.fstat(place).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            Path(f"/proc/self/fd/{place}").chmod(stat.S_IRWXU)
        directory = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(place)
    try:
        yield directory
    finally:
        os.close(directory)


def _hand_over(place: Path, uid: int) -> None:
    if uid != os.geteuid():
        os.chown(place, uid, uid, follow_symlinks=False)


def _make(directory: Path, mode: int) -> Path:
    """Make a directory and its parents, each with `mode` whatever the umask; keep what is there."""
    if not directory.is_dir():
        _make(directory.parent, mode)
        directory.mkdir()
        directory.chmod(mode)
    return directory


def _open_for_others(directory: Path) -> bool:
    """Let others pass through `directory`, if it is closed and ours."""
    if not enterable(directory) and directory.stat().st_uid == os.geteuid():
        directory.chmod(directory.stat().st_mode | stat.S_IXGRP | stat.S_IXOTH)
    return enterable(directory)
