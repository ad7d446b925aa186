"""What bounds a sandbox: finding control groups, and what is said when there are none."""

import os
import signal
from pathlib import Path

import pytest

from sandbox.contract import Limits
from sandbox.limits import group as limits
from sandbox.limits import ruins
from sandbox.limits.breaches import Breaches, size
from sandbox.limits.group import Cgroups, Group

LIMITS = Limits(memory=64 * 1024**2, processes=10, cpus=0.5)


@pytest.fixture
def group_tree(tmp_path: Path) -> tuple[Path, Path]:
    """A directory that looks like version 2, and a /proc that says where it is."""
    mount, proc = tmp_path / "cgroup", tmp_path / "proc"
    own = mount / "service"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text("cpu io memory pids\n")
    (proc / "self").mkdir(parents=True)
    (proc / "self/mountinfo").write_text(
        "22 1 0:20 / / rw - ext4 /dev/root rw\n"
        f"30 22 0:26 / {mount} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    (proc / "self/cgroup").write_text("0::/service\n")
    return own, proc


def test_a_delegated_group_of_version_2_is_divided_and_tried(group_tree: tuple[Path, Path]):
    own, proc = group_tree
    # A group can be removed with its files in it, and a directory cannot: so nothing is found.
    assert limits.find("wharfkeep", proc=proc) is None
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert (own / "wharfkeep/cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    tried = {file.name for file in (own / "wharfkeep/probe").iterdir()}
    assert tried == {"memory.max", "pids.max", "cpu.max"}


def test_version_2_limits_are_written_where_they_belong(group_tree: tuple[Path, Path]):
    own, _ = group_tree
    place = own / "groups"
    place.mkdir()
    (place / "one").mkdir()
    (place / "one/memory.swap.max").touch()
    cgroups = Cgroups("cgroup-v2", dict.fromkeys(limits.CONTROLLERS, place))
    group = cgroups.make("one", LIMITS)
    group.enter(4711)
    written = {file.name: file.read_text() for file in (place / "one").iterdir()}
    assert written == {
        "memory.max": str(64 * 1024**2),
        "memory.swap.max": "0",
        "pids.max": "10",
        "cpu.max": "50000 100000",
        "cgroup.procs": "4711",
    }


def test_a_group_that_is_a_container_s_root_is_found_below_its_mount(tmp_path: Path):
    mount, proc = tmp_path / "memory", tmp_path / "proc"
    mount.mkdir()
    (proc / "self").mkdir(parents=True)
    (proc / "self/mountinfo").write_text(
        f"30 22 0:26 /docker/abc {mount} rw - cgroup cgroup rw,memory\n"
    )
    (proc / "self/cgroup").write_text("4:memory:/docker/abc/inner\n")
    limits.find("wharfkeep", proc=proc)  # tries, and leaves its directory where it tried
    assert not (mount / "docker").exists()


def test_without_any_control_group_nothing_is_promised(tmp_path: Path):
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("22 1 0:20 / / rw - ext4 /dev/root rw\n")
    (tmp_path / "self/cgroup").write_text("")
    assert limits.find("wharfkeep", proc=tmp_path) is None
    assert limits.find("wharfkeep", proc=tmp_path / "missing") is None
    told = limits.enforcement(None, own_uid=True)
    assert told["cpus"] == "none"
    assert told["memory"] == told["disk"] == told["files"] == "watchdog"
    assert told["processes"] == "rlimit"
    unseen = limits.enforcement(None, own_uid=True, watched=False)
    assert unseen["memory"] == unseen["disk"] == unseen["files"] == "none"
    assert set(told) == set(Limits.__slots__)


def test_the_groups_of_this_machine_hold_a_process_and_are_removed(tmp_path: Path):
    found = limits.find(f"wharfkeep-test-{os.getpid()}")
    if found is None:
        pytest.skip("this machine lets us make no control group")
    try:
        group = found.make("one", LIMITS)
        assert found.names() == ["one"]
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        group.enter(child)
        for directory in group.directories:
            assert (directory / "cgroup.procs").read_text().split() == [str(child)]
        group.kill()
        os.waitpid(child, 0)
        group.remove()
        assert found.names() == []
    finally:
        found.close()


def test_groups_that_a_killed_gateway_left_elsewhere_are_removed_with_what_runs_there():
    name = f"wharfkeep-test-left-{os.getpid()}"
    found = limits.find(name)
    if found is None:
        pytest.skip("this machine lets us make no control group")
    own = next(iter(found.parents.values()))
    elsewhere = own.with_name(f"{name}-before")
    stranger = elsewhere / "stranger"
    left = elsewhere / name / "one"
    try:
        for place in (elsewhere, stranger, left.parent, left):
            place.mkdir()
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        Group((left,)).enter(child)
        ruins.clear(found.name, found.parents.values())
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert not left.parent.exists()
        assert (own.is_dir(), stranger.is_dir()) == (True, True)
    finally:
        Group((left, left.parent, stranger, elsewhere)).remove()
        found.close()


def test_what_the_kernel_refused_is_counted_until_it_is_told(tmp_path: Path):
    events, others = tmp_path / "memory.events", tmp_path / "pids.events"
    events.write_text("low 0\nhigh 7\nmax 3\noom 1\noom_kill 1\n")
    others.write_text("max 0\n")
    breaches = Breaches(Group((tmp_path,)), LIMITS)
    breaches.look()
    assert breaches.take() == ()
    events.write_text("low 0\nhigh 9\nmax 4\noom 2\noom_kill 2\n")
    others.write_text("max 12\n")
    breaches.look()
    breaches.look()
    assert [breach.limit for breach in breaches.take()] == ["memory", "processes"]
    breaches.look()
    assert breaches.take() == ()


def test_a_group_that_is_gone_refused_nothing_more(tmp_path: Path):
    events = tmp_path / "memory.oom_control"
    events.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    breaches = Breaches(Group((tmp_path,)), LIMITS)
    events.unlink()
    breaches.look()
    assert breaches.take() == ()


@pytest.mark.parametrize(
    ("number", "text"),
    [(2 * 1024**3, "2 GiB"), (64 * 1024**2, "64 MiB"), (1536, "1.5 KiB"), (1, "1 bytes")],
)
def test_sizes_are_told_as_people_say_them(number: int, text: str):
    assert size(number) == text
