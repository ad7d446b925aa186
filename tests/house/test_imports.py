"""What may be imported where, beyond the layers that `lint-imports` keeps.

Budgets are lists of modules and not times: they say the same on every machine.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOMS, ROOT, name, parsed, python_files

_HEAVY = {"anthropic", "mcp", "sqlalchemy", "alembic", "docker", "pydantic", "starlette", "anyio"}
_NOWHERE = {"asyncio": "use anyio", "uuid": "ids come from gateway.clock"}
_PARSERS = {"toolservers/web/page.py": {"justhtml"}, "toolservers/web/pdf.py": {"pypdf"}}
_LISTING = """
import atexit, sys
atexit.register(lambda: print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
sys.path.insert(0, sys.argv.pop(1))
"""


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_the_command_line_answers_without_loading_anything_heavy(argument: str):
    code = f"{_LISTING}from gateway.cli.main import main; main()"
    assert _loaded(code, str(ROOT), argument) & _HEAVY == set()


def test_shell_completion_loads_nothing_heavy():
    code = f"{_LISTING}from gateway.cli.main import main; main()"
    assert _loaded(code, str(ROOT), "completion", "zsh") & _HEAVY == set()


@pytest.mark.parametrize("path", python_files("toolservers"), ids=name)
def test_what_runs_in_a_sandbox_is_standard_library_only(path: Path):
    allowed = sys.stdlib_module_names | {"toolservers"} | _PARSERS.get(name(path), set())
    assert {module for module in _imports(path) if module not in allowed} == set()


@pytest.mark.parametrize("path", python_files("toolservers"), ids=name)
def test_what_runs_in_a_sandbox_is_written_for_python_3_9(path: Path):
    ast.parse(path.read_text(encoding="utf-8"), filename=name(path), feature_version=(3, 9))


def test_modules_that_have_a_better_place_are_imported_nowhere():
    found = {
        f"{name(path)}: {module} ({_NOWHERE[module]})"
        for path in python_files(*ROOMS, "tests", "benchmarks")
        for module in _imports(path)
        if module in _NOWHERE
    }
    assert found == set()


def _imports(path: Path) -> Iterator[str]:
    """Yield the top-level name of every module a file imports, wherever it does."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _loaded(code: str, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return set(done.stderr.split())
