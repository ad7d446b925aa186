"""What starting costs, told in modules: they are the same on every machine, times are not."""

import subprocess
from pathlib import Path

import pytest

from sandbox.bundle import bundle
from tests.toolservers.driver import Driver
from tests.toolservers.peer import PATIENCE, PYTHON, Server

_LISTING = """
import sys
sys.path.insert(0, sys.argv[1])
sys.argv[1:] = []
bare = set(sys.modules)
import toolservers.__main__, toolservers.init
print(*sorted(set(sys.modules) - bare))
"""
_HEAVY = {
    *("typing", "dataclasses", "argparse", "logging", "subprocess", "pathlib", "tempfile"),
    *("shutil", "asyncio", "signal", "inspect", "ast", "contextlib", "base64", "urllib"),
}


def test_a_start_loads_few_modules_and_none_of_the_slow_ones():
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-c", _LISTING, str(root)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    loaded = done.stdout.split()
    assert set(loaded) & _HEAVY == set()
    assert len(loaded) <= 60
    lazy = {f"toolservers.{name}" for name in ("bash", "shell", "files", "search", "scan")}
    assert set(loaded) & lazy == set()


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(Path(PYTHON), tmp_path_factory.mktemp("bundle"))


def test_the_zipapp_serves_every_tool(zipapp: Path, workdir: Path):
    with Server(workdir, env={"PATH": "/nowhere"}, program=str(zipapp)) as server:
        assert server.call("write", {"file_path": "a", "content": "one\n"})[1] is False
        edit = {"file_path": "a", "old_string": "one", "new_string": "two"}
        assert server.call("edit", edit)[1] is False
        assert server.call("read", {"file_path": "a"}) == ("two\n", False)
        assert server.call("glob", {"pattern": "*"}) == (f"{workdir}/a", False)
        # Without ripgrep, so that the zipapp has to run a second program out of itself.
        assert server.call("grep", {"pattern": "^t"}) == (f"{workdir}/a:1:two", False)
        assert server.bash("echo $((6 * 7))") == ("42", False)


def test_the_zipapp_is_the_program_a_driver_starts(zipapp: Path, tmp_path: Path):
    with Driver(tmp_path, program=("-I", "-S", str(zipapp))) as driver:
        assert driver.tools().ok("pwd") == str(driver.workdir)
