"""A policy directory: what its files say, and what is wrong with them, by file and key or line."""

import json
from typing import Any

import pytest

from gateway.policy.bundle import digest_files, read_bundle
from gateway.policy.cedar import PolicyInvalid
from gateway.policy.facts import ToolFacts, action_of, digest_of
from gateway.policy.labels import UNLABELLED
from gateway.policy.ruleset import Rules
from tests.policy.shop import POLICIES, TOOLS, VOCABULARY_FILES

FILES = {**VOCABULARY_FILES, "all.cedar": POLICIES}


@pytest.fixture(scope="module")
def rules() -> Rules:
    return read_bundle(FILES)


def problems(**changes: str) -> str:
    """What is said of the shop's directory with some files changed; ``_`` is a dot in names."""
    changed = {name.replace("_", "."): text for name, text in changes.items()}
    with pytest.raises(PolicyInvalid) as refusal:
        read_bundle({**FILES, **changed})
    return "\n".join(refusal.value.problems)


def server(*tools: dict[str, Any]) -> Rules:
    """A set with one server that has these tools."""
    vocabulary = '[servers.odd]\nurl = "https://odd.example"\ntools_file = "odd.json"\n'
    files = {
        "vocabulary.toml": vocabulary,
        "odd.json": json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}),
        "all.cedar": '@id("p") permit (principal, action in Action::"odd.*", resource);',
    }
    return read_bundle(files)


def test_the_shop_s_directory_says_what_the_shop_is(rules: Rules):
    assert rules.enterprise is not None
    known = {tool.action: tool for tool in rules.enterprise.vocabulary.tools}
    assert {tool.action: tool.arguments for tool in TOOLS}.items() <= {
        action: tool.arguments for action, tool in known.items()
    }.items()
    assert known["github.get_issue"].effects == {"read"}
    assert known["github.delete_repo"].effects == {"write", "destructive"}
    assert known["mail.send"].effects == {"write", "egress"}
    assert known["pay.refund"].effects == {"money", "egress"}
    assert known["sandbox.bash"].effects == {"write", "destructive", "egress"}
    assert rules.groups["user_1"] == {"support"}
    assert rules.digest == digest_files(FILES)
    assert rules.places["large-refunds"] == "all.cedar:18"


def test_labels_follow_from_the_tool_the_server_and_the_worst(rules: Rules):
    refund = rules.labels.of("pay.refund")
    assert (refund.spend, refund.reads_private, refund.reads_untrusted) == ("cents", True, False)
    assert rules.labels.of("github.get_issue").reads_untrusted
    assert rules.labels.of("github.get_issue").read_only
    assert not rules.labels.of("mail.send").read_only
    assert rules.labels.of("stranger.x") == UNLABELLED
    assert not UNLABELLED.read_only
    assert not rules.labels.of("sandbox.read").reads_private
    assert rules.labels.of("web.web_fetch").reads_untrusted


def test_labels_and_effects_of_built_in_tools_can_be_said_otherwise():
    vocabulary = """
[servers.sandbox]
reads_private = true
data_label = "home"
[servers.sandbox.tools.bash]
effects = ["write"]
reads_untrusted = false
data_label = ""
"""
    rules = read_bundle(
        {
            "vocabulary.toml": vocabulary,
            "all.cedar": '@id("p") permit (principal, action, resource);',
        }
    )
    bash, read = rules.labels.of("sandbox.bash"), rules.labels.of("sandbox.read")
    assert (bash.effects, bash.reads_private, bash.reads_untrusted, bash.data_label) == (
        frozenset({"write"}),
        True,
        False,
        "",
    )
    assert (read.reads_private, read.reads_untrusted, read.data_label) == (True, False, "home")


def test_people_and_agents_are_known_by_id_or_by_name(rules: Rules):
    user = rules.user(id="user_7", kind="user", email="Ann@example.com")
    assert user.groups == {"support"}
    assert rules.user(id="user_1", kind="user").attributes == (("refund_limit_cents", 50_000),)
    assert rules.user(id="user_3", kind="user").groups == frozenset()
    agent = rules.agent(id="agent_9", name="Refunds", version=2, workspace="w")
    assert agent.classes == {"refunds"}


def test_servers_are_known_by_url_and_pinned_by_digest(rules: Rules):
    shown: dict[str, Any] = {"name": "send", "annotations": {"destructiveHint": False}}
    shown["inputSchema"] = {
        "type": "object",
        "required": ["to"],
        "properties": {"to": {"type": "array", "items": {"type": "string"}}},
    }
    tool = ToolFacts(server="mail", name="send", digest=digest_of(shown))
    facts = rules.server("https://MAIL.example:443/mcp/", tool)
    assert (facts.id, facts.kind, facts.pinned) == ("https://mail.example/mcp", "mail", True)
    assert facts.classes == {"outside"}
    assert rules.server("mail", tool) == facts
    changed = ToolFacts(
        server="mail",
        name="send",
        digest=digest_of({**shown, "title": "x", "description": "Ignore"}),
    )
    assert not rules.server("https://mail.example/mcp", changed).pinned
    assert not rules.server("https://mail.example/mcp").pinned
    assert rules.server("sandbox").pinned
    stranger = rules.server("https://stranger.example/")
    assert (stranger.id, stranger.kind) == ("https://stranger.example", "https://stranger.example")
    assert rules.kind("ftp://odd") == "ftp://odd"


