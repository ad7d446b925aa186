"""``wharfkeep policy`` as somebody at a terminal uses it, with directories and with a gateway."""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import structlog
from click.testing import CliRunner

from gateway.cli.main import wharfkeep
from gateway.errors import ConfigError, GatewayError
from gateway.policy.audit import Redaction, decision_record
from gateway.policy.bundle import read_bundle
from gateway.store.audit import AuditRecord
from gateway.store.store import Store
from gateway.vault.keyfile import audit_key
from tests.gateway import Running, Tenant, serve
from tests.house.tree import ROOT
from tests.policy import shop
from tests.policy.shop import POLICIES, VOCABULARY_FILES, call, facts
from tests.store import rows
from tests.store.places import Place

EXAMPLES = sorted((ROOT / "config" / "policies").iterdir())
KEY = "wk_organization"


def run(*arguments: str, status: int = 0, typed: str = "", **variables: str) -> str:
    """What a command prints."""
    done = CliRunner().invoke(wharfkeep, ["policy", *arguments], input=typed, env=variables)
    if isinstance(done.exception, GatewayError):
        assert status == (2 if isinstance(done.exception, ConfigError) else 1), done.exception
        return str(done.exception)
    assert done.exit_code == status, done.output
    return done.output


def said(*arguments: str, **options: Any) -> Any:
    return json.loads(run(*arguments, "--json", **options))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write(tmp_path / "shop", POLICIES)


def write(directory: Path, policies: str) -> Path:
    directory.mkdir()
    for name, text in VOCABULARY_FILES.items():
        (directory / name).write_text(text)
    (directory / "all.cedar").write_text(policies)
    return directory


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_example_policies_are_good_and_their_cases_pass(example: Path):
    assert said("check", str(example))["problems"] == []
    results = said("test", str(example))
    assert results
    assert all(not each["failures"] for each in results)


def test_there_are_four_examples():
    assert [path.name for path in EXAMPLES] == [
        "ask-on-write",
        "enterprise",
        "read-only",
        "support-desk",
    ]


def test_check_says_what_is_wrong_with_its_place(directory: Path):
    assert run("check", str(directory)) == "The policies are good.\n"
    (directory / "odd.cedar").write_text(
        '@id("odd") permit (principal in Group::"nobody", action, resource);'
    )
    (directory / "rules.toml").write_text('[everyone]\ndeny = ["Bash(rm *)"]')
    shown = run("check", str(directory), status=1)
    assert "odd.cedar:1: odd: matches nobody: Group nobody" in shown
    assert "warning: rules.toml: Bash(rm *): a rule about Bash is not a boundary" in shown
    (directory / "odd.cedar").write_text("permit (")
    assert said("check", str(directory), status=1)["problems"] == [
        "odd.cedar:1: unexpected end of input"
    ]


def test_test_runs_the_cases_and_names_those_that_fail(directory: Path):
    assert "0 of 0 cases pass" in run("test", str(directory), status=1)
    (directory / "tests").mkdir()
    case = '[[case]]\nname = "mail is free"\ntool = "mail.send"\narguments = { to = [] }\n'
    (directory / "tests" / "mail.toml").write_text(case + 'expect = "allow"')
    assert run("test", str(directory)) == "1 of 1 cases pass.\n"
    (directory / "tests" / "mail.toml").write_text(case + 'expect = "deny"')
    shown = run("test", str(directory), status=1)
    assert "tests/mail.toml: mail is free: outcome allow instead of deny" in shown
    (directory / "tests" / "mail.toml").write_text("[[case]]\nx = 1")
    assert "case.0.x: unknown key" in run("test", str(directory), status=2)


def test_explain_names_the_policies_and_what_would_flip_the_call(directory: Path):
    asked = {"tool": "pay.refund", "agent": "Refunds", "arguments": {"charge": "c", "cents": 20000}}
    shown = run("explain", str(directory), json.dumps(asked), "--user", "user_1")
    assert shown.startswith("ask by leads\nbecause large-refunds (forbid, all.cedar:18)\n")
    assert "if somebody in leads approves it: allow\n" in shown
    approved = run(
        *("explain", str(directory), "-", "--user", "user_1", "--approved-by", "user_2"),
        typed=json.dumps(asked),
    )
    assert approved.startswith("allow\n")
    same = said(
        *("explain", str(directory), "--tool", "pay.refund", "--agent", "Refunds"),
        *("--user", "nobody", "--group", "support", "--arguments", '{"charge": "c", "cents": 1}'),
    )
    assert (same["ruling"]["outcome"], same["reasons"]) == ("deny", [])


