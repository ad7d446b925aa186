"""What a record of a decision says, and what it never says."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.audit import (
    LEFT_OUT,
    MAX_ARGUMENTS,
    MAX_DEPTH,
    MAX_NAMES,
    MAX_TEXT,
    REDACTED,
    Approved,
    Redaction,
    decision_record,
    digest_arguments,
)
from gateway.policy.enterprise import Ruling
from gateway.policy.facts import AgentFacts, SessionFacts, ToolFacts, UserFacts
from gateway.store.chain import AuditRecord, digest, write_record

PLAIN = Redaction()
LARGEST = 32 * 1024
"""Bytes that no record of a decision exceeds."""


def show(value: Any, *names: str) -> Any:
    return Redaction(names).show({"x": value})["x"]


def decide(**changes: Any) -> AuditRecord:
    arguments: dict[str, Any] = {
        "id": "aud_1",
        "at": 7,
        "stage": "proposed",
        "session": "sesn_1",
        "thread": "sthr_1",
        "event": "sevt_1",
        "agent": AgentFacts(id="agent_1", version=3, workspace="wrkspc_1"),
        "actor": UserFacts(id="user_1", kind="user", groups=frozenset({"b", "a"})),
        "tool": ToolFacts(server="sandbox", name="bash", digest="d1"),
        "outcome": "allow",
        "rule": "policy:always_allow",
        "evaluation": {"type": "always_allow"},
        "state": SessionFacts(id="sesn_1", read_private=True, spent_cents=5),
        "arguments": {"command": "ls"},
        "redaction": PLAIN,
        **changes,
    }
    return decision_record(**arguments)


def test_a_record_tells_the_whole_decision():
    record = decide(
        ruling=Ruling(outcome="ask", policies=("p2", "p1")),
        policy_set="set1",
        shadow=Ruling(outcome="deny", problem="no such attribute"),
        approval=Approved(id="appr_1", by="user_2"),
        switch="incident",
        enforced=False,
    )
    assert record == AuditRecord(
        id="aud_1",
        at=7,
        kind="decision",
        workspace="wrkspc_1",
        session="sesn_1",
        event="sevt_1",
        actor="user_1",
        tool="sandbox.bash",
        outcome="allow",
        body={
            "stage": "proposed",
            "thread": "sthr_1",
            "agent": {"id": "agent_1", "version": 3},
            "actor": {"id": "user_1", "kind": "user", "groups": ["a", "b"]},
            "tool": {"server": "sandbox", "name": "bash", "digest": "d1"},
            "rule": "policy:always_allow",
            "evaluation": {"type": "always_allow"},
            "ruling": {"outcome": "ask", "policies": ["p1", "p2"], "problem": ""},
            "policy_set": "set1",
            "shadow": {"outcome": "deny", "policies": [], "problem": "no such attribute"},
            "enforced": False,
            "switch": "incident",
            "approval": {"id": "appr_1", "by": "user_2"},
            "state": {
                "read_private": True,
                "read_untrusted": False,
                "data_label": "",
                "spent_cents": 5,
                "spend_cap_cents": 0,
                "calls_last_minute": 0,
            },
            "arguments": {"command": "ls"},
            "arguments_digest": digest({"command": "ls"}),
        },
    )


def test_what_was_not_asked_is_null():
    body = decide().body
    assert (body["ruling"], body["shadow"], body["approval"]) == (None, None, None)


def test_a_digest_that_is_known_is_not_made_again():
    assert decide(arguments_digest="known").body["arguments_digest"] == "known"


def test_the_digest_is_of_what_is_not_shown():
    one, other = {"password": "a", "n": "x" * 1000}, {"password": "b", "n": "x" * 1000}
    assert PLAIN.show(one) == PLAIN.show(other)
    assert digest_arguments(one) != digest_arguments(other)


def test_long_lists_of_names_are_cut_and_counted():
    groups = frozenset(f"g{n:03}" for n in range(MAX_NAMES + 1))
    actor = decide(actor=UserFacts(id="u", kind="user", groups=groups)).body["actor"]
    assert actor["groups"] == sorted(groups)[:MAX_NAMES]
    assert actor["groups_in_all"] == MAX_NAMES + 1


@pytest.mark.parametrize(
    "name",
    [
        "password", "db_password", "userPasswd", "passphrase", "PASS", "pwd", "client_secret",
        "secretKey", "token", "access_token", "authToken", "api_key", "apiKey", "X-Api-Key",
        "private_key", "accessKeyId", "Authorization", "cookie", "Set-Cookie", "credentials",
        "bearer", "otp", "PIN", "cvv",
    ],
)  # fmt: skip
def test_what_is_under_a_name_that_looks_secret_is_never_shown(name: str):
    assert PLAIN.show({name: "hunter2"}) == {name: REDACTED}
    assert show({"deep": [{name: {"of": "hunter2"}}]}) == {"deep": [{name: REDACTED}]}


@pytest.mark.parametrize(
    "name", ["max_tokens", "tokenizer", "token_count", "path", "opinion", "pinned", "key", "passed"]
)
def test_other_names_are_shown(name: str):
    assert PLAIN.show({name: "plain"}) == {name: "plain"}


def test_operators_add_names_whatever_their_case_and_punctuation():
    redaction = Redaction(["Customer-IBAN"])
    assert redaction.show({"customer_iban": 1, "customerIban": "DE1", "iban": "x"}) == {
        "customer_iban": REDACTED,
        "customerIban": REDACTED,
        "iban": "x",
    }


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY-----"
SECRETS = [
    (f"before\n{PEM}\nafter", f"before\n{REDACTED}\nafter"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEow", REDACTED),
    ("x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln y", f"x {REDACTED} y"),
    ("sk-ant-api03-abcdefghijklmnop1234", REDACTED),
    ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", REDACTED),
    ("github_pat_11ABCDEFG0abcdefghijkl", REDACTED),
    ("glpat-abcdefghij0123456789", REDACTED),
    ("xoxb-123456789012-abcdefghijkl", REDACTED),
    ("AIzaSyA1234567890abcdefghijklmnopqrstu", REDACTED),
    ("AKIAABCDEFGHIJKLMNOP is a key", f"{REDACTED} is a key"),
    ("wk-0123456789abcdef0123", REDACTED),
    ("postgres://me:hunter2@db:5432/x", f"postgres://{REDACTED}@db:5432/x"),
    ("https://tokentoken@example.com/", f"https://{REDACTED}@example.com/"),
    (
        "curl -H 'Authorization: Bearer abcdef.123456'",
        f"curl -H 'Authorization: Bearer {REDACTED}'",
    ),
    ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: Basic {REDACTED}"),
    ("bearer abcdef.123456", f"bearer {REDACTED}"),
    ("curl -u me:hunter2 https://x", f"curl -u {REDACTED} https://x"),
    ("curl --user me:hunter2 x", f"curl --user {REDACTED} x"),
    ("PGPASSWORD=hunter2 psql", f"PGPASSWORD={REDACTED} psql"),
    ("export API_KEY='abc'", f"export API_KEY={REDACTED}"),
    ('{"password": "hunter2"}', f'{{"password": {REDACTED}}}'),
    ("https://x/?access_token=abc&y=1", f"https://x/?access_token={REDACTED}&y=1"),
    ("mysql --password hunter2 db", f"mysql --password {REDACTED} db"),
]


@pytest.mark.parametrize(("text", "shown"), SECRETS)
def test_a_secret_in_a_text_is_cut_out(text: str, shown: str):
    assert show(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "a token of our love", "password reset page", "https://example.com/@user", "sk-short",
        "user@example.com", "the key is under the mat", "ssh -u me", "Bearer of news", "eyJ.a.b",
        "--token-count 5", "basic research",
    ],
)  # fmt: skip
def test_plain_text_stays(text: str):
    assert show(text) == text


@given(st.integers(0, 2000), st.sampled_from([secret for secret, _ in SECRETS]))
def test_no_secret_is_shown_wherever_the_text_is_cut(before: int, secret: str):
    core = re.sub(r".*(hunter2|MIIEow|abcdef\.123456|eyJz|dXNlc).*", r"\1", secret, flags=re.DOTALL)
    if core == secret:
        core = secret[6:30]
    assert (
        core not in show(" " + "." * before + " " + secret + " " + "." * 2000) or core in "is a key"
    )


def test_a_long_text_shows_its_beginning_and_its_length():
    assert show("a" * 5000) == "a" * MAX_TEXT + "... [5000 characters]"
    assert show("a" * MAX_TEXT) == "a" * MAX_TEXT
    assert show("a" * (MAX_TEXT + 1)) == "a" * MAX_TEXT + f"... [{MAX_TEXT + 1} characters]"


def test_numbers_that_not_every_reader_keeps_are_texts():
    assert [show(n) for n in (1, 2.5, True, None, 2**53, -(10**40))] == [
        1, 2.5, True, None, str(2**53), str(-(10**40)),
    ]  # fmt: skip
    assert [show(n) for n in (float("nan"), float("inf"))] == ["nan", "inf"]


def test_half_a_surrogate_pair_does_not_spoil_a_record():
    assert show("a\ud800") == "a?"
    assert Redaction().show({"\ud800": 1}) == {"?": 1}


def test_what_is_too_deep_is_left_out():
    deep: Any = "bottom"
    for _ in range(MAX_DEPTH + 5):
        deep = {"d": deep}
    shown = json.dumps(PLAIN.show(deep))
    assert "bottom" not in shown
    assert LEFT_OUT in shown
    assert json.loads(shown)["d"]["d"]["d"]["d"]


def test_what_is_too_much_is_left_out_and_counted():
    shown = PLAIN.show({f"name{n}": "v" * 100 for n in range(1000)})
    assert re.fullmatch(r"\d+ of 1000", shown[LEFT_OUT])
    assert len(json.dumps(shown)) < 2 * MAX_ARGUMENTS
    several = show(list(range(100_000)))
    assert re.fullmatch(r"\[left out: \d+ of 100000\]", several[-1])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=300), inner, max_size=40)
    ),
    max_leaves=200,
)


@given(st.dictionaries(st.text(max_size=500), JSON, max_size=40))
def test_any_arguments_make_a_bounded_record(arguments: dict[str, Any]):
    written = write_record(decide(arguments=arguments))
    assert len(written) < LARGEST
    assert json.loads(written)["body"]["arguments_digest"] == digest_arguments(arguments)


def test_a_megabyte_of_arguments_makes_a_small_record():
    arguments = {"content": "x" * 1_000_000, "many": [{"a": "b" * 50}] * 10_000}
    assert len(write_record(decide(arguments=arguments))) < LARGEST
