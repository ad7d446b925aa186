"""The bytes of an archive: an EROFS image, of which only the plainest parts are used.

EROFS is the kernel's read-only file system, so an archive can be mounted as it is, and it is simple
enough to be written and read here without any tool. An image is blocks of 4 KiB. An inode lies
anywhere on a 32 byte boundary, and its number is its place. A directory is blocks of names, each
with the number of its inode, so an archive holds no path at all. A file's bytes follow its inode,
or lie in blocks of their own, or, if it has holes, in chunks that a list behind the inode points
to. Layout: the kernel's ``fs/erofs/erofs_fs.h``; nothing is compressed.
"""

import stat
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from sandbox.contract import Damaged

BLOCK = 4096
SLOT = 32
INODE = 64
SUPERBLOCK = range(1024, 1024 + 128)
"""Where the superblock is in the image."""
ROOT = SUPERBLOCK.stop // SLOT
"""The number of the root's inode."""

OWNER = 1000
"""User and group of everything in an archive, which the sandbox sees as itself."""

HOLE = 0xFFFF_FFFF
"""In a list of chunks: nothing but zeros."""
MAX_CHUNKS = 2**18
"""In one file; a longer file with holes has larger chunks."""

TYPES = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFIFO: 5, stat.S_IFLNK: 7}
"""The kinds of entries that an archive holds -> their number in a directory."""

Layout: TypeAlias = Literal["plain", "inline", "chunks"]
Xattrs: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names without their ``user.``, and values."""

_MAGIC = 0xE0F5E1E2
_BLOCK_BITS = 12
_CHUNKED = 4
_VERSION = b"wharfkeep 1"
_LAYOUTS: dict[Layout, int] = {"plain": 0, "inline": 2, "chunks": 4}
_MAX_CHUNK_BITS = 31
_EXTENDED = 1
_USER = 1
_MAX_NAME = 255
_MAX_XATTRS = 65_000

_SUPER = struct.Struct("<IIIBBHQQIIII16s16sI44x")
_INODE = struct.Struct("<HHHHQIIIIqII16x")
_ENTRY = struct.Struct("<QHBx")
_XATTRS = struct.Struct("<12x")
_XATTR = struct.Struct("<BBH")


class Entry(NamedTuple):
    """One name in a directory; sorts as a directory has to be."""

    name: bytes
    number: int
    type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inode:
    """One file, directory or link."""

    mode: int
    size: int
    mtime: int
    """Nanoseconds."""
    links: int
    layout: Layout = "plain"
    place: int = 0
    """Of ``plain`` and ``inline``: the first block; of ``chunks``: binary logarithm of the
    blocks in one."""
    xattrs: Xattrs = ()

    @property
    def chunk(self) -> int:
        """Bytes of one chunk."""
        return BLOCK << self.place

    @property
    def chunks(self) -> int:
        """Length of the list of chunks."""
        return -(-self.size // self.chunk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an image says of itself at its beginning."""

    identity: bytes
    """16 bytes that say whose it is."""
    entries: int
    size: int
    """Bytes of the image."""
    holes: bool
    """There are files with holes in it."""


