"""What no file of the repository says."""

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOMS, files, name, python_files

# Written in two parts, so that this file does not contain what it looks for.
_REGISTRIES = re.compile(
    r"pypi\." + r"org|python" + r"hosted|registry\.npm" + r"js|registry\.yarn" + r"pkg"
    r"|proxy\.golang" + r"|crates\." + r"io|--index" + r"-url|--extra-index" + r"-url"
)
_MACHINE_PATHS = re.compile(r"(?<![\w.])/(work|var/tmp|tmp/(dev|plan|v))" + r"/|\.pyenv" + r"/")
_UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b")
_SLEEP = re.compile(r"\btime\.sl" + r"eep\b|from time import .*sl" + r"eep")
_SUPPRESSION = re.compile(r"#\s*(noqa|type: ignore|pyright: ignore)\b(?P<rest>.*)")
_REASON = re.compile(r"^(:\s*[A-Z0-9, ]+)?(\[[\w, ]+\])?\s+-\s+\w")


def _text(path: Path) -> str:
    """A file's text; nothing for a binary one."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def _places(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{name(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(_text(path).splitlines(), 1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize(
    "pattern", [_REGISTRIES, _MACHINE_PATHS], ids=["package registries", "paths of a machine"]
)
def test_no_file_names(pattern: re.Pattern[str]):
    assert _places(pattern, files()) == []


def test_nothing_is_left_unfinished():
    assert _places(_UNFINISHED, python_files(*ROOMS, "tests", "benchmarks")) == []


def test_no_test_waits_by_sleeping():
    assert _places(_SLEEP, python_files("tests")) == []


def test_every_suppression_has_its_reason_on_the_line():
    bare = [
        f"{name(path)}:{number}"
        for path in python_files(*ROOMS, "tests", "benchmarks")
        for number, line in enumerate(_text(path).splitlines(), 1)
        if (found := _SUPPRESSION.search(line)) and not _REASON.match(found["rest"])
        if "_SUPPRESSION = re" not in line
    ]
    assert bare == []
