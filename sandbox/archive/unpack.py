"""Making the tree of a layer from an archive, even one that an enemy wrote.

An archive holds names and no paths, so each entry is made by its name, which must not exist, in
the directory that was made for it; nothing is opened that was not made here, and no link is
followed. Everything that is read is bounded by the file it is read from.

It runs as a program of its own (`main`), as the user that owns the layer: whatever an archive may
contrive, that user can write nowhere else.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sandbox.archive import erofs
from sandbox.archive.erofs import BLOCK, HOLE, INODE, ROOT, SLOT, TYPES, Entry, Inode
from sandbox.archive.errand import die_with_parent, report, reporting_errors
from sandbox.contract import Damaged, Progress

_READ = 2**20
_LINKS = b"links"
"""Where a file with several names waits for the next of them."""
_REPORT_EVERY = 500
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(image: int, top: int, *, identity: bytes, progress: Progress) -> None:
    """Make what the open file `image` holds in the open empty directory `top`.

    Everything is on the disk afterwards.

    Raises:
        Damaged: It is not an archive of `identity`; what was made of it is of no use.
        OSError: The disk is full or failing.
    """
    reader = _Reader(image)
    place = erofs.SUPERBLOCK
    summary = erofs.decode_superblock(reader.read(place.start, len(place)))
    if summary.identity != identity:
        raise Damaged("the archive is another sandbox's")
    _Builder(reader, top, summary.entries, progress).run()
    if ctypes.CDLL(None, use_errno=True).syncfs(top):
        raise OSError(ctypes.get_errno(), "cannot write to the disk")


class _Reader:
    """The image, by place; reads no more in all than the image has bytes."""

    def __init__(self, image: int) -> None:
        self._image = image
        self._size = os.fstat(image).st_size
        self._left = 2 * self._size

    def read(self, place: int, size: int) -> bytes:
        self._left -= size
        if place + size > self._size or self._left < 0:
            raise Damaged("the archive is cut off, or holds something twice")
        data = os.pread(self._image, size, place)
        if len(data) != size:
            raise Damaged("the archive is cut off")
        return data

    def inode(self, number: int) -> tuple[Inode, int]:
        """An inode, and where what follows it begins."""
        place = number * SLOT
        inode, size = erofs.decode_inode(self.read(place, INODE))
        if size:
            xattrs = erofs.decode_xattrs(self.read(place + INODE, size))
            inode = replace(inode, xattrs=xattrs)
        return inode, place + INODE + size

    def content(self, inode: Inode, behind: int) -> bytes:
        """All of a directory or a link."""
        if inode.layout == "chunks":
            raise Damaged("the archive holds a directory or a link with holes")
        return self.read(_place(inode, behind), inode.size)

    def pieces(self, inode: Inode, behind: int) -> Iterator[tuple[int, bytes]]:
        """The bytes of a file: where in it, and what; holes are left out."""
        if inode.layout != "chunks":
            yield from self._run(range(inode.size), _place(inode, behind))
            return
        if inode.chunks > erofs.MAX_CHUNKS:
            raise Damaged("the archive holds a file of too many pieces")
        chunks = struct.unpack(f"<{inode.chunks}I", self.read(behind, 4 * inode.chunks))
        for index, block in enumerate(chunks):
            start = index * inode.chunk
            if block != HOLE:
                piece = range(start, min(start + inode.chunk, inode.size))
                yield from self._run(piece, block * BLOCK)

    def _run(self, piece: range, place: int) -> Iterator[tuple[int, bytes]]:
        for start in range(piece.start, piece.stop, _READ):
            size = min(_READ, piece.stop - start)
            yield start, self.read(place + start - piece.start, size)


def _place(inode: Inode, behind: int) -> int:
    """Where the bytes are of what has no holes."""
    return behind if inode.layout == "inline" else inode.place * BLOCK


@dataclass(slots=True)
class _Visit:
    """A directory that is being made."""

    inode: Inode
    ahead: Iterator[Entry]


class _Builder:
    """Makes one entry after the other, with one directory open at a time."""

    def __init__(self, reader: _Reader, top: int, entries: int, progress: Progress) -> None:
        self._reader = reader
        self._top = top
        self._entries = entries
        self._progress = progress
        self._made = 0
        self._mtime = 0
        """Of the top, whose mode and owner are not the archive's to say."""
        self._directory = os.open(".", _DIRECTORY, dir_fd=top)
        self._linked: set[int] = set()
        """Numbers of what has several names, and of directories, which must have one."""
        self._visits: list[_Visit] = []

    def run(self) -> None:
        os.mkdir(_LINKS, 0o700, dir_fd=self._top)
        self._links = os.open(_LINKS, _DIRECTORY, dir_fd=self._top)
        try:
            self._enter(ROOT)
            while self._visits:
                visit = self._visits[-1]
                entry = next(visit.ahead, None)
                if entry is None:
                    self._leave()
                else:
                    self._make(entry)
            for name in os.listdir(self._links):  # noqa: PTH208 - by descriptor
                os.unlink(name, dir_fd=self._links)
        except FileExistsError as error:
            raise Damaged("the archive holds a name twice") from error
        finally:
            os.close(self._links)
            os.close(self._directory)
        os.rmdir(_LINKS, dir_fd=self._top)
        os.utime(self._top, ns=(self._mtime, self._mtime))
        if self._made != self._entries:
            raise Damaged("the archive does not hold what it says it does")

    def _make(self, entry: Entry) -> None:
        if entry.type == TYPES[stat.S_IFDIR]:
            os.mkdir(entry.name, 0o700, dir_fd=self._directory)
            inner = os.open(entry.name, _DIRECTORY, dir_fd=self._directory)
            os.close(self._directory)
            self._directory = inner
            self._enter(entry.number)
        elif entry.number in self._linked:
            self._link(str(entry.number).encode(), self._links, entry.name, self._directory)
        else:
            inode, behind = self._reader.inode(entry.number)
            self._create(entry.name, inode, behind)
            self._count()
            if inode.links > 1:
                self._linked.add(entry.number)
                self._link(entry.name, self._directory, str(entry.number).encode(), self._links)

    def _link(self, name: bytes, directory: int, new: bytes, place: int) -> None:
        os.link(name, new, src_dir_fd=directory, dst_dir_fd=place, follow_symlinks=False)

    def _count(self) -> None:
        self._made += 1
        if self._made > self._entries:
            raise Damaged("the archive does not hold what it says it does")
        if self._made % _REPORT_EVERY == 0 or self._made == self._entries:
            self._progress(self._made, self._entries)

    def _enter(self, number: int) -> None:
        """Begin with the directory that is open."""
        inode, behind = self._reader.inode(number)
        if not stat.S_ISDIR(inode.mode) or number in self._linked:
            raise Damaged("the archive holds a directory that is none")
        self._linked.add(number)
        entries = erofs.decode_directory(self._reader.content(inode, behind))
        self._visits.append(_Visit(inode, iter(entries)))
        self._count()

    def _leave(self) -> None:
        """Finish the directory that is open and go back to the one it is in."""
        inode = self._visits.pop().inode
        if not self._visits:
            self._mtime = inode.mtime
            return
        outer = os.open("..", _DIRECTORY, dir_fd=self._directory)
        _dress(self._directory, inode)
        os.close(self._directory)
        self._directory = outer

    def _create(self, name: bytes, inode: Inode, behind: int) -> None:
        directory = self._directory
        times = (inode.mtime, inode.mtime)
        match stat.S_IFMT(inode.mode):
            case stat.S_IFREG:
                file = os.open(name, _NEW, 0o600, dir_fd=directory)
                try:
                    for start, data in self._reader.pieces(inode, behind):
                        _write(file, start, data)
                    os.ftruncate(file, inode.size)
                    _dress(file, inode)
                finally:
                    os.close(file)
            case stat.S_IFLNK:
                target = self._reader.content(inode, behind)
                os.symlink(target, name, dir_fd=directory)
                os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)
            case stat.S_IFIFO:
                os.mkfifo(name, stat.S_IMODE(inode.mode), dir_fd=directory)
                os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)
            case _:
                raise Damaged("the archive holds a device or a socket")


