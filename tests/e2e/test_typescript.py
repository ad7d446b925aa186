"""The official TypeScript SDK runs the quickstart against a gateway, on Node.

The SDK is the one that ``typescript/package-lock.json`` names.
"""

import subprocess
from pathlib import Path

import pytest

from tests import npm
from tests.e2e.serving import SECONDS, Server, clean_environment


@pytest.fixture(scope="session")
def node() -> npm.Node:
    return npm.find_node()


@pytest.fixture(scope="session")
def project(node: npm.Node) -> Path:
    """A directory with the script and the SDK beside it."""
    return npm.install(node, Path(__file__).parent / "typescript")


@pytest.mark.timeout(180)
def test_the_typescript_sdk_runs_the_quickstart(node: npm.Node, project: Path, quickstart: Server):
    done = subprocess.run(
        [node.node, "quickstart.js"],
        env=clean_environment(**quickstart.access()),
        cwd=project,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Session ID: sesn_")
    assert lines.count("[Using tool: bash]") == 2
    assert "Sum of all 50 primes: 5117" in lines
    assert lines[-1] == "Finished: end_turn"
