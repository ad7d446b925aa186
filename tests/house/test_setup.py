"""The start script installs what is missing, once, and nothing else.

The scripts are the real ones; the programs they call (apt-get, sudo, python3, uv) are stand-ins
that write down how they were called.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import ROOT

_SYSTEM = "sh env cat readlink dirname basename sha256sum flock mktemp tail rm ls ln mkdir chmod"
_NOTE = 'echo "$(basename "$0") $*" >>"$CALLS"'
_STAND_INS = {
    "id": "echo ${USER_ID}",
    "sudo": f'{_NOTE}\n[ "$MAY_SUDO" = yes ] || exit 1\nshift\n"$@"',
    "apt-get": f"""{_NOTE}
for word; do
    case $word in
    bubblewrap) ln -s /bin/true "$STAND_INS/bwrap" ;;
    ripgrep) ln -s /bin/true "$STAND_INS/rg" ;;
    python3-venv) echo >"$STAND_INS/has-venv" ;;
    esac
done""",
    "python3": f"""case $* in
*ensurepip*) [ -e "$STAND_INS/has-venv" ] ;;
*venv*)
    {_NOTE}
    for place; do :; done
    mkdir -p "$place/bin" "$place/lib/python/site-packages"
    ln -sf "$STAND_INS/inner" "$place/bin/python"
    ln -sf "$STAND_INS/inner" "$place/bin/pip" ;;
esac""",
    "inner": """case $* in
*"pip install"*) echo "pip $*" >>"$CALLS"; [ "$PIP_WORKS" = yes ] || { echo no route; exit 1; } ;;
*"gateway "*) echo "started: $*" ;;
esac""",
}


class Machine:
    """A checkout and a machine that has nothing but a bare system."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.calls = folder / "calls"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls.touch()
        shutil.copytree(ROOT / "bin", self.checkout / "bin")
        (self.checkout / "requirements").mkdir()
        (self.checkout / "requirements/runtime.txt").write_text("one==1\n", encoding="utf-8")
        for program in _SYSTEM.split():
            (self.bin / program).symlink_to(shutil.which(program) or program)
        for program, body in _STAND_INS.items():
            self.add(program, body)
        # The stand-in interpreter is called through .venv, whose library folder has its name.
        (self.bin / "inner").rename(self.bin / "python")
        (self.bin / "inner").symlink_to("python")
        self.environment = {
            "PATH": str(self.bin),
            "STAND_INS": str(self.bin),
            "CALLS": str(self.calls),
            "USER_ID": "0",
            "MAY_SUDO": "no",
            "PIP_WORKS": "yes",
        }

    def add(self, program: str, body: str) -> None:
        path = self.bin / program
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)

    def popen(self, *arguments: str, command: Path | None = None) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [command or self.checkout / "bin/wharfkeep", *arguments],
            env=self.environment,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: str, command: Path | None = None) -> tuple[int, str, str]:
        """Run the start script; returns its status and what it said on both channels."""
        with self.popen(*arguments, command=command) as process:
            out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def installed(self) -> list[str]:
        """Which installers were called so far."""
        lines = self.calls.read_text(encoding="utf-8").splitlines()
        return [line.split()[0] for line in lines]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_start_installs_what_is_missing_and_then_runs(machine: Machine):
    status, out, _ = machine.start("demo")
    assert (status, out) == (0, "started: -P -m gateway demo\n")
    assert machine.installed() == ["apt-get", "apt-get", "python3", "pip"]
    assert "install -y --no-install-recommends python3-venv bubblewrap ripgrep" in (
        machine.calls.read_text(encoding="utf-8")
    )


def test_a_start_with_nothing_missing_calls_no_installer(machine: Machine):
    machine.start("demo")
    before = machine.installed()
    status, out, err = machine.start("serve", "--listen", "127.0.0.1:0")
    assert (status, err) == (0, "")
    assert out == "started: -P -m gateway serve --listen 127.0.0.1:0\n"
    assert machine.installed() == before


def test_a_command_without_sandboxes_does_not_ask_for_bubblewrap(machine: Machine):
    machine.start("--help")
    assert "bubblewrap" not in machine.calls.read_text(encoding="utf-8")


def test_a_user_with_sudo_installs_through_it(machine: Machine):
    machine.environment |= {"USER_ID": "1000", "MAY_SUDO": "yes"}
    status, _, _ = machine.start("demo")
    assert status == 0
    assert machine.installed()[:2] == ["sudo", "sudo"]


def test_a_user_without_sudo_gets_the_one_line_to_ask_for(machine: Machine):
    machine.environment["USER_ID"] = "1000"
    status, out, err = machine.start("demo")
    assert (status, out) == (1, "")
    assert err == (
        "wharfkeep: ask an administrator to run: "
        "sudo apt-get install -y python3-venv bubblewrap ripgrep\n"
    )
    assert machine.installed() == ["sudo"]


def test_a_user_without_sudo_starts_when_the_packages_are_there(machine: Machine):
    machine.environment["USER_ID"] = "1000"
    machine.add("bwrap", ":")
    (machine.bin / "has-venv").touch()
    status, _, _ = machine.start("demo")
    assert (status, machine.installed()) == (0, ["python3", "pip"])


def test_a_changed_lock_installs_again_without_starting_over(machine: Machine):
    machine.start("demo")
    (machine.checkout / "requirements/runtime.txt").write_text("one==2\n", encoding="utf-8")
    before = machine.installed()
    machine.start("demo")
    assert machine.installed() == [*before, "pip"]


def test_two_starts_at_once_install_once(machine: Machine):
    (machine.bin / "has-venv").touch()
    with machine.popen("keys") as first, machine.popen("keys") as second:
        for process in (first, second):
            assert process.communicate(timeout=30)[0] == "started: -P -m gateway keys\n"
    assert machine.installed() == ["python3", "pip"]


def test_a_failed_installation_says_why_and_is_tried_again(machine: Machine):
    machine.environment["PIP_WORKS"] = "no"
    status, out, err = machine.start("--help")
    assert (status, out) == (1, "")
    assert "no route" in err
    assert err.endswith("wharfkeep: the installation failed; the same command tries again\n")
    machine.environment["PIP_WORKS"] = "yes"
    assert machine.start("--help")[0] == 0


def test_uv_is_used_where_it_is(machine: Machine):
    machine.add("uv", f'{_NOTE}\ncase $1 in venv) "$STAND_INS/python3" "$@" ;; esac')
    status, out, _ = machine.start("keys", "list")
    assert (status, out) == (0, "started: -P -m gateway keys list\n")
    assert "python3-venv" not in machine.calls.read_text(encoding="utf-8")
    assert machine.installed() == ["uv", "python3", "uv"]


def test_the_script_finds_its_checkout_through_symbolic_links(machine: Machine, tmp_path: Path):
    link = tmp_path / "somewhere"
    link.symlink_to(os.path.relpath(machine.checkout / "bin/wharfkeep", tmp_path))
    status, out, _ = machine.start("keys", "list", command=link)
    assert (status, out) == (0, "started: -P -m gateway keys list\n")
