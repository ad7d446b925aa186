"""The persistent shell, and everything a command may do to it."""

import os
from pathlib import Path

import pytest

from tests.toolservers.peer import Server

TERMINATED = ("bash: bash session terminated; restart required", True)


def wait_for_death(server: Server, pid: str) -> None:
    """Until a process that was killed is gone, or a corpse that somebody else has to bury."""
    while server.ok(f"cut -d' ' -f3 /proc/{pid}/stat 2>/dev/null; true") not in ("", "Z"):
        pass


def test_a_shell_keeps_directory_variables_and_functions(server: Server, workdir: Path):
    (workdir / "sub").mkdir()
    server.ok("cd sub; export A=1; B='two words'; f() { echo f-$1; }")
    assert server.ok('pwd; echo $A "$B"; f x') == f"{workdir}/sub\n1 two words\nf-x"


def test_each_thread_has_a_shell_of_its_own(server: Server):
    one = server.call("bash", {"command": "A=1"}, **{"wharfkeep/thread": "one"})
    two = server.call("bash", {"command": "echo [$A]"}, **{"wharfkeep/thread": "two"})
    again = server.call("bash", {"command": "echo [$A]"}, **{"wharfkeep/thread": "one"})
    assert (one, two, again) == (("", False), ("[]", False), ("[1]", False))


def test_output_and_errors_come_together_in_order(server: Server):
    command = "echo 1; echo 2 >&2; sh -c 'echo 3; echo 4 >&2'; echo 5"
    assert server.ok(command) == "1\n2\n3\n4\n5"


def test_a_failing_command_is_an_error_with_its_output(server: Server):
    assert server.bash("echo out; exit_status() { return 3; }; exit_status") == ("out", True)


@pytest.mark.parametrize("command", ["if true; then", "echo 'open", 'echo "open', "f() {", ")"])
def test_a_syntax_error_neither_hangs_nor_harms_the_shell(server: Server, command: str):
    text, failed = server.bash(command)
    assert failed
    assert "/bin/bash: " in text
    assert server.ok("echo fine") == "fine"


@pytest.mark.parametrize(
    "command",
    ["cat", "read x; echo", "head -c 1; true", "python3 -c 'input()' 2>/dev/null; true", "sh"],
)
def test_standard_input_is_empty(server: Server, command: str):
    assert server.bash(f"{command} || true") == ("", False)


def test_a_heredoc_and_quotes_of_every_kind_pass_unchanged(server: Server):
    text = 'it\'s "so" `odd` $(pwd) \\n \\ & | ; # } {\n\tübung 漢字 😀'
    assert server.ok(f"cat <<'END'\n{text}\nEND") == text


def test_a_large_command_passes_unchanged(server: Server):
    line = "x" * 99 + "\n"
    assert server.ok(f"wc -c <<'END'\n{line * 5000}END") == "500000"


def test_terminal_escapes_are_removed(server: Server):
    assert server.ok(r"printf '\033[1;31mred\033[0m \033[2Kplain\n'") == "red plain"


def test_only_the_end_of_long_output_is_kept_and_marked(server: Server):
    text = server.ok("seq 1 50000")
    assert text.startswith("[output truncated]\n")
    assert text.endswith("49999\n50000")
    assert len(text) == len("[output truncated]\n") + 100 * 1024 - 1


def test_one_huge_line_is_cut_too(server: Server):
    text = server.ok("head -c 10000000 /dev/zero | tr '\\0' x")
    assert text == "[output truncated]\n" + "x" * 100 * 1024


def test_binary_output_becomes_text(server: Server):
    assert server.ok(r"printf 'a\377b\000c'") == "a\ufffdb\0c"


def test_a_background_process_that_holds_the_output_holds_up_nothing(server: Server, workdir: Path):
    os.mkfifo(workdir / "hold")
    assert server.ok("sleep 1000 & echo started") == "started"
    assert server.ok("(setsid sh -c 'read x < hold' &); echo detached") == "detached"
    assert server.ok("kill %1 2>/dev/null; echo done") == "done"
    (workdir / "hold").write_text("let go\n")


def test_what_a_background_process_says_comes_with_a_later_command(server: Server, workdir: Path):
    os.mkfifo(workdir / "go")
    os.mkfifo(workdir / "gone")
    server.ok("(read x < go; echo late; echo > gone) &")
    assert server.ok("echo > go; read x < gone; echo now") == "late\nnow"


def test_a_flood_in_the_background_does_not_hold_up_a_command(server: Server):
    server.ok("yes > /dev/stdout &")
    text, failed = server.bash("echo mine")
    assert not failed
    assert len(text) < 300_000
    server.ok("kill $!")


@pytest.mark.parametrize("command", ["exec >&-", "exec 2>&-", "exec 1>/dev/null 2>&1", "exec <&-"])
def test_a_command_may_close_its_own_descriptors(server: Server, command: str):
    server.bash(f"{command}; echo lost")
    assert server.ok("echo found; ls /proc/self/fd | wc -l") == "found\n4"


def test_a_command_does_not_see_the_descriptors_of_the_protocol(server: Server):
    names = server.ok("for fd in /proc/self/fd/*; do readlink $fd; done; true").splitlines()
    assert (names[0], len(names)) == ("/dev/null", 3)
    assert server.ok("echo 1 >&98; true").endswith("98: Bad file descriptor")


