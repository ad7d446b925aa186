"""Outputs are taken whole, once, and never from outside the directory they are in."""

import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest

from gateway.clock import SystemClock
from gateway.errors import NotFound
from gateway.settings import Files
from gateway.store.blobs import DiskBlobs
from gateway.store.records import FileRow
from gateway.store.shelf import Shelf
from gateway.store.store import Store, open_store
from gateway.tools import outputs
from gateway.tools.outputs import Outputs
from tests.ledger.requirement import requirement
from tests.tools.session import begin

Collect: TypeAlias = Callable[[], Awaitable[list[str]]]
Listed: TypeAlias = Callable[[], Awaitable[list[FileRow]]]

SESSION, WORKSPACE = "sesn_1", "wrkspc_1"
OLD = (1_000_000_000, 1_000_000_000)
LIMITS = Files(output_files=20, max_file=1000, quota=5000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    store = await open_store("", tmp_path / "data", clock=SystemClock())
    await begin(store, SESSION, WORKSPACE)
    yield store
    await store.aclose()


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    (tmp_path / "layer/session/outputs").mkdir(parents=True)
    return tmp_path / "layer"


@pytest.fixture
def folder(layer: Path) -> Path:
    """The outputs, as programs inside see them."""
    return layer / "session/outputs"


@pytest.fixture
def shelf(store: Store, tmp_path: Path) -> Shelf:
    return Shelf(store, DiskBlobs(tmp_path / "blobs"), SystemClock(), LIMITS)


@pytest.fixture
def collect(store: Store, shelf: Shelf, layer: Path) -> Collect:
    taker = Outputs(store, shelf, SystemClock())
    return lambda: taker.collect(SESSION, WORKSPACE, layer)


@pytest.fixture
def listed(store: Store) -> Listed:
    async def rows() -> list[FileRow]:
        page = await store.files.list(workspace=WORKSPACE, limit=100, scope=SESSION)
        return page.rows

    return rows


async def content(shelf: Shelf, row: FileRow) -> bytes:
    return b"".join([chunk async for chunk in shelf.open(row)])


@requirement("files:session:outputs")
async def test_every_file_below_the_outputs_is_listed_by_its_name(
    folder: Path, collect: Collect, listed: Listed, shelf: Shelf
):
    (folder / "deep/er").mkdir(parents=True)
    for place in ("report.md", "deep/report.md", "deep/er/data.csv", "empty"):
        (folder / place).write_text(f"I am {place}" if place != "empty" else "")
    taken = await collect()
    rows = await listed()
    assert {row.id for row in rows} == set(taken)
    assert sorted(row.filename for row in rows) == ["data.csv", "empty", "report.md", "report.md"]
    assert {await content(shelf, row) for row in rows} == {
        b"I am report.md",
        b"I am deep/report.md",
        b"I am deep/er/data.csv",
        b"",
    }
    for row in rows:
        assert (row.downloadable, row.counted, row.scope) == (True, True, SESSION)
    assert {row.mime_type for row in rows} >= {"text/markdown", "text/csv"}


async def test_what_did_not_change_is_not_taken_again(
    folder: Path, collect: Collect, listed: Listed, store: Store
):
    (folder / "a").write_text("one")
    (first,) = await collect()
    assert await collect() == []
    await store.files.delete(workspace=WORKSPACE, id=first, now=1)
    assert await collect() == []
    assert await listed() == [], "what a client deleted stays deleted"


async def test_the_same_bytes_are_the_same_file_whatever_the_times_say(
    folder: Path, collect: Collect, listed: Listed
):
    (folder / "a").write_text("one")
    (first,) = await collect()
    (folder / "a").unlink()
    (folder / "a").write_text("one")
    os.utime(folder / "a", OLD)
    assert await collect() == []
    assert [row.id for row in await listed()] == [first]


@requirement("files:session:overwritten")
async def test_a_changed_file_is_a_new_one_in_the_place_of_the_old(
    folder: Path, collect: Collect, listed: Listed, shelf: Shelf
):
    (folder / "a").write_text("one")
    (first,) = await collect()
    (folder / "a").write_text("two")
    os.utime(folder / "a", OLD)
    (second,) = await collect()
    assert second != first
    (row,) = await listed()
    assert (row.id, await content(shelf, row)) == (second, b"two")
    (folder / "a").unlink()
    assert await collect() == []
    assert [row.id for row in await listed()] == [second], "what was listed stays"


@pytest.mark.parametrize("times", [None, OLD])
async def test_a_change_within_the_tick_of_a_clock_is_not_missed(
    folder: Path, collect: Collect, times: tuple[int, int] | None
):
    for number in range(5):
        (folder / "a").write_text(f"{number}")
        os.utime(folder / "a", times)
        assert len(await collect()) == 1


async def test_odd_names_are_made_plain(folder: Path, collect: Collect, listed: Listed):
    (folder / 'tab\tand "quotes" and \\ and *').write_text("x")
    (folder / os.fsdecode(b"\xff\xfe.bin")).write_text("x")
    await collect()
    assert sorted(row.filename for row in await listed()) == [
        "tab_and _quotes_ and _ and _",
        "��.bin",
    ]


async def test_only_regular_files_are_taken(
    folder: Path, collect: Collect, listed: Listed, tmp_path: Path
):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_text("secret")
    (folder / "link").symlink_to(secret)
    (folder / "dangling").symlink_to(tmp_path / "none")
    (folder / "folder").symlink_to(tmp_path / "elsewhere")
    (folder / "up").symlink_to("..")
    os.mkfifo(folder / "fifo")
    if os.geteuid() == 0:
        os.mknod(folder / "zero", 0o600 | 0o020000, os.makedev(1, 5))
    (folder / "real").write_text("real")
    with anyio.fail_after(20):
        await collect()
    assert [row.filename for row in await listed()] == ["real"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
async def test_a_hard_link_to_somebody_elses_file_is_not_taken(
    folder: Path, collect: Collect, listed: Listed, layer: Path, tmp_path: Path
):
    for place in (layer, layer / "session", folder):
        os.chown(place, 1234, 1234)
    (tmp_path / "secret").write_text("secret")
    (folder / "theirs").hardlink_to(tmp_path / "secret")
    (folder / "own").write_text("own")
    os.chown(folder / "own", 1234, 1234)
    (folder / "again").hardlink_to(folder / "own")
    await collect()
    assert sorted(row.filename for row in await listed()) == ["again", "own"]


async def test_the_outputs_themselves_may_not_be_a_link(
    layer: Path, collect: Collect, listed: Listed, tmp_path: Path
):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_text("secret")
    (layer / "session/outputs").rmdir()
    (layer / "session/outputs").symlink_to(tmp_path / "elsewhere")
    assert await collect() == []
    assert await listed() == []


async def test_there_are_bounds_on_count_size_depth_and_quota(
    folder: Path, collect: Collect, listed: Listed
):
    (folder / "large").write_bytes(b"x" * 1001)
    deep = folder.joinpath(*["d"] * (outputs.MAX_DEPTH + 1))
    deep.mkdir(parents=True)
    (deep / "too deep").write_text("x")
    for number in range(25):
        (folder / f"{number:02}").write_bytes(b"x" * 100)
    await collect()
    names = sorted(row.filename for row in await listed())
    assert names == [f"{number:02}" for number in range(20)]
    for number in range(10):
        (folder / f"{number:02}").write_bytes(b"y" * 900)
    await collect()
    assert sum(row.size for row in await listed()) <= LIMITS.quota


async def test_a_session_that_was_deleted_takes_nothing(
    folder: Path, collect: Collect, store: Store, shelf: Shelf
):
    (folder / "a").write_text("x")
    await store.sessions.delete(workspace=WORKSPACE, id=SESSION, now=1, check=lambda _row: None)
    with pytest.raises(NotFound):
        await collect()
    blobs = shelf.blobs.path("files")
    assert blobs is not None
    assert list(blobs.iterdir()) == []


async def test_a_layer_without_outputs_has_none(collect: Collect, layer: Path):
    (layer / "session/outputs").rmdir()
    assert await collect() == []


@contextmanager
def meanwhile(act: Callable[[], None]) -> Generator[None]:
    """Repeat `act` in a thread for the length of the block."""
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set():
            act()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


SWAPPING = """
import os, sys
os.chdir(sys.argv[1])
while True:
    for place, link in (("outputs/kept", "to_folder"), ("outputs/file", "to_file")):
        for start, end in ((place, "aside"), (link, place), (place, link), ("aside", place)):
            os.rename(start, end)
"""


@contextmanager
def swapping(parent: Path) -> Generator[None]:
    """Swap for the length of the block."""
    with subprocess.Popen([sys.executable, "-c", SWAPPING, str(parent)]) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.mark.slow
async def test_swapping_directories_and_links_meanwhile_leads_nowhere(
    folder: Path, collect: Collect, listed: Listed, shelf: Shelf, tmp_path: Path
):
    """Another process swaps a directory and a file with links to a secret, as fast as it can."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "name").write_text("secret")
    (folder / "kept").mkdir()
    (folder / "kept/name").write_text("fine")
    (folder / "file").write_text("fine")
    (folder.parent / "to_folder").symlink_to(outside)
    (folder.parent / "to_file").symlink_to(outside / "name")
    with swapping(folder.parent), anyio.fail_after(50):
        for number in range(100):
            (folder / "new").write_text(str(number))
            await collect()
    taken = {await content(shelf, row) for row in await listed()}
    assert taken <= {b"fine", *(str(number).encode() for number in range(100))}


@pytest.mark.slow
async def test_a_file_that_is_written_meanwhile_is_never_taken_torn(
    folder: Path, collect: Collect, listed: Listed, shelf: Shelf
):
    """Every version is one letter repeated; a mixture would be torn."""
    letters = iter(range(10_000_000))

    def write() -> None:
        letter = b"abcdefgh"[next(letters) % 8 :][:1]
        with (folder / "a").open("wb", buffering=0) as file:
            for _ in range(8):
                file.write(letter * 100)

    with meanwhile(write), anyio.fail_after(50):
        for _ in range(100):
            await collect()
    await collect()
    (row,) = await listed()
    whole = await content(shelf, row)
    assert (len(set(whole)), len(whole)) == (1, 800)
