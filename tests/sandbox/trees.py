"""Trees of all kinds of entries, and what can be told of one from outside."""

import hashlib
import os
import random
import socket
import stat
from pathlib import Path
from typing import TypeAlias

Description: TypeAlias = dict[bytes, tuple[object, ...]]
"""Path -> everything that has to come back."""

_TIME = 1_500_000_000_123_456_789
_LONG = b"n" * 253 + b"\xff\n"


def grow(top: Path, seed: int) -> None:
    """Change a tree at random: new files and directories, changed, renamed and removed ones."""
    chance = random.Random(seed)
    for number in range(6):
        directory = top / f"{seed}-{number}"
        directory.mkdir()
        name = os.fsencode(directory) + b"/" + chance.choice([_LONG, b" -", b"a\nb", b"plain"])
        _write(name, chance.randbytes(chance.choice([0, 1, 2048, 2049, 4096, 70_000])))
        os.setxattr(name, "user.seed", chance.randbytes(20))
        Path(os.fsdecode(name)).chmod(chance.choice([0o644, 0o751, 0o1777, 0o600]))
        os.link(name, directory / "linked")
        (directory / "symbolic").symlink_to(chance.choice(["../..", "/etc", "x" * 3000]))
    every = sorted(place for place in top.iterdir() if place.is_dir())
    for place in chance.sample(every, len(every) // 3):
        if (place / "linked").exists() and (place / "linked").stat().st_mode & 0o600 == 0o600:
            with (place / "linked").open("ab") as file:
                file.write(b"more")
        place.rename(place.with_name(f"{place.name}.renamed"))


def plant(top: Path) -> None:
    """Make one of everything that an archive has to keep."""
    (top / "empty").mkdir()
    (top / "zero").touch()
    deep = top / "deep"
    deep.mkdir()
    (deep / "file").write_bytes(b"deep")
    os.link(deep / "file", top / "other name")
    for size in (1, 2047, 2048, 2049, 4095, 4096, 4097, 100_000):
        (top / f"of {size}").write_bytes(random.Random(size).randbytes(size))
    _write(os.fsencode(top) + b"/" + _LONG, b"odd")
    (top / "dangling").symlink_to("../../../nowhere")
    (top / "loop").symlink_to("loop")
    os.mkfifo(top / "pipe")
    (top / "pipe").chmod(0o640)
    with (top / "holes").open("wb") as file:
        file.seek(3 * 2**20 + 5)
        file.write(b"data between")
        file.truncate(2**33)
    (top / "many").mkdir()
    for number in range(1500):
        (top / f"many/name {number:05}").touch()
    os.setxattr(deep, "user.of directory", b"\0\xff")
    os.setxattr(deep / "file", "user.of file", b"v" * 1000)
    (top / "unreadable").write_bytes(b"secret")
    (top / "unreadable").chmod(0)
    os.utime(top / "zero", ns=(0, -5_000_000_001))
    closed = top / "closed"
    (closed / "inner").mkdir(parents=True)
    os.utime(closed, ns=(0, _TIME))
    closed.chmod(0o100)


def plant_what_is_left_out(top: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(top, os.O_PATH)
        listener.bind(f"/proc/self/fd/{place}/socket")
        os.close(place)
    (top / "of its owner").write_bytes(b"#!")
    (top / "of its owner").chmod(0o6755)


def give(top: Path, uid: int) -> None:
    """Let a whole tree belong to a user."""
    for directory, names, files in os.walk(os.fsencode(top)):
        for name in (b".", *names, *files):
            os.chown(os.path.join(directory, name), uid, uid, follow_symlinks=False)  # noqa: PTH118 - bytes


def describe(top: Path, *, owner: int | None = None) -> Description:
    """Tell of every entry what has to come back; directories closed to this process stay closed."""
    found: Description = {}
    inodes: dict[tuple[int, int], bytes] = {}
    for directory, names, files in os.walk(os.fsencode(top)):
        for name in sorted([*names, *files]):
            path = directory + b"/" + name
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            first = inodes.setdefault((status.st_dev, status.st_ino), path)
            found[os.path.relpath(path, os.fsencode(top))] = (
                oct(status.st_mode),
                status.st_uid if owner is None else status.st_uid == owner,
                status.st_mtime_ns,
                os.path.relpath(first, os.fsencode(top)),
                os.readlink(path) if kind == stat.S_IFLNK else None,  # noqa: PTH115 - bytes
                _read(path, status) if kind == stat.S_IFREG else None,
                _attributes(path) if kind in (stat.S_IFREG, stat.S_IFDIR) else None,
            )
    return found


def _read(path: bytes, status: os.stat_result) -> tuple[int, str]:
    """Size and digest; of a huge file only of where it has bytes."""
    mode = stat.S_IMODE(status.st_mode)
    os.chmod(path, mode | stat.S_IRUSR)  # noqa: PTH101 - bytes; its owner may not read it
    with open(path, "rb") as file:  # noqa: PTH123 - bytes
        os.chmod(path, mode)  # noqa: PTH101 - as above
        end, digest = 0, hashlib.sha256()
        while end < status.st_size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                break
            end = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), start + 2**24)
            data = os.pread(file.fileno(), end - start, start)
            for place in range(0, len(data), 4096):
                if data[place : place + 4096].strip(b"\0"):
                    digest.update(b"%d:" % (start + place) + data[place : place + 4096])
    return status.st_size, digest.hexdigest()


def _attributes(path: bytes) -> list[tuple[str, bytes]]:
    return [(name, os.getxattr(path, name)) for name in sorted(os.listxattr(path))]


def _write(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123 - bytes
        file.write(data)
