"""The one file that a sandbox runs."""

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sandbox.bundle import bundle
from sandbox.contract import Unavailable

PYTHON = Path(sys.executable)
ROOT = Path(__file__).resolve().parents[2]
_SECONDS = 20


def changed(made: Path, ending: str, content: bytes) -> Path:
    """A copy in which the files with that ending hold something else."""
    copy = made.with_name("changed.pyz")
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name.endswith(ending) else old.read(name))
    return copy


def usage(zipapp: Path) -> bool:
    """Whether it runs, and shows its usage because nothing was asked of it."""
    done = subprocess.run(
        [PYTHON, "-I", "-S", zipapp], capture_output=True, check=False, timeout=_SECONDS
    )
    return done.stderr.startswith(b"Usage: ")


def test_the_same_sources_and_interpreter_give_the_same_bytes(tmp_path: Path):
    one, two = bundle(PYTHON, tmp_path / "one"), bundle(PYTHON, tmp_path / "two")
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def test_it_is_made_once(tmp_path: Path):
    first = bundle(PYTHON, tmp_path)
    made = first.stat()
    again = bundle(PYTHON, tmp_path).stat()
    assert (again.st_ino, again.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert list(tmp_path.iterdir()) == [first]


def test_another_interpreter_gets_a_file_of_its_own(tmp_path: Path):
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {PYTHON} "$@"\n')
    other.chmod(0o755)
    assert bundle(other, tmp_path).name != bundle(PYTHON, tmp_path).name


def test_everybody_may_read_it_and_nobody_else_write_it(tmp_path: Path):
    before = os.umask(0o077)
    try:
        made = bundle(PYTHON, tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == 0o644


def test_it_holds_sources_and_compiled_modules_and_no_path_of_this_machine(tmp_path: Path):
    made = bundle(PYTHON, tmp_path)
    with zipfile.ZipFile(made) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert {"__main__.py", "__main__.pyc", "toolservers/init.pyc"} <= set(names)
        assert all(f"{name}c" in names for name in names if name.endswith(".py"))
        contents = b"".join(archive.read(name) for name in names)
    assert str(tmp_path).encode() not in contents


def test_the_compiled_modules_are_what_runs(tmp_path: Path):
    assert usage(changed(bundle(PYTHON, tmp_path), ".py", b"this is no Python"))


def test_an_interpreter_of_another_version_runs_the_sources(tmp_path: Path):
    assert usage(changed(bundle(PYTHON, tmp_path), ".pyc", b"\0\0\r\n" + bytes(100)))


def test_it_is_made_from_an_installed_package_too(tmp_path: Path):
    for package in ("sandbox", "toolservers"):
        shutil.copytree(ROOT / package, tmp_path / "site" / package)
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]);"
        "from sandbox.bundle import bundle; import sandbox;"
        "print(sandbox.__file__, bundle(Path(sys.executable), Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [PYTHON, "-I", "-c", code, tmp_path / "site"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        timeout=_SECONDS,
    )
    used, made = done.stdout.split()
    assert Path(used).is_relative_to(tmp_path)
    assert Path(made).read_bytes() == bundle(PYTHON, tmp_path).read_bytes()


def test_making_it_does_not_import_what_it_packs(tmp_path: Path):
    code = (
        "import sys, pathlib; from sandbox.bundle import bundle;"
        "bundle(pathlib.Path(sys.executable), pathlib.Path(sys.argv[1]));"
        "sys.exit('toolservers' in sys.modules)"
    )
    subprocess.run([PYTHON, "-c", code, tmp_path], check=True, cwd=ROOT, timeout=_SECONDS)


def test_an_interpreter_that_is_not_there_is_unavailable(tmp_path: Path):
    with pytest.raises(Unavailable, match="there is no Python at"):
        bundle(tmp_path / "python", tmp_path)


def test_a_program_that_is_no_interpreter_is_unavailable(tmp_path: Path):
    with pytest.raises(Unavailable, match="cannot compile the tools"):
        bundle(Path("/bin/false"), tmp_path)
    (tmp_path / "no-program").touch()
    with pytest.raises(Unavailable, match="does not run"):
        bundle(tmp_path / "no-program", tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "no-program"]
