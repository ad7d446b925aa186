"""Writing the tree of a layer into an archive: one file, whatever an enemy made of the tree.

Everything is opened by its name in a directory that is open already and never through a link, and
no directory is entered that is on another file system, so nothing outside of the layer can get in.
No process may be left that could change the tree meanwhile. The same tree makes the same bytes.

Kept: files with their holes, directories, symbolic and hard links, FIFOs; modes but for set-user-id
and set-group-id (which directories keep), times of modification, and attributes named ``user.*``.
Left out: devices, and sockets, whose listeners are gone. Everything belongs to one owner.

It runs as a program of its own (`main`), so that a large tree holds up nobody else.
"""

import ctypes
import errno
import hashlib
import os
import stat
import struct
import sys
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from sandbox.archive import erofs
from sandbox.archive.erofs import BLOCK, HOLE, ROOT, SLOT, TYPES, Entry, Inode, Summary, Xattrs
from sandbox.archive.errand import die_with_parent, report, reporting_errors
from sandbox.contract import Archive, SandboxError, TooLarge

_READ = 2**20
_SLAB = 2**15
"""Inodes are gathered in pieces of this many bytes."""
_INLINE = BLOCK // 2
"""Bytes of a file's end that may follow its inode."""
_NICE = 10
_USER = "user."
_CLONE_NEWUSER = 0x1000_0000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHANGED = "the tree was changed while it was archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a tree may come to."""

    size: int
    """Bytes of the archive."""
    apparent: int
    """Bytes that its files say they have, holes included."""


@dataclass(slots=True)
class _Visit:
    """A directory that is being written; everything that is open of it is its descriptor."""

    name: bytes
    identity: tuple[int, int]
    number: int
    inode: Inode
    ahead: Iterator[bytes]
    """Names that have not been looked at."""
    entries: list[Entry] = field(default_factory=list[Entry])


def pack(top: int, out: int, *, identity: bytes, bounds: Bounds) -> Archive:
    """Write the tree below the open directory `top` to the open empty file `out`.

    `identity` are 16 bytes that say whose tree it is. The file is on the disk afterwards.

    Raises:
        TooLarge: It does not fit into `bounds`.
        SandboxError: The tree changed meanwhile.
        OSError: The disk is full, or something cannot be read.
    """
    image = _Image(out, bounds)
    entries = _Walk(top, image).run()
    image.finish(Summary(identity=identity, entries=entries, size=image.end, holes=image.has_holes))
    os.fsync(out)
    return Archive(size=image.end, entries=entries, digest=digest(out))


def digest(file: int) -> str:
    """The SHA-256 of an open file."""
    hashed = hashlib.sha256()
    place = 0
    while data := os.pread(file, _READ, place):
        hashed.update(data)
        place += len(data)
    return hashed.hexdigest()


class _Image:
    """The file that is written, by place; `end` is its end so far."""

    def __init__(self, out: int, bounds: Bounds) -> None:
        self._out = out
        self._bounds = bounds
        self._apparent = 0
        self._slab = bytearray(_SLAB)
        self._start = 0
        self._used = ROOT * SLOT
        self.end = _SLAB
        self.has_holes = False

    def reserve(self, size: int, tail: int = 0) -> int:
        """Return the number of an inode of `size` bytes, with `tail` bytes of one block behind."""
        if self._used + size + tail + BLOCK > len(self._slab):
            self._flush()
            self._slab = bytearray(max(_SLAB, _whole(size + tail + BLOCK, BLOCK)))
            self._start, self._used = self.allocate(len(self._slab)), 0
        gap = -(self._used + size) % BLOCK
        if gap < tail:
            self._used += _whole(gap, SLOT)
        place = self._start + self._used
        self._used += _whole(size + tail, SLOT)
        return place // SLOT

    def allocate(self, size: int) -> int:
        """Return where whole blocks for `size` bytes begin."""
        place = self.end
        self.end += _whole(size, BLOCK)
        if self.end > self._bounds.size:
            raise TooLarge(f"the archive would have more than {self._bounds.size} bytes")
        return place

    def claim(self, size: int) -> None:
        """Count a file that says it has `size` bytes."""
        self._apparent += size
        if self._apparent > self._bounds.apparent:
            raise TooLarge(f"the files say they have more than {self._bounds.apparent} bytes")

    def fill(self, number: int, data: bytes) -> None:
        """Write an inode at its place."""
        place = number * SLOT
        if 0 <= place - self._start < len(self._slab):
            self._slab[place - self._start : place - self._start + len(data)] = data
        else:
            self.write(place, data)

    def write(self, place: int, data: bytes) -> None:
        while data:
            written = os.pwrite(self._out, data, place)
            place, data = place + written, data[written:]

    def finish(self, summary: Summary) -> None:
        """Write what is missing."""
        self._flush()
        self.write(erofs.SUPERBLOCK.start, erofs.encode_superblock(summary))
        os.ftruncate(self._out, self.end)

    def _flush(self) -> None:
        self.write(self._start, bytes(self._slab))


