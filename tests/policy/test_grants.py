"""What a session gives up for itself."""

from typing import Any

import pytest

from gateway.policy import builtin
from gateway.policy.facts import CallFacts, ToolFacts
from gateway.policy.grants import Grants, Narrowing, read_grants
from gateway.policy.rules import RuleInvalid
from gateway.policy.schema import Vocabulary
from tests.policy import shop
from tests.policy.shop import facts


def left(grants: Grants, tool: str, **arguments: Any) -> str:
    """What the rules leave of a call of a built-in tool, or of one of the shop's."""
    vocabulary = Vocabulary(tools=[*builtin.shapes(), *shop.TOOLS])
    server = "sandbox" if "." not in tool else tool.partition(".")[0]
    named = ToolFacts(server=server, name=tool.rpartition(".")[2], digest="d")
    derived = builtin.derive(tool, arguments) if server == "sandbox" else arguments
    policies = Narrowing(vocabulary).policies(grants)
    return policies.decide(CallFacts(named, derived), facts(server)).outcome


def test_the_rules_stand_in_the_metadata():
    metadata = {"wharfkeep.deny": "Bash", "wharfkeep.ask": "Write", "team": "a"}
    assert read_grants(metadata) == Grants("Bash", "Write")
    assert read_grants({}) == Grants()


@pytest.mark.parametrize(
    ("tool", "arguments", "outcome"),
    [
        ("bash", {"command": "ls"}, "deny"),
        ("write", {"file_path": "src/a.py", "content": ""}, "ask"),
        ("write", {"file_path": "notes.txt", "content": ""}, "allow"),
        ("read", {"file_path": "src/a.py"}, "allow"),
        ("pay.refund", {"charge": "c", "cents": 1}, "deny"),
        ("github.get_issue", {"number": 1}, "allow"),
    ],
)
def test_rules_deny_and_ask_and_leave_the_rest(tool: str, arguments: dict[str, Any], outcome: str):
    assert left(Grants("Bash, mcp__pay", "Write(src/**)"), tool, **arguments) == outcome


def test_deny_goes_before_ask():
    assert left(Grants("Bash", "Bash"), "bash", command="ls") == "deny"


def test_a_comma_inside_a_rule_is_its_own():
    rules = Grants("Bash(echo a, b), Write")
    assert left(rules, "bash", command="echo a, b") == "deny"
    assert left(rules, "bash", command="echo b") == "allow"


@pytest.mark.parametrize("rules", ["Sing", "Read()", "mcp__nowhere", "Bash(", 'Bash("\x00")'])
def test_a_rule_that_means_nothing_is_refused_and_named(rules: str):
    with pytest.raises(RuleInvalid):
        Narrowing().policies(Grants(rules))
