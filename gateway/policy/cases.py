"""Cases beside the policies: calls, and what must come of them.

[[case]]
name = "a large refund needs a second person"
tool = "pay.refund"
arguments = { charge = "ch_1", cents = 20000 }
user = "ann@example.com"
expect = "ask"
approvers = ["leads"]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from gateway.policy.bundle import read_toml, select_cases
from gateway.policy.enterprise import Ruling
from gateway.policy.ruleset import Rules
from gateway.policy.situation import Situation, Unknown
from gateway.policy.vocabulary import validated
from gateway.settings.section import Section


class Case(Situation):
    """One case."""

    name: str
    expect: Literal["allow", "ask", "deny"]
    approvers: list[str] | None = None
    """Groups of which one has to approve; left out, it does not matter."""
    policies: list[str] | None = None
    """Ids of all policies that decide; left out, it does not matter."""


class _CasesFile(Section):
    case: list[Case] = Field(default=[])


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a case."""

    place: str
    """Its file."""
    name: str
    ruling: Ruling
    failures: tuple[str, ...]
    """What is not as it must be; nothing if the case passes."""


def read_cases(files: Mapping[str, str]) -> list[tuple[str, Case]]:
    """Every case of a policy directory, with its file.

    Raises:
        PolicyInvalid: A file makes no sense.
    """
    return [
        (path, case)
        for path, text in select_cases(files).items()
        for case in validated(_CasesFile, read_toml(path, text), path).case
    ]


def run_case(rules: Rules, place: str, case: Case) -> Result:
    """See what comes of a case. A set without policies fails every case."""
    ruling = _decide(rules, case)
    failures = [
        f"{what} {_show(got)} instead of {_show(wanted)}"
        for what, wanted, got in (
            ("outcome", case.expect, ruling.outcome),
            ("approvers", case.approvers, sorted(ruling.approvers)),
            ("policies", case.policies, list(ruling.policies)),
        )
        if wanted is not None and _sorted(wanted) != got
    ]
    if failures and ruling.problem:
        failures.append(ruling.problem)
    return Result(place=place, name=case.name, ruling=ruling, failures=tuple(failures))


def _decide(rules: Rules, case: Case) -> Ruling:
    assert rules.enterprise is not None, "a directory's set has policies"
    try:
        return rules.enterprise.decide(*case.facts(rules))
    except Unknown as error:
        return Ruling(outcome="deny", policies=(_UNKNOWN,), problem=str(error))


_UNKNOWN = "(none: unknown tool)"


def _sorted(wanted: str | list[str]) -> str | list[str]:
    return wanted if isinstance(wanted, str) else sorted(wanted)


def _show(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "none"
