"""Errors are caught where they are understood; three places may catch everything.

Cleaning up and raising the same error again is not catching it.
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import ROOMS, ROOT, name, parsed, python_files

_SUPERVISORS: dict[str, str] = tomllib.loads(
    (ROOT / "tests/house/exceptions.toml").read_text(encoding="utf-8")
)["supervisors"]
_BROAD = {"Exception", "BaseException"}


def test_only_the_supervisors_catch_everything():
    found = {place for path in python_files(*ROOMS) for place in _broad_catches(path)}
    assert found == set(_SUPERVISORS)


def test_a_room_has_one_supervisor_of_a_kind():
    kinds = [(place.partition("/")[0], kind) for place, kind in _SUPERVISORS.items()]
    assert len(kinds) == len(set(kinds))
    assert {kind for _, kind in kinds} <= {"a request", "a turn", "a tool call"}


def _broad_catches(path: Path) -> Iterator[str]:
    for function in ast.walk(parsed(path)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            owner = getattr(function, "name", "module")
            for node in _own_nodes(function):
                if _is_broad(node):
                    yield f"{name(path)}::{owner}"


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield what is inside a function but not inside a function of it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _own_nodes(node)


def _is_broad(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        cleans_up = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        return not cleans_up and (node.type is None or bool(_names(node.type) & _BROAD))
    if isinstance(node, ast.Call) and "suppress" in _names(node.func):
        return any(_names(argument) & _BROAD for argument in node.args)
    return False


def _names(node: ast.AST) -> set[str]:
    inner = ast.walk(node)
    return {
        part.id if isinstance(part, ast.Name) else part.attr
        for part in inner
        if isinstance(part, ast.Name | ast.Attribute)
    }
