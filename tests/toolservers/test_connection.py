"""Many calls on one connection, and clients that do not behave."""

import os
from pathlib import Path

import pytest

from tests.toolservers.peer import MODERN, Server, text_of

THREAD = "wharfkeep/thread"


def cancel(server: Server, request_id: object) -> None:
    params = {"requestId": request_id, "reason": "enough"}
    server.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


def wait_for(server: Server, path: Path) -> None:
    """Until a command has made a named pipe and opened it."""
    while not path.is_fifo():
        server.call("bash", {"command": "true"}, **{THREAD: "waiting"})
    path.read_bytes()


def start_sleeping(server: Server, workdir: Path, *, thread: str = "") -> int:
    """Start a command that does not end; returns when it runs."""
    command = f"mkfifo begun-{thread}; echo > begun-{thread}; sleep 1000"
    request_id = server.start_call("bash", {"command": command}, **{THREAD: thread})
    wait_for(server, workdir / f"begun-{thread}")
    return request_id


def test_a_quick_call_overtakes_a_slow_one(server: Server, workdir: Path):
    slow = server.start_call("bash", {"command": "mkfifo gate; cat gate"})
    while not (workdir / "gate").is_fifo():
        assert server.call("glob", {"pattern": "*"})[1] is False
    (workdir / "gate").write_text("opened")
    assert text_of(server.answer(slow)) == ("opened", False)


def test_commands_of_one_shell_run_one_after_the_other(server: Server):
    ids = [
        server.start_call("bash", {"command": f"N=$((N + 1)); echo {number}-$N"})
        for number in range(20)
    ]
    answers = {}
    for _ in ids:
        message = server.receive()
        answers[message["id"]] = text_of(message)[0]
    counts = sorted(int(text.partition("-")[2]) for text in answers.values())
    assert counts == list(range(1, 21))


def test_shells_of_different_threads_run_at_the_same_time(server: Server, workdir: Path):
    os.mkfifo(workdir / "meet")
    reader = server.start_call("bash", {"command": "cat meet"}, **{THREAD: "reader"})
    writer = server.start_call("bash", {"command": "echo met > meet"}, **{THREAD: "writer"})
    texts = {}
    for _ in range(2):
        message = server.receive()
        texts[message["id"]] = text_of(message)
    assert texts == {reader: ("met", False), writer: ("", False)}


def test_requests_sent_together_are_all_answered(server: Server):
    message = b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n'
    server.send(b"".join(message % number for number in range(1000, 1500)))
    assert sorted(server.receive()["id"] for _ in range(500)) == list(range(1000, 1500))


def test_a_cancelled_command_is_killed_and_not_answered(server: Server, workdir: Path):
    request_id = start_sleeping(server, workdir)
    cancel(server, request_id)
    assert server.bash("true") == ("bash: bash session terminated; restart required", True)
    server.call("bash", {"restart": True})
    assert server.ok("echo again") == "again"


def test_a_cancelled_search_is_killed_and_not_answered(workdir: Path, tmp_path: Path):
    program = tmp_path / "rg"
    program.write_text(f"#!/bin/sh\nmkfifo {workdir}/begun-; echo > {workdir}/begun-; sleep 1000\n")
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    with Server(workdir, env={"PATH": path}) as server:
        request_id = server.start_call("grep", {"pattern": "x"})
        wait_for(server, workdir / "begun-")
        cancel(server, request_id)
        assert server.bash("echo next") == ("next", False)


@pytest.mark.parametrize("request_id", [999, "x", None, [], {}, 1.5, True])
def test_cancelling_what_does_not_run_does_nothing(server: Server, request_id: object):
    cancel(server, request_id)
    assert server.ok("echo fine") == "fine"


def test_an_id_in_use_is_refused(server: Server, workdir: Path):
    request_id = start_sleeping(server, workdir)
    params = {"name": "read", "arguments": {"file_path": "x"}, "_meta": MODERN}
    server.send({"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params})
    assert server.receive()["error"]["code"] == -32600
    cancel(server, request_id)


def test_there_is_a_bound_on_calls_at_once(server: Server, workdir: Path):
    running = [start_sleeping(server, workdir, thread=f"t{number}") for number in range(30)]
    waiting = [server.start_call("bash", {"command": "true"}, **{THREAD: "t0"}) for _ in range(34)]
    refused = server.answer(server.start_call("bash", {"command": "true"}))
    assert refused["error"]["code"] == -32000
    for request_id in running + waiting:
        cancel(server, request_id)
    # What has ended makes room: the cancelled calls end one after the other.
    answer = refused
    while "error" in answer:
        request_id = server.start_call("read", {"file_path": "x"})
        while answer["id"] != request_id:
            answer = server.receive()


def test_progress_is_reported_while_a_command_runs(server: Server, workdir: Path):
    os.mkfifo(workdir / "gate")
    request_id = server.start_call(
        "bash", {"command": "echo first; cat gate"}, progressToken="token"
    )
    note = server.receive()
    (workdir / "gate").write_text("last")
    assert text_of(server.answer(request_id)) == ("first\nlast", False)
    assert note == {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": "token", "progress": 6, "message": "first"},
    }


def test_without_a_token_there_is_no_progress(server: Server):
    server.ok("for i in 1 2 3; do echo $i; done")
    assert server.notes == []


def test_a_client_that_sends_nonsense_is_told_and_served_on(server: Server):
    server.send(b"nonsense\n\n\r\n\xff\xff\n" + b"[" * 100_000 + b"\n")
    assert [server.receive()["error"]["code"] for _ in range(4)] == [-32700] * 4
    server.send(b"[]\n")
    assert server.receive()["error"]["code"] == -32600
    assert server.ok("echo fine") == "fine"


def test_a_line_of_more_than_16_mib_is_refused_and_skipped(server: Server):
    server.send(b"x" * (17 * 1024 * 1024) + b"\n")
    error = server.receive()
    assert (error["id"], error["error"]["code"]) == (None, -32700)
    assert server.ok("echo fine") == "fine"


def test_a_file_of_several_mib_passes_in_one_line(server: Server, workdir: Path):
    content = "12345678" * 1_000_000
    assert server.call("write", {"file_path": "big", "content": content})[1] is False
    assert (workdir / "big").read_text() == content


def test_the_server_ends_with_its_input_and_its_commands_with_it(server: Server, workdir: Path):
    pid = int(server.ok("echo $$"))
    start_sleeping(server, workdir)
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.process.wait(20) == 0
    while exists(pid):
        pass


def exists(group: int) -> bool:
    """Whether a process group has a member, alive or not yet buried."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_command_can_read_or_write_nothing_of_the_protocol(server: Server):
    assert server.ok("cat /proc/$PPID/fd/0 | wc -c") == "0"
    server.ok("echo stray > /proc/$PPID/fd/1 || true")
    assert server.ok("echo fine") == "fine"