def test_rule_lists_become_policies_of_everyone_classes_and_groups():
    rules = read_bundle(
        {
            **FILES,
            "rules.toml": """
[everyone]
allow = ["Bash(git *)"]
[agents.refunds]
ask = ["mcp__mail"]
[groups.support]
deny = ["Read(./.env)"]
""",
        }
    )
    assert rules.enterprise is not None
    nodes = rules.enterprise.policies.nodes
    assert {"everyone:allow:0", "agents.refunds:ask:0", "groups.support:deny:0"} <= nodes.keys()
    assert rules.places["everyone:allow:0"] == "rules.toml"
    assert rules.warnings == ("rules.toml: Bash(git *): a rule about Bash is not a boundary",)


def test_rules_alone_are_a_set():
    assert read_bundle({"rules.toml": '[everyone]\nallow = ["Read"]'}).enterprise is not None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"all_cedar": ""}, "there are no policies"),
        ({"all_cedar": "// nothing yet"}, "there are no policies"),
        ({"all_cedar": POLICIES + "\n\n// odd\npermit (\nprincipal, action;"}, "all.cedar:35: "),
        (
            {"all_cedar": '@id("a") permit (principal, action, resource)'},
            "all.cedar:1: unexpected end",
        ),
        (
            {"all_cedar": POLICIES.replace("args.cents > 1", "args.amount > 1")},
            "all.cedar:18: large-refunds: attribute `args.amount`",
        ),
        (
            {"more_cedar": '@id("no-strangers") permit (principal, action, resource);'},
            'two policies have @id("no-strangers")',
        ),
        ({"more_cedar": "permit (principal, action, resource);"}, "every policy needs an @id"),
        ({"rules_toml": "[everyone"}, "rules.toml: "),
        ({"rules_toml": "[everyone]\nalow = []"}, "rules.toml: everyone.alow: unknown key"),
        (
            {"rules_toml": '[everyone]\nallow = ["Bsh"]'},
            "rules.toml: everyone: Bsh: there is no such tool",
        ),
        (
            {"rules_toml": '[agents.none]\nallow = ["Read"]'},
            "rules.toml: agents.none: vocabulary.toml knows no",
        ),
        (
            {"rules_toml": '[groups.none]\nallow = ["Read"]'},
            "rules.toml: groups.none: vocabulary.toml knows no",
        ),
        ({"github_json": "{"}, "github.json: not JSON"),
        ({"github_json": "[" * 100_000}, "github.json: not JSON"),
        ({"github_json": '{"tools": {}}'}, "github.json: every tool needs a name"),
        ({"github_json": "3"}, "github.json: every tool needs a name"),
        ({"github_json": '["x"]'}, "github.json: every tool needs a name"),
        ({"github_json": '[{"name": ""}]'}, "github.json: every tool needs a name"),
        (
            {"github_json": '[{"name": "a", "inputSchema": 3}]'},
            "github.json: every tool needs a name",
        ),
        ({"github_json": '[{"name": "a"}, {"name": "a"}]'}, "github.json: two tools are named a"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(changes: dict[str, str], reason: str):
    assert reason in problems(**changes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[servers.x]\nulr = 1", "servers.x.ulr: unknown key"),
        ("[servers.x]\nurl = 3", "servers.x.url: "),
        ("[servers.x]", "servers.x.url: : must be an http or https URL"),
        ('[servers.x]\nurl = "ftp://x"', "servers.x.url: ftp://x: must be"),
        ('[servers."a.b"]\nurl = "https://x"', "servers.a.b: name it with letters"),
        ('[servers.unlisted]\nurl = "https://x"', "servers.unlisted: name it"),
        (
            '[servers.a]\nurl = "https://x/"\n[servers.b]\nurl = "https://x"',
            "servers.b.url: is the URL of a too",
        ),
        ('[servers.web]\nurl = "https://x"', "servers.web: is the gateway's own"),
        ('[servers.x]\nurl = "https://x"\ntools_file = "no.json"', "there is no file no.json"),
        (
            '[servers.x]\nurl = "https://x"\n[servers.x.tools.y]',
            "servers.x.tools.y: the server has no such tool",
        ),
        ('[servers.web.tools.web_fetch]\nspend = "url"', "spend: url must be an integer argument"),
        (
            '[servers.web.tools.web_fetch]\nspend = "cents"',
            "spend: cents must be an integer argument",
        ),
        (
            '[servers.x]\nurl = "https://x"\ndefinitions = [{ name = "a", since = 2026-01-01 }]',
            "servers.x: every tool needs",
        ),
        ('[server_classes]\nx = ["nowhere"]', "server_classes.x: there is no server nowhere"),
        ("[users.ann]\nlimit = 3", "users.ann.limit: declare it in attributes"),
        ('[attributes]\nlimit = "String"\n[users.ann]\nlimit = 3', "users.ann.limit: declare it"),
        ('[attributes]\nlimit = "Float"', "attributes.limit: "),
        ('[groups]\nx = "ann"', "groups.x: "),
    ],
)
def test_what_is_wrong_in_the_vocabulary_is_said_with_its_key(text: str, reason: str):
    with pytest.raises(PolicyInvalid) as refusal:
        read_bundle({"vocabulary.toml": text, "all.cedar": POLICIES})
    assert all(problem.startswith(("vocabulary.toml: ",)) for problem in refusal.value.problems)
    assert reason in "\n".join(refusal.value.problems)


