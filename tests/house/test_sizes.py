"""How long things may be."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import ROOMS, ROOT, name, parsed, python_files

_SOURCE_LINES = 400
_TEST_LINES = 700
_FUNCTION_LINES = 60
_FIRST_FILES = ("gateway/loop/machine.py", "gateway/tools/call.py", "gateway/api/routes.py")
_FIRST_LINES = 300
_EXCEPTIONS = tomllib.loads((ROOT / "tests/house/exceptions.toml").read_text(encoding="utf-8"))


def test_no_file_is_longer_than_its_limit():
    limits = {
        **dict.fromkeys(python_files(*ROOMS, "benchmarks"), _SOURCE_LINES),
        **dict.fromkeys(python_files("tests"), _TEST_LINES),
    }
    measured = {name(path): _lines(path) for path, limit in limits.items() if _lines(path) > limit}
    assert measured == _EXCEPTIONS["file_lines"]


def test_no_function_is_longer_than_its_limit():
    measured = {
        f"{name(path)}::{function}": lines
        for path in python_files(*ROOMS, "benchmarks", "tests")
        for function, lines in _functions(path)
        if lines > _FUNCTION_LINES
    }
    assert measured == _EXCEPTIONS["function_lines"]


def test_the_three_files_to_read_first_stay_short():
    there = [ROOT / file for file in _FIRST_FILES if (ROOT / file).exists()]
    assert [name(path) for path in there if _lines(path) >= _FIRST_LINES] == []


def test_the_start_script_fits_on_one_screen():
    assert _lines(ROOT / "bin/wharfkeep") <= 60


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1
