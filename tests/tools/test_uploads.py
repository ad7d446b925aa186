"""A session's directory of files: exactly what its resources say, and not to be changed."""

import os
import shutil
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.clock import SystemClock
from gateway.settings import Files
from gateway.store.attachments import Copy
from gateway.store.blobs import DiskBlobs, Stored
from gateway.store.records import FileRow
from gateway.store.shelf import Shelf
from gateway.store.store import Store, open_store
from gateway.tools.uploads import Uploads
from gateway.wire.mounts import UPLOADS
from tests.tools.session import begin

SESSION, WORKSPACE = "sesn_1", "wrkspc_1"
CLOCK = SystemClock()


class FarAway(DiskBlobs):
    """Blobs that are in no file of this machine, as in an S3-compatible store."""

    def path(self, key: str) -> Path | None:
        super().path(key)
        return None


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    store = await open_store("", tmp_path / "data", clock=CLOCK)
    await begin(store, SESSION, WORKSPACE)
    yield store
    await store.aclose()


@pytest.fixture(params=[DiskBlobs, FarAway])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> DiskBlobs:
    return request.param(tmp_path / "blobs")


@pytest.fixture
def shelf(store: Store, blobs: DiskBlobs) -> Shelf:
    return Shelf(store, blobs, CLOCK, Files())


