"""Every known attempt on a sandbox: what the tests expect, and how it reads for users.

The data is ``probes.toml``. ``python -m tests.sandbox.abuse.catalogue`` writes the table in
``docs/explanation/isolation.md``.
"""

import ast
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PAGE = ROOT / "docs/explanation/isolation.md"
GROUPS: Mapping[str, str] = {
    "kernel": "The kernel",
    "processes": "Processes",
    "files": "Files",
    "secrets": "Secrets and what the machine tells",
    "network": "Network",
    "limits": "Limits",
    "tools": "The file and shell tools",
    "gateway": "The gateway",
}

_BEGIN, _END = "<!-- probes -->", "<!-- end of probes -->"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A way to run sandboxes."""

    name: str
    title: str
    proved: bool
    """Whether the tests run it."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An attempt; ``probes.toml`` says what its fields are."""

    number: int
    group: str
    what: str
    by: str
    answers: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    open: Mapping[str, str] = field(default_factory=dict)
    limit: str | None = None
    tests: Sequence[str] = ()
    awaits: str | None = None

    def expected(self, column: str) -> Mapping[str, str]:
        """Attempt -> the pattern of every good answer."""
        return {**self.answers, **self.instead.get(column, {})}


_DATA = tomllib.loads((HERE / "probes.toml").read_text(encoding="utf-8"))
COLUMNS = tuple(Column(**each) for each in _DATA["column"])
PROBES = tuple(Probe(**each) for each in _DATA["probe"])


def citations() -> dict[int, set[str]]:
    """Find the test files that cite each probe, by reading them."""
    found: dict[int, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for number in _cited(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(number, set()).add(path.relative_to(ROOT).as_posix())
    return found


def proofs(probe: Probe, cited: Mapping[int, set[str]]) -> set[str]:
    """What proves that a probe is stopped."""
    return {*probe.answers, *cited.get(probe.number, ()), *probe.tests}


def is_test(name: str) -> bool:
    """Whether ``FILE::FUNCTION`` is there."""
    file, _, function = name.partition("::")
    path = ROOT / file
    if not path.is_file():
        return False
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(node, kinds) and node.name == function for node in tree.body)


def with_table(page: str) -> str:
    """The page with the tables that the data makes now."""
    head, _, rest = page.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    return f"{head}{_BEGIN}\n\n{table()}\n{_END}{tail}"


def table() -> str:
    """Every probe in Markdown, a table for each group and below it what is open."""
    cited = citations()
    lines: list[str] = []
    for group, title in GROUPS.items():
        probes = [probe for probe in PROBES if probe.group == group]
        titles = " | ".join(column.title for column in COLUMNS)
        lines += [f"### {title}", "", f"| No. | Attempt | What stops it | {titles} |"]
        lines += ["|---" * (3 + len(COLUMNS)) + "|"]
        lines += [_row(probe, cited) for probe in probes]
        reasons = [_reason(probe, column) for probe in probes for column in COLUMNS]
        lines += ["", *filter(None, reasons)]
        lines += [""] if lines[-1] else []
    return "\n".join(lines)


def _row(probe: Probe, cited: Mapping[int, set[str]]) -> str:
    proof = bool(proofs(probe, cited))
    cells = [str(probe.number), probe.what, probe.by]
    cells += [_verdict(probe, column, proof=proof) for column in COLUMNS]
    return "| " + " | ".join(cells) + " |"


def _verdict(probe: Probe, column: Column, *, proof: bool) -> str:
    if column.name in probe.open:
        return "**open**"
    return "stopped" if proof and column.proved else "not proved"


def _reason(probe: Probe, column: Column) -> str:
    reason = probe.open.get(column.name)
    return f"- {probe.number}, {column.title}: {reason}." if reason else ""


def _cited(tree: ast.Module) -> Iterator[int]:
    """The numbers in calls of ``pytest.mark.probe(...)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.probe":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, int):
                    yield argument.value


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
