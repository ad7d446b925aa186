"""``wharfkeep demo`` on a machine without a key: the whole product in one command."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.serving import PYTHONPATH, clean_environment

_SECONDS = 50.0


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What it prints into a pipe, run from anywhere."""
    elsewhere: Path = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "demo"],
        env=clean_environment(PYTHONPATH=PYTHONPATH),
        cwd=elsewhere,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_says_what_did_the_work(shown: str):
    model, sandbox = shown.splitlines()[:2]
    assert model.startswith("model ")
    assert "no language model is called" in model
    assert sandbox.startswith("sandbox ")
    assert "namespaces" in sandbox


def test_the_demo_runs_the_quickstart_to_its_end(shown: str):
    assert "sum of all 50 primes" in shown
    assert "primes: 5117" in shown
    assert "prime: 229" in shown
    assert "end_turn" in shown


def test_the_demo_shows_the_file_that_was_written(shown: str):
    (file,) = [line for line in shown.splitlines() if line.startswith("file ")]
    assert "primes.txt" in file
    assert "50 lines: 2 3 5 7 11 13 17 19 ... 223 227 229" in file


def test_the_demo_ends_with_the_lines_to_go_on_with(shown: str):
    assert 'Anthropic(base_url="http://127.0.0.1:8400"' in shown


def test_the_demo_prints_no_colour_codes_into_a_pipe(shown: str):
    assert "\x1b" not in shown
