"""Working on policies: cases, oddities, who can call what, what changes, and why."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.audit import Redaction, decision_record
from gateway.policy.bundle import read_bundle
from gateway.policy.cases import read_cases, run_case
from gateway.policy.cedar import PolicyInvalid
from gateway.policy.diff import diff
from gateway.policy.explain import explain
from gateway.policy.facts import ApprovalFacts, SessionFacts
from gateway.policy.lint import find_oddities
from gateway.policy.probes import MOST, argument_sets, find_values, session_states
from gateway.policy.replay import Past, replay
from gateway.policy.review import review
from gateway.policy.ruleset import Rules
from gateway.policy.situation import Situation
from tests.policy import shop
from tests.policy.shop import POLICIES, VOCABULARY_FILES, call, facts

FILES = {**VOCABULARY_FILES, "all.cedar": POLICIES}


def rules(extra: str = "", **changes: str) -> Rules:
    return read_bundle({**FILES, "all.cedar": POLICIES + extra, **changes})


@pytest.fixture(scope="module")
def shop_rules() -> Rules:
    return rules()


CASE = """
[[case]]
name = "a case"
agent = "Refunds"
user = "user_1"
tool = "pay.refund"
arguments = { charge = "c", cents = 20000 }
"""


@pytest.mark.parametrize(
    ("extra", "failures"),
    [
        ('expect = "ask"\napprovers = ["leads"]\npolicies = ["large-refunds"]', ()),
        ('expect = "allow"', ("outcome ask instead of allow",)),
        ('expect = "ask"\napprovers = []', ("approvers leads instead of none",)),
        ('expect = "ask"\npolicies = ["a", "b"]', ("policies large-refunds instead of a, b",)),
        (
            'expect = "allow"\nagent_classes = ["x"]\nattributes = { refund_limit_cents = 1 }',
            ("outcome deny instead of allow",),
        ),
        ('expect = "allow"\napproval = { by = "user_2" }', ()),
        ('expect = "allow"\napproval = { by = "user_3", groups = ["leads"] }', ()),
        ('expect = "deny"\napproval = { by = "user_3" }', ()),
        ('expect = "ask"\nnow = 2026-01-01T00:00:00', ()),
        ('expect = "ask"\nsource_ip = "10.0.0.1"\ngroups = ["other"]', ()),
    ],
)
def test_a_case_passes_if_everything_it_says_comes_true(
    shop_rules: Rules, extra: str, failures: tuple[str, ...]
):
    [(place, case)] = read_cases({"tests/a.toml": CASE + extra, "tests/b/c.toml": "x"})
    result = run_case(shop_rules, place, case)
    assert (result.place, result.name, result.failures) == ("tests/a.toml", "a case", failures)


@pytest.mark.parametrize(
    ("tool", "reason"),
    [("pay.refnd", "there is no tool pay.refnd"), ("unlisted.", "there is no tool unlisted.")],
)
def test_a_case_about_a_tool_that_there_is_not_fails(shop_rules: Rules, tool: str, reason: str):
    text = CASE.replace("pay.refund", tool) + 'expect = "deny"\npolicies = []'
    [(place, case)] = read_cases({"tests/a.toml": text})
    assert reason in run_case(shop_rules, place, case).failures[-1]


def test_a_case_that_cannot_be_judged_says_why(shop_rules: Rules):
    text = CASE.replace("20000", '"many"') + 'expect = "ask"'
    [(place, case)] = read_cases({"tests/a.toml": text})
    assert run_case(shop_rules, place, case).failures == (
        "outcome deny instead of ask",
        "cents must be a number",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[case]]\nnmae = 1", "tests/a.toml: case.0.nmae: unknown key"),
        ("[case", "tests/a.toml: "),
    ],
)
def test_cases_that_make_no_sense_are_refused(text: str, reason: str):
    with pytest.raises(PolicyInvalid, match=reason):
        read_cases({"tests/a.toml": text})


def test_built_in_tools_are_asked_about_with_what_follows_from_their_arguments():
    read = rules(**{"rules.toml": '[everyone]\ndeny = ["Read(**/.env)"]'})
    given = Situation(tool="sandbox.read", arguments={"file_path": "x/../.env"})
    about, known = given.facts(read)
    assert about.arguments["path"] == "/workspace/.env"
    assert read.enterprise is not None
    assert read.enterprise.decide(about, known).policies == ("everyone:deny:0",)


def test_a_url_that_is_none_has_no_domain(shop_rules: Rules):
    about, _ = Situation(tool="web.web_fetch", arguments={"url": "http://[x"}).facts(shop_rules)
    assert about.arguments["domain"] == ""


def test_good_policies_have_no_oddities(shop_rules: Rules):
    assert find_oddities(shop_rules) == []


@pytest.mark.parametrize(
    ("policy", "oddity"),
    [
        (
            'permit (principal, action == Action::"pay.refund", resource) when { context.args.cents > 5 && context.args.cents < 3 };',
            "can never apply",
        ),
        (
            'permit (principal in Group::"suport", action, resource);',
            "Group suport is not in groups",
        ),
        (
            'permit (principal in AgentClass::"x", action, resource);',
            "AgentClass x is not in agent_classes",
        ),
        (
            'forbid (principal, action, resource in ServerClass::"x");',
            "ServerClass x is not in server_classes",
        ),
        ('forbid (principal, action, resource == Server::"pay");', "there is no server pay"),
        (
            'permit (principal is User, action == Action::"mail.send", resource) when { context.args.to.contains("press@example.com") };',
            "never decides: no-strangers forbids all that it permits",
        ),
        (
            'permit (principal, action == Action::"pay.refund", resource is Server) when { context.args.cents > 20000 && !context.approval.granted };',
            "never decides: large-refunds forbids",
        ),
        (
            'permit (principal is Agent, action == Action::"sandbox.write", resource);',
            "sandbox.write: agents are permitted and users are not",
        ),
        (
            'permit (principal == User::"x", action == Action::"sandbox.write", resource);',
            "sandbox.write: users are permitted and agents are not",
        ),
    ],
)
def test_rules_that_no_call_can_meet_are_found(policy: str, oddity: str):
    found = find_oddities(rules(f'\n@id("odd") {policy}'))
    assert oddity in "\n".join(found)


@pytest.mark.parametrize(
    "policy",
    [
        'forbid (principal, action, resource == Server::"https://pay.example/mcp");',
        'permit (principal in Workspace::"w", action == Action::"sandbox.write", resource);',
        'permit (principal is User in Group::"support", action == Action::"mail.send", resource);',
        'permit (principal == Agent::"x", action == Action::"mail.send", resource in ServerClass::"outside");',
        'forbid (principal, action == Action::"unlisted.call", resource);',
        'permit (principal, action == Action::"unlisted.call", resource);',
        'permit (principal, action in [Action::"pay.refund"], resource is Server in ServerClass::"outside");',
    ],
)
def test_what_may_be_meant_is_not_odd(policy: str):
    assert find_oddities(rules(f'\n@id("fine") {policy}')) == []


def test_a_rule_about_what_no_tool_does_matches_none():
    quiet = read_bundle(
        {
            "all.cedar": '@id("m") forbid (principal, action in Action::"money", resource);\n@id("p") permit (principal, action, resource);'
        }
    )
    assert find_oddities(quiet) == ["all.cedar:1: m: matches no tool that was declared"]


def test_a_permit_is_shadowed_only_by_a_forbid_of_as_many():
    narrow = """