@pytest.fixture
def uploads(store: Store, blobs: DiskBlobs, tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "incoming", store, blobs, CLOCK)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory that a sandbox came with."""
    made = tmp_path / "uploads"
    made.mkdir()
    return made


async def attach(shelf: Shelf, store: Store, path: str, content: bytes, **fields: Any) -> str:
    """Give the session a file at `path`; return the id of the copy."""

    async def chunks() -> AsyncGenerator[bytes]:
        yield content

    def describe(blob: str, stored: Stored) -> FileRow:
        row: dict[str, Any] = {
            "id": CLOCK.new_id("file"),
            "workspace": WORKSPACE,
            "filename": path.rpartition("/")[2],
            "mime_type": "text/plain",
            "size": stored.size,
            "sha256": stored.sha256,
            "blob": blob,
            "downloadable": False,
            "counted": True,
            "scope": None,
            "created_at": CLOCK.now(),
            "expires_at": None,
        }
        return FileRow(**(row | fields))

    original = await shelf.add(chunks(), describe)
    copy = Copy(of=original.id, id=CLOCK.new_id("file"))
    entry = {
        "id": f"sesrsc_{copy.id}",
        "type": "file",
        "file_id": copy.id,
        "mount_path": f"{UPLOADS}/{path}",
    }
    await store.attachments.add(
        session=SESSION,
        workspace=WORKSPACE,
        copy=copy,
        now=CLOCK.now(),
        place=lambda _row: entry,
    )
    return copy.id


async def detach(store: Store, copy: str) -> None:
    await store.attachments.remove(
        session=SESSION,
        workspace=WORKSPACE,
        resource=f"sesrsc_{copy}",
        now=1,
        check=lambda _entry: None,
    )


def tree(top: Path) -> dict[str, bytes]:
    files = (path for path in top.rglob("*") if not path.is_dir())
    return {str(path.relative_to(top)): path.read_bytes() for path in files}


def modes(top: Path) -> dict[str, int]:
    places = top.rglob("*")
    return {str(path.relative_to(top)): stat.S_IMODE(path.stat().st_mode) for path in places}


def is_there(path: Path) -> bool:
    return path.exists()


async def test_a_directory_holds_the_files_where_their_resources_say(
    shelf: Shelf, store: Store, uploads: Uploads, place: Path
):
    await attach(shelf, store, "data.csv", b"a,b")
    await attach(shelf, store, "deep/in/here.txt", b"text")
    assert await uploads.fill(SESSION, place) == []
    assert tree(place) == {"data.csv": b"a,b", "deep/in/here.txt": b"text"}


async def test_everybody_may_read_and_nobody_write(
    shelf: Shelf, store: Store, uploads: Uploads, place: Path
):
    await attach(shelf, store, "deep/file.txt", b"text")
    before = os.umask(0o077)
    try:
        await uploads.fill(SESSION, place)
    finally:
        os.umask(before)
    assert modes(place) == {"deep": 0o755, "deep/file.txt": 0o444}


async def test_what_is_added_and_removed_shows_after_a_sync(
    shelf: Shelf, store: Store, uploads: Uploads, place: Path
):
    first = await attach(shelf, store, "folder/a.txt", b"one")
    await uploads.sync(SESSION)
    assert tree(place) == {}, "there was no sandbox yet"
    await uploads.fill(SESSION, place)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    await attach(shelf, store, "b.txt", b"two")
    await uploads.sync(SESSION)
    assert tree(place) == {"folder/a.txt": b"one", "b.txt": b"two"}
    await detach(store, first)
    await attach(shelf, store, "folder", b"a file now")
    await uploads.sync(SESSION)
    assert tree(place) == {"folder": b"a file now", "b.txt": b"two"}
    shown = sorted(os.listdir(descriptor))  # noqa: PTH208 - by descriptor
    assert shown == ["b.txt", "folder"], "a mount of the directory goes on to show it"
    os.close(descriptor)


async def test_another_file_in_the_same_place_takes_it(
    shelf: Shelf, store: Store, uploads: Uploads, place: Path
):
    first = await attach(shelf, store, "a.txt", b"one")
    await uploads.fill(SESSION, place)
    await detach(store, first)
    await attach(shelf, store, "a.txt", b"two")
    await uploads.sync(SESSION)
    assert tree(place) == {"a.txt": b"two"}


async def test_a_file_that_is_there_is_not_brought_again(
    shelf: Shelf, store: Store, uploads: Uploads, place: Path
):
    await attach(shelf, store, "a.txt", b"one")
    await uploads.fill(SESSION, place)
    before = (place / "a.txt").stat()
    await uploads.sync(SESSION)
    after = (place / "a.txt").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_files_that_cannot_be_had_are_named_and_the_others_are_there(
    shelf: Shelf, store: Store, uploads: Uploads, blobs: DiskBlobs, place: Path
):
    deleted = await attach(shelf, store, "deleted.txt", b"x")
    await shelf.delete(workspace=WORKSPACE, id=deleted)
    soon = CLOCK.now() + 200_000
    await attach(shelf, store, "expired.txt", b"x", expires_at=soon)
    with anyio.fail_after(20):
        while CLOCK.now() < soon:  # noqa: ASYNC110 - a clock has no event to wait for
            await anyio.sleep(0.01)
    lost = await attach(shelf, store, "lost.txt", b"x")
    (row,) = await store.files.named(ids=[lost])
    assert row.blob is not None
    await blobs.delete(row.blob)
    await attach(shelf, store, "fine.txt", b"fine")
    problems = await uploads.fill(SESSION, place)
    assert tree(place) == {"fine.txt": b"fine"}
    assert len(problems) == 3
    for name, problem in zip(("deleted.txt", "expired.txt", "lost.txt"), problems, strict=True):
        assert name in problem


async def test_deleting_a_file_does_not_take_it_from_a_running_sandbox(
    shelf: Shelf, store: Store, uploads: Uploads, place: Path
):
    copy = await attach(shelf, store, "a.txt", b"one")
    await uploads.fill(SESSION, place)
    with (place / "a.txt").open("rb") as file:
        await shelf.delete(workspace=WORKSPACE, id=copy)
        assert file.read() == b"one"


async def test_what_ended_is_not_touched_any_more(
    shelf: Shelf, store: Store, uploads: Uploads, place: Path, tmp_path: Path
):
    await attach(shelf, store, "deep/a.txt", b"one")
    await uploads.fill(SESSION, place)
    await uploads.forget(SESSION)
    await uploads.forget("sesn_none")
    shutil.rmtree(place)
    await uploads.sync(SESSION)
    assert not is_there(place)
    another = tmp_path / "another"
    another.mkdir()
    assert await uploads.fill(SESSION, another) == []
    assert tree(another) == {"deep/a.txt": b"one"}


async def test_a_directory_that_went_with_its_sandbox_is_not_made_again(
    shelf: Shelf, store: Store, uploads: Uploads, place: Path
):
    """A sandbox may die at any moment; that is noticed later."""
    await attach(shelf, store, "deep/a.txt", b"one")
    await uploads.fill(SESSION, place)
    shutil.rmtree(place)
    await attach(shelf, store, "b.txt", b"two")
    await uploads.sync(SESSION)
    assert not is_there(place)


async def test_many_tasks_may_ask_for_one_directory(
    shelf: Shelf, store: Store, uploads: Uploads, place: Path
):
    for number in range(20):
        await attach(shelf, store, f"{number}.txt", b"x")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(uploads.fill, SESSION, place)
                tasks.start_soon(uploads.sync, SESSION)
    assert len(tree(place)) == 20


async def test_what_was_half_brought_when_a_gateway_was_killed_is_cleared(
    store: Store, blobs: DiskBlobs, tmp_path: Path
):
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming/file_1").write_bytes(b"half")
    Uploads(tmp_path / "incoming", store, blobs, CLOCK)
    assert [*(tmp_path / "incoming").iterdir()] == []
