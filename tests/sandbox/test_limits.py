"""What bounds a sandbox: finding control groups, and what is said when there are none."""

import os
import resource
import signal
from pathlib import Path

import pytest

from sandbox import limits
from sandbox.contract import Limits
from sandbox.limits import Cgroups

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
    assert told["memory"] == told["cpus"] == told["disk"] == "none"
    assert told["processes"] == "rlimit"
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


def test_limits_never_ask_for_more_than_this_process_may_have():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    asked = dict(limits.rlimits(Limits(open_files=2**40), own_uid=False))
    assert asked[resource.RLIMIT_NOFILE] == (2**40 if hard == resource.RLIM_INFINITY else hard)
    assert resource.RLIMIT_NPROC not in asked
    assert asked[resource.RLIMIT_CORE] == 0


def test_processes_are_counted_when_the_user_id_is_the_sandbox_s_own():
    assert dict(limits.rlimits(LIMITS, own_uid=True))[resource.RLIMIT_NPROC] == 10