@id("f1") forbid (principal is User, action == Action::"mail.send", resource);
@id("f2") forbid (principal == Agent::"a", action == Action::"mail.send", resource);
@id("p1") permit (principal, action == Action::"mail.send", resource);
@id("p2") permit (principal == User::"u", action == Action::"mail.send", resource);
@id("p3") permit (principal is User in Group::"support", action == Action::"mail.send", resource);
"""
    shadowed = [
        line.split(": ")[1] for line in find_oddities(rules(narrow)) if "never decides" in line
    ]
    assert shadowed == ["people-mail", "p2", "p3"]


def test_a_review_says_who_can_call_what(shop_rules: Rules):
    cells = {(cell.agent, cell.user, cell.tool): cell for cell in review(shop_rules)}
    assert cells["any other agent", "anyone else", "github.get_issue"].verdict == "allow"
    assert cells["class refunds", "anyone else", "pay.refund"].verdict == "deny"
    refund = cells["class refunds", "user_1", "pay.refund"]
    assert (refund.verdict, refund.outcomes) == ("depends", ("allow", "ask", "deny"))
    assert cells["any other agent", "user_1", "pay.refund"].verdict == "deny"
    assert cells["any other agent", "group support", "unlisted.call"].verdict == "depends"


def test_a_diff_finds_the_boundary_that_moved(shop_rules: Rules):
    moved = rules(**{"all.cedar": POLICIES.replace("> 10000", "> 5000")})
    [change] = diff(shop_rules, moved)
    assert (change.agent, change.user, change.tool) == ("class refunds", "user_1", "pay.refund")
    assert (change.before, change.after) == ("allow", "ask")
    assert 5000 < change.arguments["cents"] <= 10000
    assert diff(shop_rules, rules()) == []


def test_a_diff_knows_tools_that_only_one_set_declares(shop_rules: Rules):
    without = VOCABULARY_FILES["vocabulary.toml"].partition("[servers.mail]")[0]
    no_mail = "\n".join(
        policy + ";" for policy in POLICIES.split(";") if "mail" not in policy and policy.strip()
    )
    less = read_bundle(
        {
            **VOCABULARY_FILES,
            "vocabulary.toml": without.replace('outside = ["mail"]', ""),
            "all.cedar": no_mail,
        }
    )
    found = {(each.tool, each.before, each.after) for each in diff(shop_rules, less)}
    assert ("mail.send", "deny", "allow") in found


def test_probes_are_the_constants_that_policies_name():
    enterprise = shop.enterprise(
        POLICIES
        + """
