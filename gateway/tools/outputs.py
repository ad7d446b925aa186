"""What a session leaves in ``/mnt/session/outputs`` becomes files of its scope.

The directory is read from outside, in the layer of the sandbox, while programs inside may be
changing it. So nothing is opened by a path they control: every directory and file is opened by one
name, relative to a descriptor, never through a link; only then is it looked at, and only regular
files are read. A file that changes while it is read is left for the next time.

Each file appears once, under the last component of its path; two of the same name in different
directories are both listed. A file that changed becomes a new file and the old one is deleted; one
that was removed inside stays (spec/resources F-25).
"""

import errno
import hashlib
import os
import stat
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from anyio import to_thread

from gateway.clock import Clock
from gateway.errors import ApiError, NotFound
from gateway.store.blobs import CHUNK, Stored
from gateway.store.outputs import Seen
from gateway.store.records import FileRow
from gateway.store.shelf import Shelf
from gateway.store.store import Store
from gateway.wire.filenames import SNIFFED, media_type, tame

log = structlog.get_logger()

MAX_DEPTH = 16
MAX_PATH = 1024
"""Bytes of a path below the outputs."""
MAX_ENTRIES = 20_000
"""Names that one look takes in."""

_SETTLED_NS = 1_000_000_000
"""A file this old cannot have changed without its times telling so."""
_PLACE = (b"session", b"outputs")
"""The outputs in a layer."""
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class _Unfit(Exception):
    """A file cannot be taken now; the message says why."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Whose outputs are taken, and from where."""

    session: str
    workspace: str
    layer: Path


class Outputs:
    """Takes the outputs of sessions."""

    def __init__(self, store: Store, shelf: Shelf, clock: Clock) -> None:
        self._store = store
        self._shelf = shelf
        self._clock = clock
        self._busy: set[str] = set()

    async def collect(self, session: str, workspace: str, layer: Path) -> list[str]:
        """Make files of everything that is new or changed; return their ids.

        Safe while the sandbox runs, and cheap when nothing changed. What cannot be taken now,
        because it is changing, too large or one too many, is logged and left. While one look is
        under way, another of the same session does nothing.

        Args:
            session: Whose outputs they are.
            workspace: Of the session.
            layer: The directory of the sandbox's layer on this host.

        Raises:
            NotFound: The session was deleted.
        """
        if session in self._busy:
            return []
        self._busy.add(session)
        try:
            return await self._collect(_Job(session, workspace, layer))
        finally:
            self._busy.discard(session)

    async def _collect(self, job: _Job) -> list[str]:
        seen = await self._store.outputs.seen(session=job.session)
        most = self._shelf.settings.output_files
        changed = await to_thread.run_sync(_changed, job.layer, seen)
        taken: list[str] = []
        known = len(seen)
        for path in changed:
            known += path not in seen
            if known > most:
                log.warning("too many outputs", session=job.session, most=most)
                break
            try:
                made = await self._take(job, path, seen.get(path))
            except NotFound:
                raise
            except (_Unfit, OSError) as error:
                log.debug("output left", session=job.session, path=tame(path), why=str(error))
            except ApiError as error:
                log.warning(
                    "output not stored", session=job.session, path=tame(path), why=error.message
                )
            else:
                taken += [made] if made is not None else []
        return taken

    async def _take(self, job: _Job, path: bytes, seen: Seen | None) -> str | None:
        """Make a file of one path, unless its bytes are those it had before."""
        file = await to_thread.run_sync(_open, job.layer, path)
        try:
            return await self._keep(job, _Source(file, self._clock.now() * 1000), path, seen)
        finally:
            os.close(file)

    async def _keep(
        self, job: _Job, source: "_Source", path: bytes, seen: Seen | None
    ) -> str | None:
        if source.size > self._shelf.settings.max_file:
            raise _Unfit(f"it is larger than {self._shelf.settings.max_file} bytes")
        if seen is not None and seen.sha256 == await source.digest():
            mark = source.mark()
            await self._store.outputs.remark(session=job.session, path=path, mark=mark)
            return None
        name = path.rpartition(b"/")[2]

        async def keep(blob: str, stored: Stored) -> FileRow:
            mark, now = source.mark(), self._clock.now()
            row = FileRow(
                id=self._clock.new_id("file"),
                workspace=job.workspace,
                filename=tame(name),
                mime_type=media_type(None, tame(name), source.head),
                size=stored.size,
                sha256=stored.sha256,
                blob=blob,
                downloadable=True,
                counted=True,
                scope=job.session,
                created_at=now,
                expires_at=None,
            )
            quota = self._shelf.settings.quota
            await self._store.outputs.take(row=row, path=path, mark=mark, now=now, quota=quota)
            return row

        return (await self._shelf.put(source.read(), keep)).id


