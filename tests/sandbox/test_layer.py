"""The writable layer: where it lives, who owns it, and getting rid of a hostile one."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from sandbox import layer
from sandbox.contract import SandboxError, SandboxGone, Unavailable
from sandbox.layer import UidRange
from tests.sandbox.places import IS_ROOT, PLAIN_USER

OWNER = PLAIN_USER if IS_ROOT else os.geteuid()
root_only = pytest.mark.skipif(not IS_ROOT, reason="only root runs sandboxes as other users")


@pytest.fixture
def layers(data_dir: Path) -> Path:
    (data_dir / "layers").mkdir()
    (data_dir / "trash").mkdir()
    return data_dir / "layers"


@pytest.fixture
def umask() -> Generator[Callable[[int], int]]:
    before = os.umask(0o022)
    os.umask(before)
    yield os.umask
    os.umask(before)


def test_a_new_layer_is_its_owner_s_alone(layers: Path):
    made = layer.create(layers, "one", OWNER)
    places = [made.path, *made.path.rglob("*")]
    assert {place.relative_to(made.path).as_posix() for place in places} == {
        *(".", "workspace", "session", "session/outputs", "home")
    }
    for place in places:
        assert place.stat().st_mode & 0o777 == 0o700
        assert place.stat().st_uid == OWNER


def test_a_layer_is_found_again_with_its_owner(layers: Path):
    made = layer.create(layers, "one", OWNER)
    assert layer.find(layers, "one") == made
    assert layer.existing(layers) == [made]


def test_two_layers_of_one_name_cannot_be(layers: Path):
    layer.create(layers, "one", OWNER)
    with pytest.raises(SandboxError):
        layer.create(layers, "one", OWNER)


def test_a_link_in_the_place_of_a_layer_is_none(layers: Path):
    (layers / "one").symlink_to("/")
    with pytest.raises(SandboxGone):
        layer.find(layers, "one")


@root_only
def test_a_layer_that_was_never_finished_is_none(layers: Path):
    (layers / "one").mkdir()
    with pytest.raises(SandboxGone):
        layer.find(layers, "one")


def make_hostile(top: Path) -> None:
    """All kinds of entries, some under directories that nobody may enter."""
    (top / "link").symlink_to("/")
    (top / "dangling").symlink_to("../../../nowhere")
    (top / "loop").symlink_to("loop")
    os.mkfifo(top / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(top, os.O_PATH)
        listener.bind(f"/proc/self/fd/{place}/socket")
        os.close(place)
    (top / "line\nfeed").write_text("")
    Path(os.fsdecode(bytes(top) + b"/\xff\xfe")).write_text("")
    (top / ("x" * 255)).mkdir()
    closed = top / "closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "inner/file").write_text("")
    (closed / "inner").chmod(0)
    closed.chmod(0)
    for number in range(3):
        (top / f"moved.{number}").mkdir()
        (top / f"moved.{number}/file").write_text("")


def test_a_hostile_tree_is_removed_and_no_link_is_followed(layers: Path, data_dir: Path):
    made = layer.create(layers, "one", os.geteuid())
    precious = data_dir / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    (made.path / "workspace/escape").symlink_to(precious)
    make_hostile(made.path / "workspace")
    layer.remove(made.path, data_dir / "trash")
    assert [*layers.iterdir()] == [*(data_dir / "trash").iterdir()] == []
    assert (precious / "file").read_text() == "kept"


DEEP = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(20_000):
    os.mkdir("d")
    os.chdir("d")
open("bottom", "w").close()
"""


def test_a_tree_deeper_than_any_path_is_removed(layers: Path, data_dir: Path):
    made = layer.create(layers, "one", os.geteuid())
    workspace = made.path / "workspace"
    subprocess.run([sys.executable, "-I", "-c", DEEP, workspace], check=True)
    layer.remove(made.path, data_dir / "trash")
    assert [*(data_dir / "trash").iterdir()] == []


def test_what_an_interrupted_removal_left_is_removed_later(layers: Path, data_dir: Path):
    made = layer.create(layers, "one", os.geteuid())
    make_hostile(made.path / "home")
    made.path.rename(data_dir / "trash/0")
    layer.empty(data_dir / "trash")
    assert [*(data_dir / "trash").iterdir()] == []


def test_removals_do_not_replace_each_other_in_the_trash(layers: Path, data_dir: Path):
    (data_dir / "trash/0").mkdir()
    (data_dir / "trash/1").mkdir()
    made = layer.create(layers, "one", os.geteuid())
    layer.remove(made.path, data_dir / "trash")
    assert sorted(place.name for place in (data_dir / "trash").iterdir()) == ["0", "1"]


@root_only
def test_the_owners_of_existing_layers_count_as_taken(layers: Path):
    layer.create(layers, "one", 70_000)
    uids = UidRange(range(70_000, 70_003), layers)
    assert uids.take("two") == 70_001
    assert uids.take("three") == 70_002
    with pytest.raises(SandboxError):
        uids.take("four")
    uids.give_back("one")
    assert uids.take("four") == 70_000


def test_a_user_id_is_not_given_again_at_once(layers: Path):
    uids = UidRange(range(70_000, 70_003), layers)
    first = uids.take("one")
    uids.give_back("one")
    assert uids.take("two") != first


def test_layers_live_in_the_data_directory_whatever_the_umask(
    data_dir: Path, umask: Callable[[int], int]
):
    data_dir.chmod(0o711)
    umask(0o077)
    root = layer.usable_root(data_dir / "new/deep")
    assert root == Path(os.path.realpath(data_dir)) / "new/deep/sandboxes"
    assert layer.enterable(root) is IS_ROOT


@root_only
def test_a_data_directory_that_is_ours_is_opened_for_sandbox_users(data_dir: Path):
    data_dir.chmod(0o700)
    root = layer.usable_root(data_dir)
    assert root == Path(os.path.realpath(data_dir)) / "sandboxes"
    assert data_dir.stat().st_mode & 0o777 == 0o711
    assert layer.enterable(root)


@root_only
def test_under_a_closed_directory_layers_live_elsewhere_and_it_is_said(
    data_dir: Path, caplog: pytest.LogCaptureFixture
):
    data_dir.chmod(0o711)
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    fallback = data_dir / "fallback"
    root = layer.usable_root(closed / "data", fallback=fallback)
    assert root.parent == fallback
    assert layer.enterable(root)
    assert str(root) in caplog.text
    assert closed.stat().st_mode & 0o777 == 0o700
    assert layer.usable_root(closed / "data", fallback=fallback) == root
    assert layer.usable_root(closed / "other", fallback=fallback) != root


@root_only
def test_without_a_place_that_sandbox_users_can_enter_there_is_a_remedy(data_dir: Path):
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(Unavailable, match="data_dir"):
        layer.usable_root(closed / "data", fallback=closed / "fallback")
