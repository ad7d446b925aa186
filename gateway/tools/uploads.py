"""Files of a session as its sandbox sees them: a directory of the host, shown read-only.

A sandbox comes with the directory (`sandbox.contract.Sandbox.uploads`) and takes it away when it
ends; what is in it while it lives is exactly the session's file resources (spec/resources F-22). A
file is a link to the stored bytes where that is possible, else a copy; it belongs to this process,
everybody may read it and nobody write it. What is added or removed while a sandbox runs shows
inside at once. Nothing inside can change any of it, so unlike a layer it can be trusted here.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
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


@dataclass(slots=True)
class _Desk:
    """Only one task at a time works on a session's directory."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    users: int = 0


class Uploads:
    """The directories of all sessions that have a sandbox here.

    Args:
        staging: For files that are not whole yet, on the file system of the sandboxes' directories;
            made if need be, and nothing else is in it.
        store: What the sessions have.
        blobs: Where the bytes are.
        clock: Tells what has expired.
    """

    def __init__(self, staging: Path, store: Store, blobs: Blobs, clock: Clock) -> None:
        self._staging = staging
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._places: dict[str, Path] = {}
        self._desks: dict[str, _Desk] = {}
        staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        for unfinished in staging.iterdir():
            unfinished.unlink()

    async def fill(self, session: str, directory: Path) -> Sequence[str]:
        """Bring the session's files into the directory of its sandbox, and keep it up to date.

        Returns a sentence for each file that is not there, because it was deleted or has expired.

        Raises:
            OSError: The directory cannot be written.
        """
        async with self._alone(session):
            self._places[session] = directory
            return await self._fill(session, directory)

    async def sync(self, session: str) -> None:
        """Bring the directory up to date, if the session has one here. It never raises.

        Call it when the resources of the session have changed.
        """
        async with self._alone(session):
            place = self._places.get(session)
            if place is None:
                return
            try:
                problems = await self._fill(session, place)
            except OSError as error:
                problems = [str(error)]
            for problem in problems:
                log.warning("file not mounted", session=session, error=problem)

    async def forget(self, session: str) -> None:
        """The sandbox ends, and takes the directory with it; nobody works on it from here on."""
        async with self._alone(session):
            self._places.pop(session, None)

    async def _fill(self, session: str, top: Path) -> Sequence[str]:
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
        return problems

    async def _put(self, place: Path, row: FileRow, top: Path) -> None:
        assert row.blob is not None, "only readable files are wanted"
        blob = self._blobs.path(row.blob)
        if await to_thread.run_sync(_is_there, place, row, blob):
            return
        draft = self._staging / row.id
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


def _missing(attached: Attached) -> str:
    if attached.file is None:
        return f"{attached.mount_path}: the file {attached.file_id} was deleted"
    return f"{attached.mount_path}: the file {attached.file.filename} has expired"


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
    for parent in reversed(place.relative_to(top).parents[:-1]):
        directory = top / parent
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
    draft.replace(place)