def test_a_command_cannot_forge_its_end_by_printing(server: Server):
    assert server.ok("printf '%s %d\\n' 0123456789abcdef 0; echo real") == (
        "0123456789abcdef 0\nreal"
    )


def test_shell_options_stay_and_do_no_harm(server: Server):
    server.ok("set -u -o pipefail; shopt -s extglob nullglob; set -f")
    assert server.ok("echo $-") != ""
    server.ok("set -x")
    assert server.ok("echo 1") == "++ echo 1\n1"


def test_functions_named_like_builtins_do_no_harm(server: Server):
    server.ok("eval() { echo no; }; read() { echo no; }; printf() { echo no; }")
    assert server.ok("echo yes") == "yes"


def test_the_end_of_the_shell_is_told_and_later_commands_fail_until_a_restart(server: Server):
    assert server.bash("echo bye; exit 3") == (
        "bye\nbash session ended with status 3; restart required",
        True,
    )
    assert server.bash("echo again") == TERMINATED
    assert server.call("bash", {"restart": True}) == ("bash session restarted", False)
    assert server.ok("echo again") == "again"


@pytest.mark.parametrize(
    ("command", "status"), [("exit", 0), ("kill -9 $$", -9), ("exec true", 0), ("set -e; false", 1)]
)
def test_however_a_shell_ends_the_call_returns(server: Server, command: str, status: int):
    text = f"bash session ended with status {status}; restart required"
    assert server.bash(command) == (text, True)


def test_the_end_of_a_shell_does_not_wait_for_what_holds_its_output(server: Server, workdir: Path):
    os.mkfifo(workdir / "hold")
    text, failed = server.bash("(read x < hold) & exit 0")
    assert (text, failed) == ("bash session ended with status 0; restart required", True)
    (workdir / "hold").write_text("let go\n")


def test_a_timeout_kills_the_command_and_what_it_started(server: Server, workdir: Path):
    text, failed = server.bash(
        "sleep 1000 & echo $! > pid; echo begun; trap '' TERM INT; sleep 1000", timeout_ms=300
    )
    assert (text, failed) == ("bash: bash command timed out after 0.3s\nbegun", True)
    assert server.bash("true") == TERMINATED
    server.call("bash", {"restart": True})
    pid = (workdir / "pid").read_text().strip()
    wait_for_death(server, pid)


def test_a_timeout_ends_a_flood(server: Server):
    text, failed = server.bash("yes", timeout_ms=300)
    assert failed
    assert text.startswith("bash: bash command timed out after 0.3s\n[output truncated]\n")
    assert len(text) < 103_000


def test_the_callers_deadline_ends_a_command(server: Server):
    text, failed = server.call("bash", {"command": "sleep 1000"}, **{"wharfkeep/deadline_ms": 200})
    assert failed
    assert text.startswith("bash: bash command timed out after 0.")


def test_zero_means_the_default_timeout(server: Server):
    assert server.bash("echo 1", timeout_ms=0) == ("1", False)


def test_restart_gives_a_fresh_shell_and_ends_the_jobs_of_the_old_one(server: Server):
    pid = server.ok("cd /; A=1; sleep 1000 & echo $!")
    assert server.call("bash", {"restart": True, "command": "echo ignored"}) == (
        "bash session restarted",
        False,
    )
    assert server.ok("echo [$A] $PWD").startswith("[] ")
    assert server.ok("basename $PWD") == "workspace"
    wait_for_death(server, pid)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "bash: command is required"),
        ({"command": ""}, "bash: command is required"),
        ({"command": None}, "bash: command is required"),
        ({"command": 1}, "bash: command must be a string"),
        ({"command": "true", "timeout_ms": -1}, "bash: timeout_ms must not be negative"),
        ({"command": "true", "timeout_ms": True}, "bash: timeout_ms must be a whole number"),
        ({"command": "true", "cwd": "/"}, "bash: unknown argument 'cwd'"),
        ({"command": "a\0b"}, "bash: a command cannot contain a zero byte"),
        ({"command": "\ud800"}, "bash: the command holds half of a surrogate pair"),
    ],
)
def test_wrong_arguments_are_told(server: Server, arguments: dict[str, object], text: str):
    assert server.call("bash", arguments) == (text, True)


def test_the_longest_unused_shell_makes_room_and_its_thread_is_told(server: Server):
    for number in range(33):
        thread = {"wharfkeep/thread": f"t{number}"}
        assert server.call("bash", {"command": f"N={number}"}, **thread) == ("", False)
    assert server.call("bash", {"command": "echo $N"}, **{"wharfkeep/thread": "t0"}) == TERMINATED
    again = server.call("bash", {"command": "echo $N"}, **{"wharfkeep/thread": "t32"})
    assert again == ("32", False)


def test_a_pipe_whose_reader_left_ends_quietly(server: Server):
    assert server.ok("yes | head -1; echo ${PIPESTATUS[0]}") == "y\n141"


def test_keys_of_a_models_client_reach_no_command(workdir: Path):
    env = {"ANTHROPIC_API_KEY": "secret", "HOME": "/nowhere"}
    with Server(workdir, env=env) as server:
        assert server.ok("env | grep -c secret; echo $HOME; echo $TERM") == "0\n/nowhere\ndumb"