def _write(file: int, place: int, data: bytes) -> None:
    while data:
        written = os.pwrite(file, data, place)
        place, data = place + written, data[written:]


def _dress(file: int, inode: Inode) -> None:
    """Give an open file or directory its attributes, times and mode."""
    for name, value in inode.xattrs:
        try:
            os.setxattr(file, b"user." + name, value)
        except OSError as error:
            if error.errno != errno.ENOTSUP:  # a file system without any
                raise
    os.utime(file, ns=(inode.mtime, inode.mtime))
    mode = stat.S_IMODE(inode.mode) & ~stat.S_ISUID
    os.fchmod(file, mode if stat.S_ISDIR(inode.mode) else mode & ~stat.S_ISGID)


def _become(uid: int) -> None:
    """Have no more rights than a user has."""
    if uid != os.geteuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def main() -> None:
    """Unpack as the arguments say; prints progress, and an empty result.

    They are the descriptors of the image and of the directory, the identity, and the user id.
    """
    image, top, identity, uid = sys.argv[1:]
    os.umask(0)
    _become(int(uid))
    die_with_parent()
    with reporting_errors():
        unpack(
            int(image),
            int(top),
            identity=bytes.fromhex(identity),
            progress=lambda done, of: report(done=done, of=of),
        )
        report()
