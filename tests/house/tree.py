"""The files of this checkout, for the tests of the house rules."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("gateway", "sandbox", "toolservers")
"""What is shipped."""

_SKIPPED = {"__pycache__", "node_modules", "build", "dist"}
_DOTTED = {".ci", ".github", ".gitignore", ".npmrc"}


def files(*under: str) -> list[Path]:
    """Return the files that are, or would be, committed; all of them or those of some folders."""
    starts = [ROOT / name for name in under] or [ROOT]
    return sorted(path for start in starts for path in _walk(start))


def python_files(*under: str) -> list[Path]:
    return [path for path in files(*under) if path.suffix == ".py"]


def name(path: Path) -> str:
    """Return a file's path as people write it, from the root of the checkout."""
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


def _walk(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        hidden = path.name.startswith(".") and path.name not in _DOTTED
        if hidden or path.name in _SKIPPED or path.suffix == ".egg-info":
            continue
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path