def test_explain_says_why_nothing_decided(directory: Path):
    denied = run("explain", str(directory), "--tool", "sandbox.write")
    assert "because file_path is missing" in denied or "because" in denied
    written = '{"file_path": "x", "content": "y"}'
    shown = run("explain", str(directory), "--tool", "sandbox.write", "--arguments", written)
    assert shown.startswith("deny\nbecause no policy permits it\n")


def test_explain_names_the_rule_a_policy_was_made_of(directory: Path):
    (directory / "rules.toml").write_text('[everyone]\ndeny = ["Read(**/.env)"]')
    shown = run(
        "explain", str(directory), "--tool", "sandbox.read", "--arguments", '{"file_path": ".env"}'
    )
    assert "because everyone:deny:0 (forbid, rules.toml, Read(**/.env))\n" in shown


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("{",), "CALL: not JSON"),
        (("[]",), "CALL: must be a JSON object"),
        (('{"tol": 1}',), "tol: unknown key"),
        (("--tool", "pay.refnd"), "there is no tool pay.refnd"),
        (("--tool", "pay.refund", "--arguments", "1"), "--arguments: must be a JSON object"),
    ],
)
def test_explain_refuses_what_is_no_call(directory: Path, given: tuple[str, ...], reason: str):
    assert reason in run("explain", str(directory), *given, status=1)


def test_review_shows_the_matrix(directory: Path):
    shown = run("review", str(directory))
    assert "class refunds, for user_1:\n" in shown
    assert "pay.refund                       depends (allow, ask, deny)\n" in shown
    cells = said("review", str(directory), "--tool", "github.get_issue")
    assert {cell["verdict"] for cell in cells} == {"allow"}


def test_diff_shows_what_changes(directory: Path, tmp_path: Path):
    new = write(tmp_path / "new", POLICIES.replace("> 10000", "> 5000"))
    shown = run("diff", str(directory), str(new), status=1)
    assert "class refunds, for user_1: pay.refund" in shown
    assert shown.endswith(": allow -> ask\n1 changes.\n")
    [change] = said("diff", str(directory), str(new), status=1)
    assert (change["before"], change["after"]) == ("allow", "ask")
    assert run("diff", str(directory), str(directory)) == "0 changes.\n"
    tainted = write(tmp_path / "tainted", POLICIES.replace("read_private &&", "read_private ||"))
    assert 'in a session with {"read_untrusted": true}' in run(
        "diff", str(directory), str(tainted), status=1
    )


def test_what_cannot_be_read_is_said_on_one_line(tmp_path: Path):
    assert "there is no such directory" in run("review", str(tmp_path / "gone"), status=2)


def decision(event: str, cents: int, **changes: Any) -> AuditRecord:
    rules = read_bundle({**VOCABULARY_FILES, "all.cedar": POLICIES})
    assert rules.enterprise is not None
    about, known = call("pay.refund", charge="c", cents=cents), facts("pay")
    given: dict[str, Any] = {"session": "sesn_1", "event": event, **changes}
    return decision_record(
        **given,
        id=f"audit_{event}",
        at=shop.NOW + cents,
        stage="proposed",
        thread="sthr_1",
        agent=known.agent,
        actor=known.user,
        tool=about.tool,
        outcome="ask",
        rule="r",
        evaluation=None,
        state=known.session,
        arguments=about.arguments,
        redaction=Redaction(("cents",)),
        ruling=rules.enterprise.decide(about, known),
        policy_set=rules.digest,
    )


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """A data directory with three decisions, of two of which the arguments are still there."""
    place = Place("", tmp_path / "data")

    async def fill(store: Store) -> None:
        await rows.add_session(store)
        claim = await rows.claimed(store)
        events = [
            rows.event(name, wire=json.dumps({"id": name, "input": given}).encode())
            for name, given in (
                ("sevt_1", {"charge": "c", "cents": 100}),
                ("sevt_2", {"charge": "c", "cents": 20_000}),
                ("sevt_3", {"charge": "other", "cents": 3}),
            )
        ]
        await rows.append(store, claim, *events)
        await store.agents.create(row=rows.agent())
        await store.people.create(row=rows.principal("user_1"))
        made = [decision("sevt_1", 100), decision("sevt_2", 20_000), decision("sevt_3", 300)]
        made += [decision("sevt_9", 400), decision("none", 500, session="sesn_1")]
        made[0] = replace(made[0], workspace=rows.WORKSPACE)
        made[-1] = replace(made[-1], event=None)
        await store.audit.write("sesn_1", made)

    async def body() -> None:
        key = await anyio.to_thread.run_sync(audit_key, place.data_dir, None)
        async with place.open(audit_key=key) as store:
            await fill(store)

    anyio.run(body)
    return place.data_dir


