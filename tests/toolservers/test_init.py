"""The first program of a sandbox, spoken to as a driver does."""

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.toolservers.driver import Driver
from tests.toolservers.peer import PATIENCE, PYTHON, ROOT


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with Driver(tmp_path) as driver:
        yield driver


def test_a_tools_channel_serves_the_tools_in_the_working_directory(driver: Driver):
    peer = driver.tools()
    assert peer.ok("pwd") == str(driver.workdir)
    assert peer.call("write", {"file_path": "a", "content": "b"})[1] is False
    assert (driver.workdir / "a").read_text() == "b"


def test_shells_belong_to_the_sandbox_and_not_to_a_channel(driver: Driver):
    driver.tools("one").ok("A=kept")
    assert driver.tools("two").ok("echo $A") == "kept"


def test_channels_work_side_by_side(driver: Driver):
    os.mkfifo(driver.workdir / "meet")
    one, two = driver.tools("one"), driver.tools("two")
    reader = one.start_call("bash", {"command": "cat meet"}, **{"wharfkeep/thread": "one"})
    two.ok("echo met > meet")
    assert one.answer(reader)["result"]["content"][0]["text"] == "met"


def test_a_spawned_program_has_the_channel_as_input_and_output(driver: Driver):
    order = {"open": "c", "target": "spawn", "argv": ["sh", "-c", "read x; echo $x-$A"]}
    channel = driver.dial({**order, "env": {"A": "a"}})
    channel.send(b"line\n")
    assert channel.read_rest() == b"line-a\n"
    assert driver.control.receive() == {"exited": "c", "status": 0}


@pytest.mark.parametrize(("program", "status"), [("exit 7", 7), ("kill -9 $$", -9)])
def test_the_end_of_a_spawned_program_is_told(driver: Driver, program: str, status: int):
    driver.dial({"open": "c", "target": "spawn", "argv": ["sh", "-c", program]})
    assert driver.control.receive() == {"exited": "c", "status": status}


def test_a_program_that_is_not_there_fails_before_its_channel(driver: Driver):
    answer = driver.order({"open": "c", "target": "spawn", "argv": ["no-such-program"]})
    assert answer == {"failed": "c", "error": "no such file or directory"}


def test_a_claim_gives_an_environment_to_later_children(driver: Driver):
    before = driver.tools().ok("echo [$NAME]")
    assert driver.order({"claim": {"env": {"NAME": "session", "HOME": "/home/agent"}}}) == {
        "claimed": True
    }
    after = driver.tools("two").call(
        "bash", {"command": "echo $NAME $HOME"}, **{"wharfkeep/thread": "new"}
    )
    assert (before, after) == ("[]", ("session /home/agent", False))
    program = ["sh", "-c", "echo $NAME"]
    channel = driver.dial({"open": "c", "target": "spawn", "argv": program})
    assert channel.read_rest() == b"session\n"


def test_the_token_reaches_no_child(driver: Driver):
    text = driver.tools().ok("env; cat /proc/$PPID/cmdline /proc/$PPID/environ | tr '\\0' ' '")
    assert "a-token" not in text


@pytest.mark.parametrize("size", [0, 1, 65536, 3_000_000])
def test_bytes_go_in_and_out_unchanged(driver: Driver, size: int):
    data = os.urandom(size)
    path = str(driver.workdir / "a/b/file")
    assert driver.transfer({"push": "in", "path": path, "mode": 0o640}, data) == ({"ok": True}, b"")
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o640
    assert driver.transfer({"pull": "out", "path": path}) == ({"ok": True, "size": size}, data)


def test_a_push_that_is_cut_short_leaves_nothing(driver: Driver):
    order = {"push": "in", "path": "f", "size": 10}
    answer, _ = driver.transfer(order, b"short")
    assert answer == {"error": "the file did not arrive whole"}
    assert list(driver.workdir.iterdir()) == []


def test_links_are_not_followed(driver: Driver, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.write_text("outside")
    (driver.workdir / "link").symlink_to(outside)
    answer, _ = driver.transfer({"pull": "out", "path": "link"})
    assert answer == {"error": "too many levels of symbolic links"}
    assert driver.transfer({"push": "in", "path": "link"}, b"new")[0] == {"ok": True}
    assert outside.read_text() == "outside"
    assert (driver.workdir / "link").read_text() == "new"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("absent", "no such file or directory"),
        (".", "not a regular file"),
        ("fifo", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("x" * 300, "file name too long"),
    ],
)
def test_what_cannot_be_pulled_is_told(driver: Driver, path: str, error: str):
    os.mkfifo(driver.workdir / "fifo")
    assert driver.transfer({"pull": "out", "path": path}) == ({"error": error}, b"")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (".", "is a directory"),
        ("file/below", "file already exists"),
        ("x" * 300, "file name too long"),
    ],
)
def test_what_cannot_be_pushed_is_told(driver: Driver, path: str, error: str):
    (driver.workdir / "file").touch()
    assert driver.transfer({"push": "in", "path": path}, b"x")[0] == {"error": error}


