"""Arguments as policies see them: typed, bounded, and refused rather than misread."""

from typing import Any

import pytest

from gateway.policy.arguments import MAX_TEXT, Opaque, Unjudgeable, declare, read_shape, to_cedar
from gateway.policy.cedar import Policies
from gateway.policy.enterprise import Enterprise
from gateway.policy.schema import Vocabulary
from tests.policy import shop
from tests.policy.shop import call, facts

SCHEMA = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "flag": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "deep": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
        "free": {"type": "object"},
        "nullable": {"type": ["string", "null"]},
    },
    "required": ["amount", "nullable"],
}
SHAPE = read_shape(SCHEMA)


def test_a_shape_is_declared_without_what_is_opaque():
    assert declare(SHAPE) == (
        '{ "amount": decimal, "flag"?: Bool, "tags"?: Set<String>,'
        ' "deep"?: { "x": Long }, "nullable"?: String }'
    )
    with pytest.raises(AssertionError):
        declare(Opaque())


def test_arguments_become_a_record_of_that_shape():
    given = {
        "amount": 1.5,
        "flag": True,
        "tags": ["a", "b"],
        "deep": {"x": 3.0},
        "free": {"any": 1},
        "nullable": None,
    }
    assert to_cedar(SHAPE, given) == {
        "amount": {"__extn": {"fn": "decimal", "arg": "1.5000"}},
        "flag": True,
        "tags": ["a", "b"],
        "deep": {"x": 3},
    }


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"amount": 1.00001}, "amount needs more than the 4 decimal places"),
        ({"amount": 1e15}, "amount needs more"),
        ({"amount": float("nan")}, "amount needs more"),
        ({"amount": True}, "amount must be a number"),
        ({"flag": 1}, "flag must be true or false"),
        ({"tags": "a"}, "tags must be an array"),
        ({"tags": ["a", 1]}, "tags.1 must be a string"),
        ({"tags": ["x" * (MAX_TEXT + 1)]}, "tags.0 is longer than"),
        ({"deep": []}, "deep must be an object"),
        ({"deep": {}}, "deep.x is missing"),
        ({"deep": {"x": 1, "y": 2}}, "deep.y is not an argument"),
    ],
)
def test_what_a_policy_could_misread_is_refused(change: dict[str, Any], problem: str):
    with pytest.raises(Unjudgeable, match=problem):
        to_cedar(SHAPE, {"amount": 1, **change})


def test_an_open_schema_takes_more_than_it_declares():
    shape = read_shape({"properties": {"a": {"type": "string"}}, "additionalProperties": True})
    assert to_cedar(shape, {"a": "x", "b": 1}) == {"a": "x"}


def test_text_that_is_no_unicode_is_a_denial():
    ruling = shop.enterprise().decide(call("pay.refund", charge="\ud800", cents=1), facts("pay"))
    assert (ruling.outcome, bool(ruling.problem)) == ("deny", True)


def test_only_so_many_slices_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.policy.cedar._MAX_SLICES", 1)
    enterprise: Enterprise = shop.enterprise()
    for _ in range(2):
        for action in ("github.get_issue", "mail.send"):
            arguments: dict[str, Any] = {"number": 1} if "issue" in action else {"to": []}
            about = call(action, **arguments)
            assert enterprise.decide(about, facts(about.tool.server)).outcome == "allow"


def test_a_whole_set_is_cut_into_as_many_policies_as_it_has():
    many = "".join(
        f'@id("{n};\\"") permit (principal, action, resource); // {n}; "\n' for n in range(120)
    )
    assert len(Policies(many, _schema())) == 120


def _schema() -> str:
    from gateway.policy.schema import write_schema

    return write_schema(Vocabulary(tools=shop.TOOLS))
