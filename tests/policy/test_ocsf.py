"""Records as OCSF events: every one has the shape of class 6003, whatever it is about."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.ocsf import to_ocsf
from gateway.store.chain import AuditRecord, Entry, write_record
from tests.policy.test_policy_audit import decide

OUTCOMES = {
    "allow": ("Allowed", "Allowed", "Success", 1),
    "ask": ("Asked", "Delayed", "Asked", 1),
    "deny": ("Denied", "Blocked", "Failure", 3),
}
REQUIRED = {
    "activity_id": int,
    "category_uid": int,
    "class_uid": int,
    "type_uid": int,
    "severity_id": int,
    "time": int,
    "metadata": dict,
    "actor": dict,
    "api": dict,
    "src_endpoint": dict,
}
"""What OCSF 1.9.0 requires of API Activity, itself and from the base event."""
OPTIONAL = {
    "activity_name", "category_name", "class_name", "type_name", "severity", "message", "raw_data",
    "attestation_list", "unmapped", "resources", "action", "action_id", "disposition",
    "disposition_id", "status", "status_id", "ai_agent", "delegation",
}  # fmt: skip


def entry(record: AuditRecord) -> Entry:
    return Entry(chain="sesn_1", n=4, record=record, written=write_record(record), mac=b"\1" * 32)


def valid(event: dict[str, Any]) -> dict[str, Any]:
    """The event, which keeps the rules of the schema that it claims."""
    for name, kind in REQUIRED.items():
        assert isinstance(event[name], kind), name
    assert set(event) <= set(REQUIRED) | OPTIONAL
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert (event["class_uid"], event["category_uid"]) == (6003, 6)
    assert event["activity_id"] in {0, 1, 2, 3, 4, 99}
    assert event["severity_id"] in {0, 1, 2, 3, 4, 5, 6, 99}
    assert event["metadata"]["version"] == "1.9.0"
    assert event["metadata"]["product"]["name"]
    assert {"user", "session", "app_name", "process"} & set(event["actor"])
    assert event["api"]["operation"]
    assert event["api"].get("request", {"uid": ""})["uid"] is not None
    assert {"ip", "uid", "name", "hostname"} & set(event["src_endpoint"])
    for attestation in event["attestation_list"]:
        assert attestation["fingerprint"]["algorithm_id"] in {3, 99}
        assert attestation["fingerprint"]["value"]
    if "delegation" in event:
        assert event["delegation"]["uid"]
    assert json.loads(json.dumps(event)) == event
    return event


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_decision_tells_agent_user_tool_and_outcome(outcome: str):
    record = decide(outcome=outcome)
    event = valid(to_ocsf(entry(record), product_version="1.2.3"))
    assert (
        event["action"],
        event["disposition"],
        event["status"],
        event["severity_id"],
    ) == OUTCOMES[outcome]
    assert event["time"] == record.at // 1000
    assert event["message"] == f"decision on sandbox.bash: {outcome}"
    assert event["metadata"]["uid"] == "aud_1"
    assert event["metadata"]["tenant_uid"] == "wrkspc_1"
    assert event["metadata"]["sequence"] == 4
    assert event["metadata"]["correlation_uid"] == "sevt_1"
    assert event["actor"]["user"] == {
        "uid": "user_1",
        "type_id": 1,
        "type": "User",
        "groups": [{"name": "a"}, {"name": "b"}],
    }
    assert event["ai_agent"] == {"uid": "agent_1", "version": "3", "instance_uid": "sesn_1"}
    assert event["delegation"] == {"uid": "sesn_1", "issuer_uid": "wharfkeep"}
    assert event["api"] == {
        "operation": "sandbox.bash",
        "service": {"name": "sandbox"},
        "request": {"uid": "sevt_1", "data": {"command": "ls"}},
    }
    assert event["resources"][0]["uid"] == "sandbox.bash"
    assert event["unmapped"]["rule"] == "policy:always_allow"
    assert "arguments" not in event["unmapped"]


def test_the_record_itself_and_its_code_go_along():
    record = decide()
    event = valid(to_ocsf(entry(record), product_version="1"))
    assert event["raw_data"].encode() == write_record(record)
    assert event["attestation_list"][0]["chain_uid"] == "sesn_1"
    assert event["attestation_list"][0]["fingerprint"]["value"] == "01" * 32


@pytest.mark.parametrize(
    ("kind", "activity"),
    [
        ("approval", 3), ("policy", 3), ("switch", 3), ("enforcement", 3), ("key", 3),
        ("member", 3), ("credential", 2), ("checkpoint", 1), ("something new", 99),
    ],
)  # fmt: skip
def test_every_kind_of_record_is_an_event(kind: str, activity: int):
    record = replace(decide(), kind=kind, tool=None, outcome=None, body={"reason": "x"})
    event = valid(to_ocsf(entry(record), product_version="1"))
    assert event["activity_id"] == activity
    assert event["api"]["operation"] == kind
    assert event["unmapped"] == {"reason": "x"}
    assert event["message"] == f"{kind}: recorded"


def test_what_belongs_to_nobody_is_an_event():
    nobody = AuditRecord(
        id="aud_1", at=1, kind="checkpoint", workspace=None, session=None, event=None,
        actor=None, tool=None, outcome=None, body={},
    )  # fmt: skip
    event = valid(to_ocsf(entry(nobody), product_version="1"))
    assert event["actor"] == {"app_name": "wharfkeep"}
    assert "tenant_uid" not in event["metadata"]
    assert "status_id" not in event


def test_a_call_outside_of_a_session_has_no_delegation():
    record = replace(decide(), session=None, event="evt")
    body = {name: value for name, value in record.body.items() if name != "arguments"}
    event = valid(to_ocsf(entry(replace(record, body=body)), product_version="1"))
    assert "delegation" not in event
    assert event["ai_agent"] == {"uid": "agent_1", "version": "3"}
    assert event["api"]["request"] == {"uid": "evt"}


def test_an_actor_of_an_unknown_kind_is_unknown():
    record = decide()
    body = {**record.body, "actor": {"id": "x", "kind": "robot", "groups": []}}
    event = valid(to_ocsf(entry(replace(record, body=body)), product_version="1"))
    assert event["actor"]["user"]["type_id"] == 0
