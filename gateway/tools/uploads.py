"""Files of a session as its sandbox sees them: a directory of the host, mounted read-only.

Each session that has a sandbox here has a directory of its own, which holds exactly its file
resources (spec/resources F-22). A file is a link to the stored bytes where that is possible, else a
copy; it belongs to this process, everybody may read it and nobody write it. What is added or
removed while a sandbox runs shows inside at once. Nothing inside can change any of it, so unlike a
layer it can be trusted here.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import structlog
from anyio import to_thread

from gateway.clock import Clock
from gateway.errors import ApiError
from gateway.store.attachments import Attached
from gateway.store.blobs import Blobs
from gateway.store.records import FileRow
from gateway.store.store import Store
from gateway.wire.mounts import UPLOADS

log = structlog.get_logger()

_INCOMING = ".incoming"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A session's directory."""

    path: Path
    """What to mount at ``/mnt/session/uploads``."""
    problems: tuple[str, ...] = ()
    """A sentence for each file that is not there, naming it."""


@dataclass(slots=True)
class _Desk:
    """Only one task at a time works on a session's directory."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    users: int = 0


class Uploads:
    """The directories of all sessions.

    Args:
        root: Where they are made; users of sandboxes must be able to enter every directory above.
        store: What the sessions have.
        blobs: Where the bytes are.
        clock: Tells what has expired.
    """

    def __init__(self, root: Path, store: Store, blobs: Blobs, clock: Clock) -> None:
        self._root = root
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._desks: dict[str, _Desk] = {}
        for directory in (root, root / _INCOMING):
            directory.mkdir(parents=True, exist_ok=True)
        root.chmod(0o711)
        (root / _INCOMING).chmod(0o700)
        for unfinished in (root / _INCOMING).iterdir():
            unfinished.unlink()

    async def directory(self, session: str) -> Directory:
        """Make the session's directory, or bring it up to date.

        Files that were deleted or have expired are not there; `Directory.problems` names them.

        Raises:
            OSError: The directory cannot be written.
        """
        async with self._alone(session):
            top = self._root / session
            await to_thread.run_sync(_make, top)
            return await self._fill(session, top)

    async def sync(self, session: str) -> None:
        """Bring the directory up to date, if the session has one here. It never raises.

        Call it when the resources of the session have changed.
        """
        async with self._alone(session):
            top = self._root / session
            if not await to_thread.run_sync(top.is_dir):
                return
            try:
                done = await self._fill(session, top)
            except OSError as error:
                log.warning("files not mounted", session=session, error=str(error))
                return
            for problem in done.problems:
                log.warning("file not mounted", session=session, error=problem)

    async def discard(self, session: str) -> None:
        """Remove the directory, if there is one; no sandbox may be using it."""
        async with self._alone(session):
            await to_thread.run_sync(shutil.rmtree, self._root / session, True)

    async def reap(self, keep: frozenset[str]) -> None:
        """Remove the directories of all sessions but those to keep."""
        there = await to_thread.run_sync(os.listdir, self._root)
        for session in set(there) - keep - {_INCOMING}:
            await self.discard(session)

    async def _fill(self, session: str, top: Path) -> Directory:
        problems: list[str] = []
        wanted: dict[Path, FileRow] = {}
        now = self._clock.now()
        for attached in await self._store.attachments.list(session=session):
            row = attached.file
            if row is None or not row.readable(now):
                problems.append(_missing(attached))
            else:
                wanted[top / attached.mount_path.removeprefix(f"{UPLOADS}/")] = row
        await to_thread.run_sync(_prune, top, wanted)
        for place, row in wanted.items():
            try:
                await self._put(place, row, top)
            except (FileNotFoundError, ApiError) as error:
                problems.append(f"{place.name} ({row.id}) could not be read: {error}")
        return Directory(path=top, problems=tuple(problems))

    async def _put(self, place: Path, row: FileRow, top: Path) -> None:
        assert row.blob is not None, "only readable files are wanted"
        blob = self._blobs.path(row.blob)
        if await to_thread.run_sync(_is_there, place, row, blob):
            return
        draft = self._root / _INCOMING / row.id
        try:
            if blob is not None:
                await to_thread.run_sync(_bring, blob, draft, row)
            else:
                await self._fetch(row, draft)
            await to_thread.run_sync(_publish, draft, place, top)
        finally:
            draft.unlink(missing_ok=True)

    async def _fetch(self, row: FileRow, draft: Path) -> None:
        assert row.blob is not None, "only readable files are wanted"
        async with aclosing(self._blobs.open(row.blob)) as chunks:
            with draft.open("xb", buffering=0) as file:
                async for chunk in chunks:
                    await to_thread.run_sync(file.write, chunk)
        await to_thread.run_sync(_dress, draft, row)

    def _alone(self, session: str) -> "_Alone":
        return _Alone(self._desks, session)


class _Alone:
    """Holds the lock of one session; forgets it when nobody waits for it any more."""

    def __init__(self, desks: dict[str, _Desk], session: str) -> None:
        self._desks = desks
        self._session = session
        self._desk = desks.setdefault(session, _Desk())

    async def __aenter__(self) -> None:
        self._desk.users += 1
        try:
            await self._desk.lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._desk.lock.release()
        self._leave()

    def _leave(self) -> None:
        self._desk.users -= 1
        if not self._desk.users:
            self._desks.pop(self._session, None)


def beside(layers: Path) -> Path:
    """Where `Uploads` can live, given the root of the layers: both need the same rights."""
    return layers.with_name(layers.name.replace("sandboxes", "layers").replace("layers", "uploads"))


def _missing(attached: Attached) -> str:
    if attached.file is None:
        return f"{attached.mount_path}: the file {attached.file_id} was deleted"
    return f"{attached.mount_path}: the file {attached.file.filename} has expired"


def _make(top: Path) -> None:
    top.mkdir(exist_ok=True)
    top.chmod(0o755)


def _prune(top: Path, wanted: dict[Path, FileRow]) -> None:
    """Remove files that are not wanted, and directories that are then empty."""
    for place in _bottom_up(top):
        if place.is_dir():
            if not any(place.iterdir()):
                place.rmdir()
        elif place not in wanted:
            place.unlink()


def _bottom_up(top: Path) -> Iterator[Path]:
    for folder, directories, files in os.walk(top, topdown=False):
        for name in (*files, *directories):
            yield Path(folder, name)


def _is_there(place: Path, row: FileRow, blob: Path | None) -> bool:
    try:
        found = place.lstat()
        if blob is not None and os.path.samestat(found, blob.stat()):
            return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return found.st_size == row.size and found.st_mtime_ns == row.created_at * 1000


def _bring(blob: Path, draft: Path, row: FileRow) -> None:
    try:
        draft.hardlink_to(blob)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or as many links as an inode can have
        shutil.copyfile(blob, draft)
        _dress(draft, row)


def _dress(draft: Path, row: FileRow) -> None:
    """Make a copy recognisable, and readable for everybody."""
    os.utime(draft, ns=(row.created_at * 1000, row.created_at * 1000))
    draft.chmod(0o444)


def _publish(draft: Path, place: Path, top: Path) -> None:
    for parent in reversed([top, *place.relative_to(top).parents][:-1]):
        directory = top / parent
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
    draft.replace(place)