@pytest.mark.parametrize(
    "order",
    [
        b"nonsense\n",
        b"\xff\n",
        b"[]\n",
        b"1\n",
        b"[" * 100_000 + b"\n",
        b"x" * 5_000_000 + b"\n",
        {},
        {"unknown": 1},
        {"open": None},
        {"open": {}},
        {"open": "c", "target": "nonsense"},
        {"open": "c", "target": "spawn"},
        {"open": "c", "target": "spawn", "argv": []},
        {"open": "c", "target": "spawn", "argv": "sh"},
        {"open": "c", "target": "spawn", "argv": ["sh", 1]},
        {"open": "c", "target": "spawn", "argv": ["sh", "a\0b"]},
        {"open": "c", "target": "spawn", "argv": ["sh"], "env": {"A=B": "c"}},
        {"open": "c", "target": "spawn", "argv": ["sh"], "env": {"A": 1}},
        {"open": "c", "target": "spawn", "argv": ["sh"], "env": ["A"]},
        {"pull": "c"},
        {"pull": "c", "path": 1},
        {"pull": "c", "path": "a\0b"},
        {"push": "c", "path": ""},
        {"push": "c", "path": "f", "mode": "0644"},
        {"claim": None},
        {"claim": {"env": None}},
        {"claim": {"env": {"": "x"}}},
    ],
    ids=lambda order: repr(order)[:50],
)
def test_a_bad_order_is_answered_and_forgotten(driver: Driver, order: Any):
    assert "error" in driver.order(order)
    assert driver.tools().ok("echo fine") == "fine"


def test_the_program_ends_when_it_is_told_to(driver: Driver):
    driver.control.send({"exit": True})
    assert driver.process.wait(PATIENCE) == 0


def test_the_program_ends_with_its_control_line_and_its_children_with_it(driver: Driver):
    shell = int(driver.tools().ok("sleep 1000 & echo $$"))
    program = ["sh", "-c", "echo $$; exec sleep 1000"]
    child = driver.dial({"open": "c", "target": "spawn", "argv": program}).receive()
    driver.hang_up()
    assert driver.process.wait(PATIENCE) == 0
    for group in (shell, child):
        while _is_there(group):
            pass


def test_children_that_lost_their_parent_leave_no_corpses(driver: Driver):
    peer = driver.tools()
    peer.ok("for i in $(seq 20); do (setsid true &) ; done; (sleep 0 &)")
    peer.bash("exit")
    peer.call("bash", {"restart": True})
    while "Z" in peer.ok(
        f"cat /proc/[0-9]*/stat 2>/dev/null | grep ' Z {driver.process.pid} '; true"
    ):
        pass


def test_without_a_driver_it_ends_with_one_line(tmp_path: Path):
    path = tmp_path / "nobody"
    with socket.socket(socket.AF_UNIX) as bound:  # and does not listen
        bound.bind(str(path))
    done = subprocess.run(
        [PYTHON, "-m", "toolservers", "--socket", str(path)],
        cwd=ROOT,
        input=b"token\n",
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.decode() == f"{path}: Connection refused\n"


@pytest.mark.parametrize("source", ["environment", "descriptor"])
def test_the_token_may_come_by_other_ways(tmp_path: Path, source: str):
    path = tmp_path / "socket"
    read_end, write_end = os.pipe()
    os.write(write_end, b"other\n")
    by_descriptor = source == "descriptor"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        options = ["--token-fd", str(read_end)] if by_descriptor else []
        with subprocess.Popen(
            [PYTHON, "-m", "toolservers", "--socket", str(path), *options],
            cwd=ROOT,
            env={} if by_descriptor else {"WHARFKEEP_TOKEN": "other"},
            pass_fds=[read_end],
        ) as process:
            listener.settimeout(PATIENCE)
            control, _ = listener.accept()
            with control, control.makefile("rb") as lines:
                assert lines.readline() == b'{"token": "other"}\n'
        assert process.returncode == 0
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize(
    "words",
    [[], ["--socket"], ["--stdio", "--socket", "x"], ["--token-fd", "x", "--stdio"], ["--help"]],
)
def test_arguments_that_say_nothing_show_the_usage(words: list[str]):
    done = subprocess.run(
        [PYTHON, "-m", "toolservers", *words],
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"Usage: ")


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
