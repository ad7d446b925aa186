"""Rules as people know them do what people expect, and a rule that could do nothing is refused."""

from typing import Any

import pytest

from gateway.policy import builtin
from gateway.policy.enterprise import Enterprise
from gateway.policy.facts import CallFacts, ToolFacts
from gateway.policy.rules import RuleInvalid, RuleLists, compile_rules
from gateway.policy.schema import Vocabulary
from tests.policy import shop

VOCABULARY = Vocabulary(tools=(*builtin.shapes(), *shop.TOOLS))


def compiled(**lists: Any) -> Enterprise:
    rules = compile_rules(RuleLists(name="rules", **lists), VOCABULARY)
    return Enterprise(rules.policies, VOCABULARY)


def outcome(enterprise: Enterprise, action: str, **arguments: Any) -> str:
    server, name = action.split(".", 1)
    tool = ToolFacts(server=server, name=name, digest="d")
    call = CallFacts(tool, builtin.derive(name, arguments))
    return enterprise.decide(call, shop.facts(server)).outcome


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("git status", "allow"),
        ("git", "allow"),
        ("github", "deny"),
        ("git push", "ask"),
        ("git push origin main", "ask"),
        ("curl example.com", "deny"),
        ("ls", "deny"),
        ("npm run test", "allow"),
        ("npm run test --watch", "allow"),
        ("npm run build", "deny"),
    ],
)
def test_deny_comes_before_ask_and_ask_before_allow(command: str, expected: str):
    enterprise = compiled(
        allow=["Bash(git *)", "Bash(curl *)", "Bash(npm run test:*)"],
        ask=["Bash(git push:*)"],
        deny=["Bash(curl:*)"],
    )
    assert outcome(enterprise, "sandbox.bash", command=command) == expected


def test_a_tool_without_parentheses_means_every_call_of_it():
    enterprise = compiled(allow=["Bash", "Read"], deny=["Write"])
    assert outcome(enterprise, "sandbox.bash", restart=True) == "allow"
    assert outcome(enterprise, "sandbox.read", file_path="/etc/passwd") == "allow"
    assert outcome(enterprise, "sandbox.write", file_path="x", content="y" * 200_000) == "deny"


@pytest.mark.parametrize(
    ("rule", "path", "matches"),
    [
        ("Read(./.env)", ".env", True),
        ("Read(./.env)", "/workspace/.env", True),
        ("Read(./.env)", "/workspace/src/../.env", True),
        ("Read(./.env)", "//workspace/./.env", True),
        ("Read(./.env)", "src/.env", False),
        ("Read(.env)", "src/deep/.env", True),
        ("Read(.env)", "notes.env", False),
        ("Read(./secrets/**)", "secrets/deep/key", True),
        ("Read(./secrets/**)", "secretsauce", False),
        ("Read(./secrets)", "secrets/key", True),
        ("Read(/src/*.key)", "src/a.key", True),
        ("Read(//etc/**)", "/etc/passwd", True),
        ("Read(//etc/**)", "etc/passwd", False),
        ("Read(~/.ssh/**)", "/home/agent/.ssh/id", True),
    ],
)
def test_a_path_is_compared_where_it_leads(rule: str, path: str, matches: bool):
    enterprise = compiled(allow=["Read"], deny=[rule])
    expected = "deny" if matches else "allow"
    assert outcome(enterprise, "sandbox.read", file_path=path) == expected


def test_rules_about_editing_hold_for_every_tool_that_edits():
    enterprise = compiled(allow=["Edit"], deny=["Edit(./docs/**)"])
    for action in ("sandbox.edit", "sandbox.write"):
        text = {"content": ""} if action.endswith("write") else {"old_string": "", "new_string": ""}
        assert outcome(enterprise, action, file_path="src/a", **text) == "allow"
        assert outcome(enterprise, action, file_path="docs/a", **text) == "deny"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/x", "allow"),
        ("https://docs.EXAMPLE.com./x", "allow"),
        ("https://example.com.evil.net/", "deny"),
        ("https://notexample.com/", "deny"),
        ("https://example.com@evil.net/", "deny"),
        ("no url", "deny"),
    ],
)
def test_a_domain_is_the_host_and_what_is_below_it(url: str, expected: str):
    enterprise = compiled(allow=["WebFetch(domain:example.com)"])
    assert outcome(enterprise, "web.web_fetch", url=url) == expected