def encode_superblock(summary: Summary) -> bytes:
    """Begin an image."""
    return _SUPER.pack(
        *(_MAGIC, 0, 0, _BLOCK_BITS, 0, ROOT, summary.entries, 0, 0, summary.size // BLOCK, 0, 0),
        *(summary.identity, _VERSION, _CHUNKED if summary.holes else 0),
    )


def decode_superblock(data: bytes) -> Summary:
    """Read the beginning of an image.

    Raises:
        Damaged: This is not the superblock of an archive of ours.
    """
    try:
        fields = _SUPER.unpack(data)
    except struct.error as error:
        raise Damaged("the archive is cut off") from error
    summary = Summary(
        identity=fields[12], entries=fields[6], size=fields[9] * BLOCK, holes=bool(fields[14])
    )
    if data != encode_superblock(summary):
        raise Damaged("this is not an archive of a sandbox")
    return summary


def encode_inode(inode: Inode, number: int) -> bytes:
    """An inode with its extended attributes."""
    attributes = b"".join(_encode_xattrs(inode.xattrs))
    seconds, nanoseconds = divmod(inode.mtime, 10**9)
    return (
        _INODE.pack(
            *(_EXTENDED | _LAYOUTS[inode.layout] << 1, _count(len(attributes)), inode.mode, 0),
            *(inode.size, inode.place, number & 0xFFFF_FFFF, OWNER, OWNER, seconds, nanoseconds),
            inode.links,
        )
        + attributes
    )


def decode_inode(data: bytes) -> tuple[Inode, int]:
    """Return an inode and how many bytes of extended attributes follow it.

    Raises:
        Damaged: It is not one that `encode_inode` makes.
    """
    try:
        kind, count, mode, _, size, place, _, _, _, seconds, nanoseconds, links = _INODE.unpack(
            data
        )
    except struct.error as error:
        raise Damaged("the archive is cut off") from error
    layout = _layout(kind)
    if layout is None or (layout == "chunks" and place > _MAX_CHUNK_BITS) or size >= 2**63:
        raise Damaged("the archive holds an inode of another kind")
    inode = Inode(
        mode=mode,
        size=size,
        mtime=seconds * 10**9 + nanoseconds,
        links=links,
        layout=layout,
        place=place,
    )
    return inode, _XATTRS.size + 4 * (count - 1) if count else 0


def chunk_bits(size: int) -> int:
    """The `Inode.place` of a file of `size` bytes with holes."""
    bits = 0
    while size > MAX_CHUNKS * (BLOCK << bits):
        bits += 1
    return bits


def encode_directory(entries: Iterable[Entry]) -> bytes:
    """The content of a directory; `entries` include ``.`` and ``..``."""
    blocks: list[bytes] = []
    block: list[Entry] = []
    used = 0
    for entry in sorted(entries):
        room = _ENTRY.size + len(entry.name)
        if used + room > BLOCK:
            blocks.append(_encode_block(block).ljust(BLOCK, b"\0"))
            block, used = [], 0
        block.append(entry)
        used += room
    return b"".join([*blocks, _encode_block(block)])


def decode_directory(data: bytes) -> list[Entry]:
    """The entries of a directory but for ``.`` and ``..``; their names are safe to create.

    Raises:
        Damaged: It is no directory, or holds a name that cannot be one.
    """
    entries: list[Entry] = []
    try:
        for start in range(0, len(data), BLOCK):
            entries += _decode_block(data[start : start + BLOCK])
    except (struct.error, IndexError) as error:
        raise Damaged("the archive holds a broken directory") from error
    found = [entry for entry in entries if entry.name not in (b".", b"..")]
    for name in (entry.name for entry in found):
        if not 0 < len(name) <= _MAX_NAME or b"/" in name or b"\0" in name:
            raise Damaged("the archive holds a name that is none")
    return found


def decode_xattrs(data: bytes) -> Xattrs:
    """The extended attributes of an inode.

    Raises:
        Damaged: They are cut off, or not a user's.
    """
    found: list[tuple[bytes, bytes]] = []
    place = _XATTRS.size
    while place < len(data):
        try:
            name_length, kind, value_length = _XATTR.unpack_from(data, place)
        except struct.error as error:
            raise Damaged("the archive holds broken attributes") from error
        middle = place + _XATTR.size + name_length
        end = middle + value_length
        if kind != _USER or end > len(data):
            raise Damaged("the archive holds broken attributes")
        found.append((data[place + _XATTR.size : middle], data[middle:end]))
        place = end + -end % 4
    return found


def xattrs_fit(xattrs: Xattrs) -> bool:
    """Whether one inode can hold them."""
    return sum(map(len, _encode_xattrs(xattrs))) <= _MAX_XATTRS


def _encode_xattrs(xattrs: Xattrs) -> list[bytes]:
    if not xattrs:
        return []
    parts = [_XATTRS.pack()]
    for name, value in xattrs:
        text = _XATTR.pack(len(name), _USER, len(value)) + name + value
        parts.append(text + bytes(-len(text) % 4))
    return parts


def _layout(kind: int) -> Layout | None:
    for layout, number in _LAYOUTS.items():
        if kind == _EXTENDED | number << 1:
            return layout
    return None


def _count(size: int) -> int:
    """What an inode says of the size of its attributes."""
    return (size - _XATTRS.size) // 4 + 1 if size else 0


def _encode_block(entries: Sequence[Entry]) -> bytes:
    place = _ENTRY.size * len(entries)
    heads: list[bytes] = []
    for entry in entries:
        heads.append(_ENTRY.pack(entry.number, place, entry.type))
        place += len(entry.name)
    return b"".join([*heads, *(entry.name for entry in entries)])


def _decode_block(data: bytes) -> list[Entry]:
    count, rest = divmod(_ENTRY.unpack_from(data)[1], _ENTRY.size)
    if not count or rest or count * _ENTRY.size > len(data):
        raise Damaged("the archive holds a broken directory")
    heads = [_ENTRY.unpack_from(data, _ENTRY.size * index) for index in range(count)]
    ends = [*(head[1] for head in heads[1:]), len(data)]
    return [
        Entry(data[place:end] if end < len(data) else data[place:].rstrip(b"\0"), number, kind)
        for (number, place, kind), end in zip(heads, ends, strict=True)
    ]
