"""Opening the store: what keeps it from opening is said in one line."""

import signal
import sys
from pathlib import Path

import anyio
import pytest

from gateway.errors import InvalidRequest, NotFound, StartError
from gateway.store.store import Store
from tests.store.places import Place
from tests.store.rows import WORKSPACE, add_session

ROOT = Path(__file__).parents[2]


async def test_a_second_server_on_a_data_directory_names_the_first(directory: Place):
    command = [sys.executable, "-m", "tests.store.holding", str(directory.data_dir)]
    async with await anyio.open_process(command, cwd=ROOT, stderr=None) as first:
        assert first.stdout is not None
        with anyio.fail_after(30):
            assert await first.stdout.receive() == b"serving\n"
        with pytest.raises(StartError, match=f"is already served by pid {first.pid}$"):
            await directory.start()
        # A command that only adds a key may come beside it.
        async with directory.open(serving=False) as store:
            assert await store.keys.list(workspace=WORKSPACE) == []
        first.send_signal(signal.SIGKILL)
    async with directory.open():
        pass


async def test_a_data_directory_is_made_for_its_owner_only(directory: Place):
    async with directory.open():
        assert directory.data_dir.stat().st_mode & 0o777 == 0o700


async def test_a_data_directory_that_is_a_file_is_said_so(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StartError, match=r"cannot use the data directory .*: (Not a|File exists)"):
        await Place("", file).start()
    with pytest.raises(StartError, match="cannot use the data directory"):
        await Place("", file / "below").start()


async def test_a_file_that_is_no_database_is_said_so(directory: Place):
    directory.data_dir.mkdir()
    (directory.data_dir / "wharfkeep.db").write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(StartError, match=r"cannot use .*wharfkeep.db: file is not a database"):
            await directory.start()


async def test_a_server_that_is_not_there_is_said_so(tmp_path: Path):
    place = Place(f"postgresql://nobody@/nothing?host={tmp_path}", tmp_path)
    with pytest.raises(StartError, match="cannot use the PostgreSQL database: ") as raised:
        await place.start()
    assert "\n" not in str(raised.value)


async def test_text_that_a_database_cannot_hold_is_found_nowhere(store: Store):
    await add_session(store)
    for name in ("sesn\0", "sesn\ud800"):
        with pytest.raises((NotFound, InvalidRequest)):
            await store.sessions.get(workspace=WORKSPACE, id=name)
        with pytest.raises((NotFound, InvalidRequest)):
            await store.agents.get(workspace=WORKSPACE, id=name)


async def test_closing_leaves_nothing_open(place: Place):
    async with place.open():
        pass
    before = open_files()
    for number in range(2):
        async with place.open() as store:
            await add_session(store, f"sesn_{number}")
    assert open_files() <= before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