@id("1") permit (principal, action == Action::"pay.refund", resource)
when { context.args.charge like "ch_*" && context.args has note && context.args.note == "x" };
@id("2") permit (principal, action == Action::"pay.refund", resource)
when { context.session.data_label == "secret" || context.session.spent_cents >= 5 || context.session.id == "s" };
@id("4") permit (principal, action == Action::"github.get_issue", resource)
when { context.args.number == 7 && context.approval has by && context.approval.by == User::"x" };
@id("3") permit (principal, action == Action::"pay.refund", resource)
when { principal is User && principal.kind == "user" };
"""
    )
    values = find_values(enterprise.policies.nodes.values())
    assert values["args", "cents"] == [10_000, 10_001]
    assert values["args", "charge"] == ["ch_x", "-"]
    assert values["args", "note"] == ["x", "xx"]
    assert values["args", "number"] == [7, 8]
    assert values["args", "to"] == [[], ["press@example.com"]]
    assert ("kind",) not in values
    refund = enterprise.vocabulary.tool("pay.refund")
    assert refund is not None
    sets = argument_sets(refund.arguments, values)
    assert sets[0] == {"charge": "ch_x", "cents": 10_000}
    assert {"charge": "-", "cents": 10_001, "note": "x"} in sets
    states = session_states(values)
    assert states[0] == {
        "read_private": False,
        "read_untrusted": False,
        "data_label": "",
        "spent_cents": 0,
    }
    assert {
        "read_private": True,
        "read_untrusted": True,
        "data_label": "secret",
        "spent_cents": 5,
    } in states


def test_probes_fit_the_arguments_they_are_for():
    tool = shop.tool(
        "odd.t",
        required="number flag list deep any",
        number="number",
        flag="boolean",
        list={"type": "array", "items": {"type": "string"}},
        deep={
            "type": "object",
            "properties": {"x": {"type": "string"}, "y": {"type": "string"}},
            "required": ["x"],
        },
        any={"anyOf": []},
        text="string",
    )
    [plain] = argument_sets(tool.arguments, {("args", "text"): [7], ("args", "gone"): ["x"]})
    assert plain == {"number": 0.0, "flag": False, "list": [], "deep": {"x": "x"}, "any": "x"}
    values: dict[tuple[str, ...], list[Any]] = {
        ("args", "number"): [15_000, "x"],
        ("args", "flag"): [True, 1],
        ("args", "list"): [["a"], "a"],
    }
    [chosen] = argument_sets(tool.arguments, values)
    assert (chosen["number"], chosen["flag"], chosen["list"]) == (1.5, True, ["a"])
    many: dict[tuple[str, ...], list[Any]] = {
        ("args", name): [str(n) for n in range(300)] for name in ("text",)
    }
    assert len(argument_sets(tool.arguments, many)) == MOST
    assert session_states({}) == [{}]


def explained(
    rules: Rules, cents: int = 20_000, **changes: Any
) -> tuple[str, list[str], dict[str, str]]:
    given = explain(
        rules, call("pay.refund", charge="c", cents=cents, note="n"), facts("pay", **changes)
    )
    flips = {flip.change: flip.outcome for flip in given.flips}
    return given.ruling.outcome, [f"{each.id} {each.effect}" for each in given.reasons], flips


def test_an_explanation_names_what_decided_and_what_would_flip_it(shop_rules: Rules):
    outcome, reasons, flips = explained(shop_rules)
    assert (outcome, reasons) == ("ask", ["large-refunds forbid"])
    assert flips["somebody in leads approves it"] == "allow"
    assert flips["the user approves it"] == "deny"
    assert flips["cents is 10000"] == "allow"


def test_an_explanation_tries_groups_classes_and_the_state_of_the_session(shop_rules: Rules):
    nobody = replace(shop.USER, groups=frozenset[str]())
    outcome, reasons, flips = explained(shop_rules, cents=1, user=nobody)
    assert (outcome, reasons) == ("deny", [])
    assert flips == {"the user is in the group support": "allow"}
    outsider = replace(shop.AGENT, classes=frozenset[str]())
    assert explained(shop_rules, cents=1, agent=outsider)[2] == {
        "the agent is in the class refunds": "allow"
    }
    half = SessionFacts(id="s", read_private=True)
    assert (
        explained(shop_rules, cents=1, session=half)[2]["session.read_untrusted is True"] == "ask"
    )
    approved = ApprovalFacts(by="user_2", groups=frozenset({"leads"}))
    assert explained(shop_rules, approval=approved)[2]["nobody approved it"] == "ask"


def test_an_explanation_tries_the_pin_and_leaving_arguments_out():
    strict = rules(
        '@id("pinned") forbid (principal, action == Action::"pay.refund", resource is Server) unless { resource.pinned };'
        '@id("quiet") forbid (principal, action == Action::"pay.refund", resource) when { context.args has note };'
    )
    outcome, reasons, flips = explained(strict, cents=1)
    assert (outcome, reasons) == ("deny", ["quiet forbid"])
    assert flips == {"note is left out": "allow"}
    given = explain(strict, call("pay.refund", charge="c", cents=1), facts("pay"))
    assert {flip.change for flip in given.flips} >= {"the tool is not as it was reviewed"}


def test_an_unlisted_tool_is_explained_too(shop_rules: Rules):
    given = explain(shop_rules, call("stranger.x", a=1), facts("https://stranger.example"))
    assert given.ruling.outcome == "allow"


def past(rules: Rules, cents: int = 20_000, **changes: Any) -> Past:
    """A decision as its audit record has it."""
    about = call("pay.refund", charge="c", cents=cents)
    known = facts("pay")
    assert rules.enterprise is not None
    record = decision_record(
        id="audit_1",
        at=shop.NOW,
        stage="proposed",
        session="sesn_1",
        thread="sthr_1",
        event="sevt_1",
        agent=known.agent,
        actor=known.user,
        tool=about.tool,
        outcome="ask",
        rule="r",
        evaluation=None,
        state=known.session,
        arguments=about.arguments,
        redaction=Redaction(("charge",)),
        ruling=rules.enterprise.decide(about, known),
        policy_set=rules.digest,
    )
    given: dict[str, Any] = {"arguments": about.arguments, "body": record.body, **changes}
    return Past(
        id=record.id, at=record.at, workspace="w", session="sesn_1", agent_name="Refunds", **given
    )


def test_a_decision_is_made_again_under_other_policies(shop_rules: Rules):
    again = replay(shop_rules, past(shop_rules))
    assert (again.before, again.after, again.flips, again.redacted) == ("ask", "ask", False, False)
    stricter = rules('@id("none") forbid (principal, action in Action::"money", resource);')
    flipped = replay(stricter, past(shop_rules))
    assert (flipped.before, flipped.after, flipped.policies) == (
        "ask",
        "deny",
        ("large-refunds", "none"),
    )


def test_a_decision_that_was_approved_is_made_again_with_its_approval(shop_rules: Rules):
    body = {**past(shop_rules).body, "approval": {"id": "appr_1", "by": "user_2"}}
    assert replay(shop_rules, past(shop_rules, body=body)).after == "allow"
    stranger = {**body, "approval": {"id": "appr_1", "by": "user_3"}}
    assert replay(shop_rules, past(shop_rules, body=stranger)).after == "deny"


def test_a_replay_without_the_arguments_says_that_they_are_redacted(shop_rules: Rules):
    again = replay(shop_rules, past(shop_rules, arguments=None))
    assert (again.after, again.redacted) == ("ask", True)


def test_a_decision_before_there_were_policies_was_none(shop_rules: Rules):
    body = {**past(shop_rules).body, "ruling": None}
    assert replay(shop_rules, past(shop_rules, body=body)).before == "none"


def test_a_call_of_a_built_in_tool_is_made_again_with_what_follows_from_it(shop_rules: Rules):
    denying = rules(**{"rules.toml": '[everyone]\ndeny = ["Read(./.env)"]'})
    body = {
        **past(shop_rules).body,
        "tool": {"server": "sandbox", "name": "read", "digest": "d"},
    }
    again = replay(denying, past(shop_rules, body=body, arguments={"file_path": ".env"}))
    assert (again.after, again.policies) == ("deny", ("everyone:deny:0",))