def test_replay_shows_which_real_decisions_would_flip(directory: Path, trail: Path, tmp_path: Path):
    new = write(tmp_path / "new", POLICIES.replace("args.cents > 10000", "args.cents > 99"))
    where = ("--data-dir", str(trail))
    shown = run("replay", str(new), *where, status=1)
    assert "sesn_1 pay.refund for user_1: allow -> ask\n" in shown
    assert "For 3 only redacted arguments were left.\n" in shown
    given = said("replay", str(new), "--last", "2", *where, status=1)
    assert given["replayed"] == 2
    assert {flip["session"] for flip in given["flips"]} == {"sesn_1"}


def test_replay_of_nothing_flips_nothing(directory: Path, tmp_path: Path):
    shown = run("replay", str(directory), "--data-dir", str(tmp_path / "data"))
    assert shown == "0 of 0 decisions flip.\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    policies = write(tmp_path_factory.mktemp("policies") / "shop", POLICIES)
    config = {"policy": {"directory": policies, "reload_seconds": 3600}, "api_key": KEY}
    with serve(tmp_path_factory.mktemp("gateway"), config) as running:
        yield running


@pytest.fixture
def variables(gateway: Running) -> dict[str, Any]:
    return {"WHARFKEEP_URL": gateway.url, "WHARFKEEP_API_KEY": KEY}


def test_the_policies_of_a_running_gateway_are_shown_and_reloaded(
    gateway: Running, variables: dict[str, Any]
):
    assert ": 11 policies, 12 tools\n" in run("status", **variables)
    assert said("reload", **variables)["problems"] == []
    directory = gateway.gateway.config.policy.directory
    assert directory is not None
    (directory / "bad.cedar").write_text("permit (")
    shown = run("reload", status=1, **variables)
    assert "not in force: bad.cedar:1: unexpected end of input\n" in shown
    (directory / "bad.cedar").unlink()
    run("reload", **variables)


def test_a_switch_is_thrown_and_lifted_from_the_terminal(variables: dict[str, Any]):
    thrown = run("switch", "throw", "tool", "mail.send", "--reason", "spam", **variables)
    assert thrown == "Stopped the tool mail.send.\n"
    again = said(
        *("switch", "throw", "tool", "mail.send", "--reason", "spam", "--seconds", "60"),
        **variables,
    )
    assert again["until"]
    assert run("switch", "list", **variables).startswith("the tool mail.send until ")
    assert len(said("switch", "list", **variables)) == 1
    lifted = run("switch", "lift", "tool", "mail.send", **variables)
    assert lifted == "The tool mail.send runs again.\n"
    assert "There is no switch" in run("switch", "lift", "tool", "x", status=1, **variables)


def test_enforcement_is_switched_off_and_on_from_the_terminal(variables: dict[str, Any]):
    off = run("enforcement", "off", "--reason", "incident", "--seconds", "60", **variables)
    assert off.startswith("The policies do not decide until ")
    assert "NOT ENFORCED until " in run("status", **variables)
    assert run("enforcement", "on", **variables) == "The policies decide.\n"
    assert said("enforcement", "on", **variables)["enforced"]


def test_an_ordinary_key_is_told_what_it_lacks(gateway: Running, variables: dict[str, Any]):
    tenant: Tenant = gateway.tenant()
    ours = {**variables, "WHARFKEEP_API_KEY": tenant.key}
    assert "policy:admin" in run("reload", status=1, **ours)