class _Walk:
    """Visits every entry once, with one directory open at a time, so depth costs nothing."""

    def __init__(self, top: int, image: _Image) -> None:
        self._image = image
        self._directory = os.open(".", _DIRECTORY, dir_fd=top)
        self._device = os.fstat(top).st_dev
        self._linked: dict[tuple[int, int], Entry] = {}
        """Files with several names, by their number on the disk."""
        self._visits: list[_Visit] = []
        self._count = 0

    def run(self) -> int:
        """Write everything; returns how many entries there are."""
        try:
            self._enter(b"")
            while self._visits:
                visit = self._visits[-1]
                name = next(visit.ahead, None)
                if name is None:
                    self._leave(visit)
                else:
                    self._take(visit, name)
        finally:
            os.close(self._directory)
        return self._count

    def _take(self, visit: _Visit, name: bytes) -> None:
        status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            if status.st_dev == self._device:
                self._descend(name)
            return
        if kind not in TYPES:
            return
        identity = (status.st_dev, status.st_ino)
        known = self._linked.get(identity)
        if known is None:
            known = Entry(name, self._write(name, status), TYPES[kind])
            if status.st_nlink > 1:
                self._linked[identity] = known
        visit.entries.append(known._replace(name=name))

    def _descend(self, name: bytes) -> None:
        inner = os.open(name, _DIRECTORY, dir_fd=self._directory)
        os.close(self._directory)
        self._directory = inner
        self._enter(name)

    def _enter(self, name: bytes) -> None:
        """Begin with the directory that is open."""
        status = os.fstat(self._directory)
        inode = Inode(
            mode=status.st_mode & ~stat.S_ISUID,
            size=0,
            mtime=status.st_mtime_ns,
            links=status.st_nlink,
            xattrs=_xattrs(self._directory),
        )
        number = self._image.reserve(len(erofs.encode_inode(inode, 0)))
        names = sorted(map(os.fsencode, os.listdir(self._directory)))  # noqa: PTH208 - by descriptor
        identity = (status.st_dev, status.st_ino)
        self._visits.append(_Visit(name, identity, number, inode, iter(names)))
        self._count += 1

    def _leave(self, visit: _Visit) -> None:
        """Write the directory that is open and go back to the one it is in."""
        self._visits.pop()
        parent = self._visits[-1] if self._visits else visit
        kind = TYPES[stat.S_IFDIR]
        dots = [Entry(b".", visit.number, kind), Entry(b"..", parent.number, kind)]
        data = erofs.encode_directory([*visit.entries, *dots])
        place = self._image.allocate(len(data))
        self._image.write(place, data)
        inode = replace(visit.inode, size=len(data), place=place // BLOCK)
        self._image.fill(visit.number, erofs.encode_inode(inode, visit.number))
        if parent is not visit:
            parent.entries.append(Entry(visit.name, visit.number, kind))
            self._ascend(parent)

    def _ascend(self, parent: _Visit) -> None:
        outer = os.open("..", _DIRECTORY, dir_fd=self._directory)
        os.close(self._directory)
        self._directory = outer
        status = os.fstat(outer)
        if (status.st_dev, status.st_ino) != parent.identity:
            raise SandboxError(_CHANGED)

    def _write(self, name: bytes, status: os.stat_result) -> int:
        """Write what is not a directory; returns its number."""
        self._count += 1
        mode = status.st_mode & ~(stat.S_ISUID | stat.S_ISGID)
        inode = Inode(mode=mode, size=0, mtime=status.st_mtime_ns, links=status.st_nlink)
        if stat.S_ISREG(mode):
            return self._write_file(name, inode)
        target = os.readlink(name, dir_fd=self._directory) if stat.S_ISLNK(mode) else b""
        return self._write_inline(replace(inode, size=len(target)), target)

    def _write_file(self, name: bytes, inode: Inode) -> int:
        file = os.open(name, _FILE, dir_fd=self._directory)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise SandboxError(_CHANGED)
            size = status.st_size
            self._image.claim(size)
            inode = replace(inode, size=size, xattrs=_xattrs(file))
            if status.st_blocks * 512 < size and os.lseek(file, 0, os.SEEK_HOLE) < size:
                return self._write_chunks(file, inode)
            if size <= _INLINE:
                return self._write_inline(inode, _read(file, 0, size))
            place = self._image.allocate(size)
            self._copy(file, range(size), place)
            return self._write_inline(replace(inode, place=place // BLOCK), b"")
        finally:
            os.close(file)

    def _write_inline(self, inode: Inode, data: bytes) -> int:
        """Write an inode, and `data` behind it."""
        head = erofs.encode_inode(replace(inode, layout="inline") if data else inode, 0)
        number = self._image.reserve(len(head), len(data))
        self._image.fill(number, head + data)
        return number

    def _write_chunks(self, file: int, inode: Inode) -> int:
        """Write a file with holes: what is in none of them, and where that is."""
        self._image.has_holes = True
        inode = replace(inode, layout="chunks", place=erofs.chunk_bits(inode.size))
        chunks = array("I", [HOLE]) * inode.chunks
        for extent in _extents(file, inode.size):
            first, last = extent.start // inode.chunk, -(-extent.stop // inode.chunk)
            while first < last and chunks[first] != HOLE:
                first += 1  # it began with the end of the extent before
            piece = range(first * inode.chunk, min(last * inode.chunk, inode.size))
            place = self._image.allocate(len(piece))
            self._copy(file, piece, place)
            for index in range(first, last):
                chunks[index] = place // BLOCK + (index - first << inode.place)
        head = erofs.encode_inode(inode, 0)
        number = self._image.reserve(len(head) + 4 * len(chunks))
        self._image.fill(number, head + struct.pack(f"<{len(chunks)}I", *chunks))
        return number

    def _copy(self, file: int, piece: range, place: int) -> None:
        for start in range(piece.start, piece.stop, _READ):
            data = _read(file, start, min(_READ, piece.stop - start))
            self._image.write(place + start - piece.start, data)


def _extents(file: int, size: int) -> Iterator[range]:
    """Where a file has bytes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # there are none any more
                return
            raise
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield range(start, min(end, size))


def _read(file: int, start: int, size: int) -> bytes:
    data = os.pread(file, size, start)
    while len(data) < size:
        more = os.pread(file, size - len(data), start + len(data))
        if not more:
            raise SandboxError(_CHANGED)
        data += more
    return data


def _xattrs(file: int) -> Xattrs:
    found: list[tuple[bytes, bytes]] = []
    with suppress(OSError):  # a file system without any
        names = [name for name in sorted(os.listxattr(file)) if name.startswith(_USER)]
        found = [(os.fsencode(name)[len(_USER) :], os.getxattr(file, name)) for name in names]
    if not erofs.xattrs_fit(found):
        raise TooLarge("the attributes of one file do not fit into an archive")
    return found


def _whole(size: int, unit: int) -> int:
    return size + -size % unit


def _gain_sight() -> None:
    """Let a plain user read what it owns, whatever the modes: as the root of a namespace."""
    user, group = os.geteuid(), os.getegid()
    if user and not ctypes.CDLL(None).unshare(_CLONE_NEWUSER):
        for file, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {user} 1"),
            ("gid_map", f"0 {group} 1"),
        ):
            with Path("/proc/self", file).open("w") as map_file:
                map_file.write(text)


def main() -> None:
    """Pack as the arguments say, and print what came of it as one line of JSON.

    They are the descriptors of the directory and of the file, the identity, and the two bounds.
    """
    top, out, identity, size, apparent = sys.argv[1:]
    die_with_parent()
    os.nice(_NICE)
    with reporting_errors():
        _gain_sight()
        bounds = Bounds(size=int(size), apparent=int(apparent))
        made = pack(int(top), int(out), identity=bytes.fromhex(identity), bounds=bounds)
        report(**asdict(made))
