"""Rows and bytes in step, whatever fails or is killed in between."""

import random
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio.to_thread
import pytest

from gateway.clock import SystemClock
from gateway.errors import InvalidRequest
from gateway.settings import Files
from gateway.store.blobs import DiskBlobs, Stored
from gateway.store.records import FileRow
from gateway.store.shelf import Shelf
from gateway.store.store import Store
from tests.store.places import Place
from tests.store.rows import WORKSPACE
from tests.store.shelving import CONTENT, described

ROOT = Path(__file__).parents[2]
KILLS = 4
DAYS = 86_400 * 1_000_000


class Later(SystemClock):
    """A clock that can be moved."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


def stored(blobs: DiskBlobs) -> list[Path]:
    path = blobs.path("files")
    assert path is not None
    return list(path.iterdir()) if path.exists() else []


async def content() -> AsyncGenerator[bytes]:
    yield CONTENT


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


@pytest.fixture
def shelf(store: Store, blobs: DiskBlobs) -> Shelf:
    return Shelf(store, blobs, Later(), Files())


async def test_a_file_is_read_as_it_was_added_and_deleted_whole(shelf: Shelf, blobs: DiskBlobs):
    row = await shelf.add(content(), described)
    assert b"".join([chunk async for chunk in shelf.open(row)]) == CONTENT
    assert len(stored(blobs)) == 1
    await shelf.delete(workspace=WORKSPACE, id=row.id)
    assert stored(blobs) == []


async def test_a_file_that_is_refused_leaves_no_bytes(shelf: Shelf, blobs: DiskBlobs):
    def refuse(blob: str, _stored: Stored) -> FileRow:
        raise InvalidRequest(blob)

    with pytest.raises(InvalidRequest, match="files/blob_"):
        await shelf.add(content(), refuse)
    assert stored(blobs) == []


async def test_an_upload_that_is_cancelled_leaves_nothing(
    shelf: Shelf, blobs: DiskBlobs, store: Store
):
    async def slow() -> AsyncGenerator[bytes]:
        yield CONTENT
        await anyio.sleep_forever()

    with anyio.move_on_after(0.1):
        await shelf.add(slow(), described)
    assert stored(blobs) == []
    assert list(await store.files.doomed(before=2**62)) == []


async def test_the_sweep_takes_what_expired_and_what_was_left_behind(
    store: Store, blobs: DiskBlobs
):
    clock = Later()
    shelf = Shelf(store, blobs, clock, Files(expired_days=2))
    await shelf.add(content(), described)
    row = await shelf.add(content(), lambda b, s: described(b, s, expires_at=clock.now() + DAYS))
    await store.files.begin(blob="files/left", now=clock.now())
    await blobs.put("files/left", content(), max_bytes=len(CONTENT))
    await shelf.sweep()
    assert len(stored(blobs)) == 3
    clock.ahead = DAYS + 1
    await shelf.sweep()
    assert len(stored(blobs)) == 1
    assert (await store.files.get(workspace=WORKSPACE, id=row.id)).blob is None
    clock.ahead = 4 * DAYS
    await shelf.sweep()
    assert len((await store.files.list(workspace=WORKSPACE, limit=9)).rows) == 1


async def test_sweeping_goes_on_by_itself(store: Store, blobs: DiskBlobs):
    shelf = Shelf(store, blobs, SystemClock(), Files(sweep_seconds=0.01))
    with anyio.fail_after(30):
        async with shelf.swept():
            await blobs.put("files/left", content(), max_bytes=len(CONTENT))
            await store.files.begin(blob="files/left", now=0)
            while stored(blobs):  # noqa: ASYNC110 - the file system has no event to wait for
                await anyio.sleep(0.01)


@pytest.mark.timeout(120)
async def test_a_kill_loses_no_file_and_leaves_no_bytes(place: Place, tmp_path: Path):
    """Files are added and deleted all the time; whatever was acknowledged holds."""
    kept: set[str] = set()
    for _ in range(KILLS):
        said = await anyio.to_thread.run_sync(run_and_kill, place, tmp_path)
        kept |= {line[1:] for line in said if line.startswith("+")}
        kept -= {line[1:] for line in said if line.startswith("-")}
        async with place.open() as store:
            clock = Later()
            clock.ahead = 2 * DAYS
            blobs = DiskBlobs(tmp_path / "blobs")
            shelf = Shelf(store, blobs, clock, Files())
            await shelf.sweep()
            rows = (await store.files.list(workspace=WORKSPACE, limit=100_000)).rows
            # Of the last addition and the last deletion nobody was told how they ended.
            assert len({row.id for row in rows} ^ kept) <= 2
            kept = {row.id for row in rows}
            assert {path.name for path in stored(blobs)} == {
                str(row.blob).removeprefix("files/") for row in rows
            }
            for row in rows:
                assert b"".join([chunk async for chunk in shelf.open(row)]) == CONTENT


def run_and_kill(place: Place, folder: Path) -> list[str]:
    """Let a gateway work for a random number of lines, kill it, and say what it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.shelving", place.url, str(place.data_dir), str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        read = [child.stdout.readline() for _ in range(random.randint(3, 60))]
        child.send_signal(signal.SIGKILL)
        return [line.strip() for line in [*read, *child.stdout]]