def test_rules_reach_the_tools_of_a_server_by_pattern():
    enterprise = compiled(allow=["mcp__github"], deny=["mcp__github__delete_*"])
    assert outcome(enterprise, "github.get_issue", number=1) == "allow"
    assert outcome(enterprise, "github.delete_repo", repo="r") == "deny"
    assert outcome(enterprise, "pay.refund", charge="c", cents=1) == "deny"


@pytest.mark.parametrize(
    ("kind", "rule", "reason"),
    [
        ("allow", "mcp__*", "without a wildcard"),
        ("deny", "mcp__git*__x", "without a wildcard"),
        ("allow", "mcp____x", "without a wildcard"),
        ("deny", "mcp__nobody__x", "there is no server nobody"),
        ("ask", "mcp__github__zz*", "no tool of github matches"),
        ("deny", "Shell(ls)", "there is no such tool"),
        ("deny", "bash", "there is no such tool"),
        ("deny", "Bash(ls", "there is no such tool"),
        ("deny", "Bash()", "name a command"),
        ("deny", "Bash(*)", "name a command"),
        ("deny", "WebFetch(example.com)", "write WebFetch(domain:HOST)"),
        ("deny", "WebFetch(domain:https://example.com)", "write WebFetch(domain:HOST)"),
        ("deny", "WebFetch(domain:ex*mple.com)", "subdomains"),
        ("deny", "WebSearch(x)", "takes no specifier"),
        ("deny", "Read()", "name a path"),
        ("deny", "Read(../x)", ".. never matches"),
        ("allow", "Read(./src/*)", "in an allow rule write **"),
    ],
)
def test_a_rule_that_could_do_nothing_is_refused_with_the_reason(kind: str, rule: str, reason: str):
    with pytest.raises(RuleInvalid) as refusal:
        compile_rules(RuleLists(name="rules", **{kind: [rule]}), VOCABULARY)  # pyright: ignore[reportArgumentType] - one of the lists
    assert reason in str(refusal.value)
    assert rule in str(refusal.value)


def test_rules_about_bash_are_said_to_be_no_boundary():
    rules = compile_rules(RuleLists(name="r", deny=["Bash(rm:*)", "Read"]), VOCABULARY)
    assert rules.warnings == ("Bash(rm:*): a rule about Bash is not a boundary",)


def test_a_quote_in_a_rule_cannot_end_the_policy():
    hostile = 'Bash(x" }; permit (principal, action, resource); //)'
    enterprise = compiled(allow=[hostile])
    assert len(enterprise.policies) == 1
    assert outcome(enterprise, "sandbox.bash", command="ls") == "deny"


@pytest.mark.parametrize(
    ("rule", "path", "denied"),
    [
        ("Read(**/.env)", "/workspace/.env", True),
        ("Read(**/.env)", "/workspace/a/b/.env", True),
        ("Read(**/.env)", "/home/agent/.env", True),
        ("Read(**/.env)", "/workspace/a.env", False),
        ("Read(src/**/secret)", "/workspace/src/secret", True),
        ("Read(src/**/secret)", "/workspace/src/a/b/secret/x", True),
        ("Read(src/**/secret)", "/workspace/srcsecret", False),
        ("Read(a/**/b/**/c)", "/workspace/a/b/c", True),
        ("Read(a/**/b/**/c)", "/workspace/a/x/b/y/c", True),
        ("Read(a/**/b/**/c)", "/workspace/a/c", False),
    ],
)
def test_two_stars_stand_for_directories_or_for_none(rule: str, path: str, denied: bool):
    enterprise = compiled(allow=["Read"], deny=[rule])
    assert (outcome(enterprise, "sandbox.read", file_path=path) == "deny") is denied


def test_a_rule_with_too_many_stars_is_refused():
    with pytest.raises(RuleInvalid, match="more than 3 times"):
        compiled(deny=["Read(a/**/b/**/c/**/d/**/e)"])