class _Source:
    """An open regular file that its owner may be changing."""

    def __init__(self, file: int, now_ns: int) -> None:
        self._file = file
        self._now = now_ns
        self._before = os.fstat(file)
        self.head = b""
        """The first `SNIFFED` bytes, once it was read."""

    @property
    def size(self) -> int:
        return self._before.st_size

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Its bytes, as many as it had when it was opened."""
        offset = 0
        while offset < self.size:
            length = min(CHUNK, self.size - offset)
            chunk = await to_thread.run_sync(os.pread, self._file, length, offset)
            if not chunk:
                raise _Unfit("it is changing")
            if offset == 0:
                self.head = chunk[:SNIFFED]
            offset += len(chunk)
            yield chunk

    async def digest(self) -> str:
        digest = hashlib.sha256()
        async for chunk in self.read():
            digest.update(chunk)
        return digest.hexdigest()

    def mark(self) -> str:
        """The mark of what was read.

        Raises:
            _Unfit: It has changed since it was opened.
        """
        now = os.fstat(self._file)
        if _mark(now) != _mark(self._before):
            raise _Unfit("it is changing")
        # Its times are coarse: a change right after the reading might not show in them.
        settled = self._now - now.st_ctime_ns > _SETTLED_NS
        return _mark(now) if settled else ""


def _mark(status: os.stat_result) -> str:
    """Different whenever a file may have changed; nobody inside can set the last of the times."""
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _changed(layer: Path, seen: dict[bytes, Seen]) -> list[bytes]:
    """The paths of regular files that are new or may have changed, parents first, by name."""
    found: list[bytes] = []
    left = MAX_ENTRIES
    todo: list[tuple[bytes, ...]] = [()]
    while todo and left > 0:
        names = todo.pop(0)
        try:
            with _entered(layer, names) as directory:
                entries = _entries(directory, left)
        except OSError as error:
            log.debug("directory of outputs left", why=error.strerror)
            continue
        left -= len(entries)
        for name, status in entries:
            path = b"/".join((*names, name))
            if stat.S_ISDIR(status.st_mode):
                if len(names) < MAX_DEPTH and len(path) < MAX_PATH:
                    todo.append((*names, name))
            elif stat.S_ISREG(status.st_mode) and len(path) <= MAX_PATH:
                before = seen.get(path)
                if before is None or before.mark != _mark(status):
                    found.append(path)
    return found


def _entries(directory: int, most: int) -> list[tuple[bytes, os.stat_result]]:
    found: list[tuple[bytes, os.stat_result]] = []
    with os.scandir(directory) as listing:
        for entry in listing:
            if len(found) == most:
                break
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            found.append((os.fsencode(entry.name), status))
    return sorted(found, key=lambda entry: entry[0])


def _open(layer: Path, path: bytes) -> int:
    """Open a regular file of the outputs.

    Raises:
        OSError: It is not there any more, or something in its path is a link.
        _Unfit: It is not a file that the sandbox's user owns alone.
    """
    *parents, name = path.split(b"/")
    with _entered(layer, parents) as directory:
        # Looked at before it is opened for reading: opening a FIFO or a device does things.
        place = os.open(name, _LOOK, dir_fd=directory)
    try:
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode):
            raise _Unfit("it is not a regular file")
        if status.st_nlink > 1 and status.st_uid != layer.stat().st_uid:
            raise _Unfit("it is a link to somebody else's file")
        return os.open(f"/proc/self/fd/{place}", _READ)
    finally:
        os.close(place)


@contextmanager
def _entered(layer: Path, names: Sequence[bytes]) -> Generator[int]:
    """Go down the outputs one name at a time, never through a link nor onto another file system."""
    directory = os.open(layer, _ENTER)
    try:
        for name in _PLACE:
            directory = _enter(directory, name)
        device = os.fstat(directory).st_dev
        for name in names:
            directory = _enter(directory, name)
            if os.fstat(directory).st_dev != device:
                raise OSError(errno.EXDEV, "it is on another file system")
        yield directory
    finally:
        os.close(directory)


def _enter(directory: int, name: bytes) -> int:
    """Open a directory in another one, which is closed if that works."""
    below = os.open(name, _ENTER, dir_fd=directory)
    os.close(directory)
    return below
