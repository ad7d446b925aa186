"""Names say what a thing is."""

import ast
import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import gateway
from tests.house.tree import ROOMS, ROOT, name, parsed, python_files

_EMPTY_WORDS = {
    word + ending
    for word in ("util", "helper", "common", "manager", "service", "handler")
    for ending in ("", "s")
}


def test_no_name_is_one_of_the_words_that_say_nothing():
    found = {
        f"{name(path)}: {defined}"
        for path in python_files(*ROOMS, "tests", "benchmarks")
        for defined in _defined_names(path)
        if _words(defined) & _EMPTY_WORDS
    }
    assert found == set()


def test_no_installed_package_has_the_name_of_a_room():
    owners = importlib.metadata.packages_distributions()
    taken = {room: owners[room] for room in (*ROOMS, "tests", "benchmarks") if room in owners}
    assert {room: owner for room, owner in taken.items() if owner != ["wharfkeep"]} == {}


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert gateway.__version__ == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def _defined_names(path: Path) -> Iterator[str]:
    yield path.stem
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def _words(defined: str) -> set[str]:
    """Split ``snake_case`` and ``CamelCase`` into lower-case words."""
    return set(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", defined).lower().split("_"))