def test_attributes_have_the_types_of_their_values():
    vocabulary = """
[attributes]
limit = "Long"
team = "String"
trusted = "Bool"
[users.ann]
limit = 3
team = "red"
trusted = true
"""
    rules = read_bundle(
        {
            "vocabulary.toml": vocabulary,
            "all.cedar": '@id("p") permit (principal, action, resource);',
        }
    )
    assert rules.user(id="ann", kind="user").attributes == (
        ("limit", 3),
        ("team", "red"),
        ("trusted", True),
    )


def test_the_order_of_files_and_their_cases_do_not_change_a_digest():
    turned = dict(reversed(FILES.items()))
    assert digest_files({**turned, "tests/a.toml": "x", "notes.md": "y"}) == digest_files(FILES)
    assert digest_files({**FILES, "shadow/a.cedar": ""}) != digest_files(FILES)


ODD_NAMES = (
    "get.issue/v2",
    "*",
    "a b",
    "é\u202e",
    "x" * 300,
    "x" * 301,
    'quote"\\\n',
    "\ud800",
    "a~b",
)


def test_tools_with_odd_names_are_called_by_stable_ones_that_differ():
    rules = server(*({"name": name} for name in ODD_NAMES))
    assert rules.enterprise is not None
    actions = [action_of("odd", name) for name in ODD_NAMES]
    assert len({*actions}) == len(ODD_NAMES)
    assert actions[0] == "odd.get.issue/v2"
    assert actions[2] == "odd.a-b~c8687a08aa5d6ed2"
    assert all(len(action) < 64 for action in actions)
    assert {*actions} < {tool.action for tool in rules.enterprise.vocabulary.tools}


def test_names_that_would_collide_do_not():
    assert action_of("a.b", "c") != action_of("a", "b.c")
    assert action_of("a", "*") != "a.*"
    assert action_of("https://x", "y").startswith("https-x~")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/node", "$defs": {"node": {"$ref": "#/$defs/node"}}},
        {"properties": {"__extn": {"type": "string"}, "__entity": {"type": "string"}}},
        {
            "properties": {
                "\ud800": {"type": "string"},
                'é\n"': {"type": "string"},
                "": {"type": "integer"},
            }
        },
        {
            "properties": {"in": {"type": "string"}, "if": {"type": "boolean"}},
            "required": ["in", 3, {}, "x"],
        },
        {"properties": {f"p{n}": {"type": "string"} for n in range(5000)}},
        {"properties": [], "required": "x", "type": 7},
        {"properties": {"a": {"type": ["string", "null", {}]}, "b": 7, "c": {"type": "array"}}},
    ],
)
def test_odd_schemas_of_third_parties_make_a_good_vocabulary(schema: dict[str, Any]):
    rules = server({"name": "t", "inputSchema": schema, "annotations": "odd"})
    assert rules.labels.of("odd.t").effects == {"write", "destructive", "egress"}


def test_a_deeply_nested_schema_is_opaque_below_the_depth_that_policies_see():
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"x": schema}}
    assert server({"name": "t", "inputSchema": schema}).enterprise is not None


@pytest.mark.parametrize("name", ["__extn", "\ud800"])
def test_arguments_that_cedar_would_misread_are_not_shown_to_it(name: str):
    rules = server({"name": "t", "inputSchema": {"properties": {name: {"type": "object"}}}})
    assert rules.enterprise is not None
    tool = rules.enterprise.vocabulary.tool("odd.t")
    assert tool is not None
    assert str(tool.arguments).count("Opaque") == 1


def test_a_definition_s_digest_is_of_all_that_a_model_is_shown():
    whole = {"name": "a", "description": "b", "inputSchema": {"x": 1, "y": 2}, "annotations": {}}
    turned = dict(reversed([*whole.items(), ("title", "other")]))
    assert digest_of(whole) == digest_of(turned)
    for key in whole:
        assert digest_of({**whole, key: "else"}) != digest_of(whole)
