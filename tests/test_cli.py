"""The command line as a user types it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.tree import ROOT


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


def wharfkeep(*arguments: str, **variables: str) -> Ended:
    """Run the command line as a process with a clean environment."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gateway", *arguments],
        env={**inherited, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_help_lists_the_commands():
    ended = wharfkeep("--help")
    assert ended.status == 0
    for command in ("serve", "demo", "keys", "config", "db", "doctor", "completion"):
        assert f"\n  {command} " in ended.out


def test_an_unknown_command_ends_with_status_2():
    assert wharfkeep("serv").status == 2


def test_a_good_configuration_is_good():
    assert wharfkeep("config", "check") == Ended(0, "The configuration is good.\n", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[serer]\n", "serer: "),
        ("[server]\nlisten = 5\n", "server.listen: "),
        ("[server]\nlisten = 'nowhere'\n", "server.listen must be HOST:PORT"),
        ("[sandbox]\nmemory = '2 bags'\n", "sandbox.memory: "),
        ("[server\n", "is not TOML"),
    ],
)
def test_a_bad_configuration_is_one_line_and_status_2(text: str, said: str, tmp_path: Path):
    file = tmp_path / "wharfkeep.toml"
    file.write_text(text, encoding="utf-8")
    ended = wharfkeep("config", "check", "--config", str(file))
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.startswith("wharfkeep: ")
    assert ended.err.count("\n") == 1


def test_a_missing_configuration_file_is_named():
    ended = wharfkeep("serve", "--config", "/nowhere/wharfkeep.toml")
    assert ended == Ended(
        2, "", "wharfkeep: cannot read /nowhere/wharfkeep.toml: No such file or directory\n"
    )


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path):
    file = tmp_path / "wharfkeep.toml"
    file.write_text("[server]\nlisten = '[::1]:1'\nping_seconds = 3\n", encoding="utf-8")
    ended = wharfkeep(
        "config",
        "show",
        "--json",
        WHARFKEEP_CONFIG=str(file),
        WHARFKEEP_SERVER__LISTEN="127.0.0.1:2",
    )
    server = json.loads(ended.out)["server"]
    assert (server["listen"], server["ping_seconds"], server["drain_seconds"]) == (
        "127.0.0.1:2",
        3.0,
        20.0,
    )


@pytest.mark.parametrize("address", ["8400", "localhost:", "localhost:http", "localhost:99999"])
def test_an_address_without_host_or_port_is_refused(address: str):
    ended = wharfkeep("serve", "--listen", address)
    assert ended.status == 2
    assert "must be HOST:PORT" in ended.err


def test_the_schema_is_the_published_one():
    published = (ROOT / "config/schema.json").read_text(encoding="utf-8")
    assert wharfkeep("config", "schema").out == published


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_completes_commands(shell: str):
    ended = wharfkeep("completion", shell)
    assert ended.status == 0
    assert "_WHARFKEEP_COMPLETE" in ended.out
    offered = wharfkeep(
        _WHARFKEEP_COMPLETE="fish_complete", COMP_WORDS="wharfkeep ke", COMP_CWORD="ke"
    )
    assert "keys" in offered.out


def test_the_doctor_answers_in_json(tmp_path: Path):
    ended = wharfkeep("doctor", "--json", "--data-dir", str(tmp_path))
    found = {finding["name"]: finding for finding in json.loads(ended.out)}
    assert found["python"]["works"]
    assert set(found) >= {"data directory", "bubblewrap", "user namespaces", "ripgrep", "cgroups"}


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
def test_nothing_is_coloured_when_piped(variables: dict[str, str], tmp_path: Path):
    ended = wharfkeep("doctor", "--data-dir", str(tmp_path), **variables)
    assert "\x1b" not in ended.out


def test_a_key_is_shown_once_and_listed_by_its_hint(tmp_path: Path):
    data = ("--data-dir", str(tmp_path / "data"))
    created = wharfkeep("keys", "create", "ci", *data)
    key = created.out.strip()
    listed = wharfkeep("keys", "list", *data)
    assert (created.status, listed.status) == (0, 0)
    assert key.startswith("wk-")
    assert key not in listed.out
    assert f"...{key[-4:]}  ci " in listed.out
    assert "active" in listed.out


def test_a_key_never_reaches_the_disk(tmp_path: Path):
    key = wharfkeep("keys", "create", "--data-dir", str(tmp_path)).out.strip().encode()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not any(key in content for content in written)


def test_a_revoked_key_stays_listed_as_revoked(tmp_path: Path):
    data = ("--json", "--data-dir", str(tmp_path / "data"))
    created = json.loads(wharfkeep("keys", "create", *data).out)
    revoked = json.loads(wharfkeep("keys", "revoke", created["id"], *data).out)
    assert revoked["revoked_at"] > created["created_at"]
    assert json.loads(wharfkeep("keys", "list", *data).out) == [revoked]


def test_revoking_an_unknown_key_is_one_line_and_status_1(tmp_path: Path):
    ended = wharfkeep("keys", "revoke", "apikey_01nothing", "--data-dir", str(tmp_path / "data"))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == "wharfkeep: API key apikey_01nothing not found\n"


def test_a_data_directory_that_cannot_be_made_is_one_line_and_status_1(tmp_path: Path):
    (tmp_path / "file").touch()
    ended = wharfkeep("keys", "list", "--data-dir", str(tmp_path / "file" / "data"))
    assert (ended.status, ended.out) == (1, "")
    assert str(tmp_path / "file" / "data") in ended.err
    assert ended.err.count("\n") == 1


def test_looking_at_the_revision_makes_nothing_and_upgrading_makes_it_current(tmp_path: Path):
    data = ("--data-dir", str(tmp_path / "data"))
    before = json.loads(wharfkeep("db", "current", "--json", *data).out)
    assert before["stored"] is None
    assert not (tmp_path / "data").exists()
    assert wharfkeep("db", "upgrade", *data) == Ended(0, "", "")
    after = json.loads(wharfkeep("db", "current", "--json", *data).out)
    assert after["stored"] == after["expected"] == before["expected"]


def test_a_file_that_is_no_database_is_one_line_and_status_1(tmp_path: Path):
    (tmp_path / "wharfkeep.db").write_bytes(b"not a database" * 1000)
    ended = wharfkeep("db", "current", "--data-dir", str(tmp_path))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("wharfkeep: cannot read the database: ")
    assert ended.err.count("\n") == 1
