"""What a layer takes is measured from outside, whatever an enemy made of it."""

import os
import stat
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from sandbox import layer
from sandbox.limits.meter import MAX_DEPTH
from sandbox.limits.quota import Meter, MeterError, Usage, shortage, space

MANY = 1 << 40
MEBIBYTE = 1024**2


@pytest.fixture
def meter() -> Generator[Meter]:
    made = Meter()
    yield made
    made.close()


def measure(meter: Meter, tree: Path) -> Usage:
    return meter.measure(tree, most_bytes=MANY, most_files=MANY)


def write(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())


def dig(tree: Path, depth: int) -> None:
    """Make directories in each other, deeper than any path could say."""
    place = os.open(tree, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=place)
        inner = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)


def test_bytes_and_names_are_counted_at_every_depth(meter: Meter, tmp_path: Path):
    empty = measure(meter, tmp_path)
    (tmp_path / "a/b").mkdir(parents=True)
    write(tmp_path / "a/one", MEBIBYTE)
    write(tmp_path / "a/b/two", MEBIBYTE)
    usage = measure(meter, tmp_path)
    assert usage.files - empty.files == 4
    assert 2 * MEBIBYTE <= usage.bytes <= 2 * MEBIBYTE + 65536


def test_a_hole_in_a_file_costs_nothing(meter: Meter, tmp_path: Path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(MANY)
    assert measure(meter, tmp_path).bytes < MEBIBYTE


def test_a_file_with_many_names_takes_its_space_once(meter: Meter, tmp_path: Path):
    write(tmp_path / "one", MEBIBYTE)
    for number in range(10):
        os.link(tmp_path / "one", tmp_path / f"name{number}")
    usage = measure(meter, tmp_path)
    assert usage.files == 11
    assert usage.bytes < 2 * MEBIBYTE


def test_links_are_names_and_never_followed(meter: Meter, tmp_path: Path):
    tree = tmp_path / "tree"
    tree.mkdir()
    write(tmp_path / "outside", MEBIBYTE)
    (tree / "file").symlink_to(tmp_path / "outside")
    (tree / "up").symlink_to(tmp_path)
    (tree / "itself").symlink_to("itself")
    os.mkfifo(tree / "fifo")
    usage = measure(meter, tree)
    assert usage.files == 4
    assert usage.bytes < MEBIBYTE


def test_a_tree_that_is_a_link_is_refused(meter: Meter, tmp_path: Path):
    (tmp_path / "link").symlink_to("/usr")
    with pytest.raises(MeterError):
        measure(meter, tmp_path / "link")


def test_a_file_that_is_deleted_but_open_is_found(meter: Meter, tmp_path: Path):
    write(tmp_path / "file", MEBIBYTE)
    with (tmp_path / "file").open("rb"):
        (tmp_path / "file").unlink()
        found = meter.measure(tmp_path, [os.getpid()], most_bytes=MANY, most_files=MANY)
        assert found.bytes >= MEBIBYTE
        assert measure(meter, tmp_path).bytes < MEBIBYTE


def test_directories_that_are_closed_to_their_owner_are_looked_into_and_left_closed(
    meter: Meter, tmp_path: Path
):
    closed = tmp_path / "closed"
    closed.mkdir()
    write(closed / "file", MEBIBYTE)
    closed.chmod(0)
    try:
        assert measure(meter, tmp_path).bytes >= MEBIBYTE
        assert stat.S_IMODE(closed.stat().st_mode) == 0
    finally:
        closed.chmod(0o700)


def test_directories_nested_without_end_are_told_and_cost_no_more(meter: Meter, tmp_path: Path):
    dig(tmp_path, MAX_DEPTH - 1)
    assert not measure(meter, tmp_path).deep
    (tmp_path / "again").mkdir()
    dig(tmp_path / "again", 3 * MAX_DEPTH)
    usage = measure(meter, tmp_path)
    assert usage.deep
    assert usage.files < 2 * MAX_DEPTH + 10
    for name in ("d", "again"):  # too deep for who cleans up after tests
        layer.remove(tmp_path / name, tmp_path)


def test_a_measurement_ends_when_there_is_more_than_was_asked_about(meter: Meter, tmp_path: Path):
    for number in range(100):
        (tmp_path / str(number)).touch()
    assert meter.measure(tmp_path, most_bytes=MANY, most_files=10).files == 11


def test_a_tree_that_changes_all_the_time_is_measured_all_the_same(meter: Meter, tmp_path: Path):
    (tmp_path / "a/b/c").mkdir(parents=True)
    over = threading.Event()

    def shuffle() -> None:
        while not over.is_set():
            (tmp_path / "a/b/c").rename(tmp_path / "c")
            (tmp_path / "a/b").rmdir()
            (tmp_path / "a/b").symlink_to("/usr")
            (tmp_path / "a/b").unlink()
            (tmp_path / "a/b").mkdir()
            (tmp_path / "c").rename(tmp_path / "a/b/c")

    enemy = threading.Thread(target=shuffle)
    enemy.start()
    try:
        for _ in range(200):
            assert measure(meter, tmp_path).files < 10
    finally:
        over.set()
        enemy.join()


def test_a_meter_that_was_killed_is_replaced(meter: Meter, tmp_path: Path):
    measure(meter, tmp_path)
    meter.close()
    assert measure(meter, tmp_path).files == 0


def test_a_meter_that_was_interrupted_measures_no_more(meter: Meter, tmp_path: Path):
    meter.interrupt()
    with pytest.raises(MeterError):
        measure(meter, tmp_path)


def test_a_layer_that_is_gone_is_an_error_and_the_next_one_is_measured(
    meter: Meter, tmp_path: Path
):
    with pytest.raises(MeterError, match="No such file"):
        measure(meter, tmp_path / "gone")
    assert measure(meter, tmp_path).files == 0


def test_too_little_space_is_told_with_what_to_do(tmp_path: Path):
    assert shortage(tmp_path, 1) == ()
    [note] = shortage(tmp_path, space(tmp_path).bytes + MANY)
    assert "sandbox.keep_free" in note
