"""The official command-line tool, ``ant``, runs the articles' steps against a gateway.

It is the one on PATH or, where Go is, the newest one, installed once into the user's cache.
"""

import fcntl
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import SECONDS, Server, clean_environment

_MODULE = "github.com/anthropics/anthropic-cli/cmd/ant@latest"
_INSTALL_SECONDS = 240.0
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wharfkeep" / "ant"

_TASK = "Write a script that finds the first 50 primes."


@pytest.fixture(scope="session")
def program() -> str:
    """The path of ``ant``."""
    installed = shutil.which("ant") or shutil.which("ant", path=str(_CACHE))
    if installed is None:
        if shutil.which("go") is None:
            pytest.skip("neither ant nor Go is on PATH")
        installed = _install()
    version = subprocess.run([installed, "--version"], capture_output=True, text=True, check=False)
    if not version.stdout.startswith("ant version"):
        pytest.skip(f"{installed} is another program of that name")
    return installed


def _install() -> str:
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_CACHE / "ant").exists():
            done = subprocess.run(
                ["go", "install", _MODULE],
                env=os.environ | {"GOBIN": str(_CACHE)},
                capture_output=True,
                text=True,
                timeout=_INSTALL_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                reason = " ".join(done.stderr.split())
                pytest.skip(f"Go cannot install {_MODULE} here: {reason}")
    return str(_CACHE / "ant")


class Ant:
    """Runs ``ant`` against one server."""

    def __init__(self, program: str, server: Server, home: Path) -> None:
        self._command = [program, "--base-url", server.url, "--format", "jsonl"]
        self._environment = clean_environment(**server.access(), HOME=str(home))

    @contextmanager
    def _running(self, *arguments: str) -> "Generator[subprocess.Popen[str]]":
        process = subprocess.Popen(
            [*self._command, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        deadline = threading.Timer(SECONDS, process.kill)
        deadline.start()
        try:
            with process:
                yield process
        finally:
            deadline.cancel()

    def run(self, *arguments: str) -> list[Any]:
        """Run a command to its end; returns what it printed, a value for each line."""
        with self._running(*arguments) as process:
            out, _ = process.communicate()
        assert process.returncode == 0, out
        return [json.loads(line) for line in out.splitlines()]

    def follow(self, *arguments: str, until: str) -> list[Any]:
        """Run a command until it prints an event of a type."""
        with self._running(*arguments) as process:
            assert process.stdout is not None
            shown: list[Any] = []
            for line in process.stdout:
                shown.append(json.loads(line))
                if shown[-1]["type"] == until:
                    break
            process.kill()
        return shown


@pytest.fixture
def ant(program: str, quickstart: Server, tmp_path: Path) -> Ant:
    return Ant(program, quickstart, tmp_path)


@pytest.mark.timeout(300)
def test_ant_runs_the_steps_of_the_article_and_a_session(ant: Ant):
    (agent,) = ant.run(
        *("beta:agents", "create"),
        *("--name", "Coding Assistant"),
        *("--model", '{"id":"claude-haiku-4-5"}'),
        *("--system", "You are a helpful coding assistant. Write clear, well-documented code."),
        *("--tool", '{"type":"agent_toolset_20260401"}'),
    )
    assert agent["model"]["id"] == "claude-haiku-4-5"
    assert agent["tools"][0]["type"] == "agent_toolset_20260401"
    (place,) = ant.run(
        *("beta:environments", "create"),
        *("--name", "quickstart-env"),
        *("--config", '{"type":"cloud","networking":{"type":"unrestricted"}}'),
    )
    assert place["config"]["networking"] == {"type": "unrestricted"}
    (session,) = ant.run(
        *("beta:sessions", "create"),
        *("--agent", agent["id"]),
        *("--environment-id", place["id"]),
    )
    told = {"type": "user.message", "content": [{"type": "text", "text": _TASK}]}
    which = ("--session-id", session["id"])
    ant.run("beta:sessions:events", "send", *which, "--event", json.dumps(told))
    shown = ant.follow("beta:sessions:events", "stream", *which, until="session.status_idle")
    assert shown[-1]["stop_reason"] == {"type": "end_turn"}
    listed = ant.run("beta:sessions:events", "list", *which)
    answers = [event["content"][0]["text"] for event in listed if event["type"] == "agent.message"]
    assert "Sum of all 50 primes: 5117" in answers[-1]
