"""The filter that container engines are given, against the one that is compiled here."""

import errno
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox import seccomp
from sandbox.contract import Unavailable
from sandbox.docker import profile
from tests.sandbox.test_seccomp import NUMBERS, PRETEND
from tests.sandbox.test_seccomp import decide as run

WORD = 2**32 - 1
EXAMINED = [name for name in NUMBERS["x86_64"] if name != "read"]
ARGUMENTS = st.lists(
    st.one_of(
        st.integers(0, 64), st.sampled_from([0x5412, 0x10000000, WORD]), st.integers(0, WORD)
    ),
    min_size=3,
    max_size=3,
)


def decide(name: str, arguments: Sequence[int]) -> str:
    """What the document answers, as the library that engines use defines it."""
    rules = json.loads(profile.document("x86_64"))["syscalls"]
    answers = {
        rule["errnoRet"]
        for rule in rules
        if name in rule["names"] and all(holds(each, arguments) for each in rule["args"])
    }
    assert len(answers) <= 1, "two rules of different answers: which one wins is not defined"
    return {0: PRETEND, **errno.errorcode}[answers.pop()] if answers else "allow"


def holds(comparison: Mapping[str, Any], arguments: Sequence[int]) -> bool:
    value = arguments[comparison["index"]]
    if comparison["op"] == "SCMP_CMP_MASKED_EQ":
        return value & comparison["value"] == comparison["valueTwo"]
    if comparison["op"] == "SCMP_CMP_GE":
        return value >= comparison["value"]
    assert comparison["op"] == "SCMP_CMP_NE"
    return value != comparison["value"]


@given(name=st.sampled_from(EXAMINED), arguments=ARGUMENTS)
@example(name="socket", arguments=[2, 3, 1])
@example(name="socket", arguments=[10, 0o2000001, 132])
@example(name="socket", arguments=[16, 3, 9])
@example(name="personality", arguments=[WORD, 0, 0])
@example(name="personality", arguments=[0x40000, 0, 0])
@example(name="prlimit64", arguments=[0, 4, 1])
@example(name="prlimit64", arguments=[1, 4, 1])
@example(name="setrlimit", arguments=[4, 1, 0])
def test_both_forms_of_the_filter_decide_alike(name: str, arguments: list[int]):
    compiled = run("x86_64", NUMBERS["x86_64"][name], *arguments)
    assert decide(name, arguments) == compiled


def test_what_is_denied_outright_is_denied_in_both_forms():
    for name, (number, _) in seccomp.DENIED.items():
        if number is not None:
            assert decide(name, [0, 0, 0]) == run("x86_64", number) == "EPERM"


def test_no_rule_compares_an_argument_twice():
    for rule in json.loads(profile.document("aarch64"))["syscalls"]:
        places = [comparison["index"] for comparison in rule["args"]]
        assert len(places) == len(set(places))


def test_a_machine_without_a_table_is_refused():
    with pytest.raises(Unavailable, match="riscv64"):
        profile.document("riscv64")
