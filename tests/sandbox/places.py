"""Where sandboxes of tests live, and who starts them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
PLAIN_USER = 64_999
"""A user id without a name and without rights, to start things as when the tests run as root."""

_CHECK = """
import subprocess, sys
import anyio, sandbox.contract
subprocess.run([sys.executable, "-c", ""], check=True)
sys.exit(sys.version_info < (3, 11))
"""


@contextmanager
def data_directory(owner: int | None = None) -> Generator[Path]:
    """A fresh directory that a sandbox's user can reach; pytest's own are closed to others."""
    directory = Path(tempfile.mkdtemp(prefix="wharfkeep-"))
    if owner is not None:
        os.chown(directory, owner, owner)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def command_as(who: str, script: Path, *arguments: str) -> Sequence[str] | None:
    """How to run a Python script with this test's packages as ``root`` or as ``user``.

    None if no interpreter at hand can be run by another user.
    """
    if who == "root" or not IS_ROOT:
        return [sys.executable, str(script), *arguments]
    drop = ["setpriv", f"--reuid={PLAIN_USER}", f"--regid={PLAIN_USER}", "--clear-groups", "--"]
    for python in (sys.executable, "/usr/bin/python3"):
        tried = subprocess.run(
            [*drop, python, "-c", _CHECK], env=environment(), capture_output=True, check=False
        )
        if tried.returncode == 0:
            return [*drop, python, str(script), *arguments]
    return None


def environment(**more: str) -> dict[str, str]:
    """An environment in which another interpreter finds this one's packages."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *(path for path in sys.path if path)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }
