"""All requirements together: which tests cite them, and how they read for users.

``python -m tests.ledger.catalogue`` prints the table of ``docs/reference/compatibility.md``.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.ledger import (
    agents,
    environments,
    errors,
    events,
    files,
    models,
    organization,
    pagination,
    sessions,
    streams,
    threads,
    transport,
    web,
)
from tests.ledger.requirement import Requirement

TESTS = Path(__file__).resolve().parents[1]

CHAPTERS: dict[str, tuple[Requirement, ...]] = {
    "Transport": transport.REQUIREMENTS,
    "Errors": errors.REQUIREMENTS,
    "Pagination": pagination.REQUIREMENTS,
    "Models": models.REQUIREMENTS,
    "Agents": agents.REQUIREMENTS,
    "Environments": environments.REQUIREMENTS,
    "Sessions": sessions.REQUIREMENTS,
    "Events": events.REQUIREMENTS,
    "Streams": streams.REQUIREMENTS,
    "Threads": threads.REQUIREMENTS,
    "Files": files.REQUIREMENTS,
    "Organization": organization.REQUIREMENTS,
    "Web tools": web.REQUIREMENTS,
}

_INTRODUCTION = """\
What the gateway promises on the wire, made from `tests/ledger` by `python -m tests.ledger.catalogue`.
*works* means that a test proves it; *differs* and *absent* say why."""

ALL = tuple(requirement for chapter in CHAPTERS.values() for requirement in chapter)


def citations(tests: Path = TESTS) -> dict[str, set[str]]:
    """Find who cites what, by reading the sources: nothing is imported, no test has to run.

    Returns:
        For each cited id, the files that cite it.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        for cited in _cited(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(cited, set()).add(path.relative_to(tests).as_posix())
    return found


def table() -> str:
    """Every promise as Markdown, with what can be expected of it."""
    cited = citations()
    lines = ["# Compatibility", "", _INTRODUCTION, ""]
    for title, chapter in CHAPTERS.items():
        lines += [f"## {title}", "", "| Behaviour | Here | Source |", "|---|---|---|"]
        lines += [_row(requirement, cited) for requirement in chapter]
        lines.append("")
    return "\n".join(lines)


def _row(requirement: Requirement, cited: dict[str, set[str]]) -> str:
    if requirement.deferred is not None:
        here = f"absent: {requirement.deferred}"
    elif requirement.divergence is not None:
        here = f"differs: {requirement.divergence}"
    elif requirement.id in cited:
        here = "works"
    else:
        here = "not proven yet"
    cells = (requirement.behaviour, here, requirement.source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cited(tree: ast.Module) -> Iterator[str]:
    """The ids in calls of ``requirement(...)`` and ``pytest.mark.requirement(...)``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        named = (isinstance(function, ast.Name) and function.id == "requirement") or (
            isinstance(function, ast.Attribute) and function.attr == "requirement"
        )
        if named:
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


if __name__ == "__main__":
    sys.stdout.write(table())
