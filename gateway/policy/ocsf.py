"""Audit records as events of the Open Cybersecurity Schema Framework, version 1.9.0.

Every record becomes one event of class API Activity (6003) with the profiles ``ai_operation`` (the
agent, and for whom it acts), ``record_integrity`` (the chain) and ``security_control`` (the
decision). ``raw_data`` is the record itself, the very bytes that the code in ``attestation_list``
is over; what the schema has no place for is in ``unmapped``.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from gateway.store.chain import AuditRecord, Entry

Json: TypeAlias = dict[str, Any]

VERSION = "1.9.0"

_CLASS, _CATEGORY = 6003, 6
_CREATE, _READ, _UPDATE, _OTHER = 1, 2, 3, 99
_ACTIVITIES = {_CREATE: "Create", _READ: "Read", _UPDATE: "Update", _OTHER: "Other"}
_KINDS = {
    "approval": _UPDATE,
    "policy": _UPDATE,
    "switch": _UPDATE,
    "enforcement": _UPDATE,
    "key": _UPDATE,
    "member": _UPDATE,
    "credential": _READ,
    "checkpoint": _CREATE,
}
"""What of a record is done to the gateway; a decision is about a call, whose kind is its own."""
_ACTIONS = {
    # outcome: action, disposition, status, severity
    "allow": ((1, "Allowed"), (1, "Allowed"), (1, "Success"), (1, "Informational")),
    "ask": ((99, "Asked"), (14, "Delayed"), (99, "Asked"), (1, "Informational")),
    "deny": ((2, "Denied"), (2, "Blocked"), (2, "Failure"), (3, "Medium")),
}
_USERS = {"user": (1, "User"), "service_account": (4, "Service"), "api_key": (4, "Service")}
_IN_PLACE = {"agent", "actor", "tool", "arguments"}
"""What of a decision has a place in the schema."""


def to_ocsf(entry: Entry, *, product_version: str) -> Json:
    """The event of a record."""
    record, body = entry.record, entry.record.body
    activity = _KINDS.get(record.kind, _OTHER)
    event: Json = {
        "category_uid": _CATEGORY,
        "category_name": "Application Activity",
        "class_uid": _CLASS,
        "class_name": "API Activity",
        "activity_id": activity,
        "activity_name": _ACTIVITIES[activity],
        "type_uid": _CLASS * 100 + activity,
        "type_name": f"API Activity: {_ACTIVITIES[activity]}",
        "severity_id": 1,
        "severity": "Informational",
        "time": record.at // 1000,
        "message": _message(record),
        "metadata": _metadata(entry, product_version),
        "actor": _actor(record, body.get("actor")),
        "api": _api(record),
        "src_endpoint": {"name": "wharfkeep"},
        "raw_data": entry.written.decode(errors="replace"),
        "attestation_list": [_attestation(entry)],
        "unmapped": {name: value for name, value in body.items() if name not in _IN_PLACE},
    }
    if record.outcome in _ACTIONS:
        event |= _control(record.outcome)
    if record.tool is not None:
        event["resources"] = [{"uid": record.tool, "name": record.tool, "type": "tool"}]
    if "agent" in body:
        event |= _delegated(record, body["agent"])
    return event


def _message(record: AuditRecord) -> str:
    about = f" on {record.tool}" if record.tool else ""
    return f"{record.kind}{about}: {record.outcome or 'recorded'}"


def _metadata(entry: Entry, product_version: str) -> Json:
    record = entry.record
    metadata: Json = {
        "version": VERSION,
        "profiles": ["ai_operation", "record_integrity", "security_control"],
        "product": {"name": "Wharfkeep", "vendor_name": "Wharfkeep", "version": product_version},
        "uid": record.id,
        "event_code": record.kind,
        "log_name": "audit",
        "sequence": entry.n,
    }
    if record.workspace is not None:
        metadata["tenant_uid"] = record.workspace
    if record.event is not None:
        metadata["correlation_uid"] = record.event
    return metadata


def _actor(record: AuditRecord, told: Mapping[str, Any] | None) -> Json:
    actor: Json = {"app_name": "wharfkeep"}
    if record.session is not None:
        actor["session"] = {"uid": record.session}
    if record.actor is not None:
        user: Json = {"uid": record.actor}
        if told is not None:
            user["type_id"], user["type"] = _USERS.get(told["kind"], (0, "Unknown"))
            user["groups"] = [{"name": name} for name in told["groups"]]
        actor["user"] = user
    return actor


def _api(record: AuditRecord) -> Json:
    body = record.body
    api: Json = {"operation": record.tool or record.kind, "service": {"name": "wharfkeep"}}
    if "tool" in body:
        api["service"] = {"name": body["tool"]["server"]}
    if record.event is not None:
        api["request"] = {"uid": record.event}
        if "arguments" in body:
            api["request"]["data"] = body["arguments"]
    return api


def _attestation(entry: Entry) -> Json:
    """Where the record is in its chain. The code is over ``raw_data`` and the code before it."""
    return {
        "uid": f"{entry.chain}/{entry.n}",
        "authority_uid": "wharfkeep",
        "chain_uid": entry.chain,
        "fingerprint": {"algorithm_id": 99, "algorithm": "HMAC-SHA-256", "value": entry.mac.hex()},
    }


def _control(outcome: str) -> Json:
    action, disposition, status, severity = _ACTIONS[outcome]
    return {
        "action_id": action[0],
        "action": action[1],
        "disposition_id": disposition[0],
        "disposition": disposition[1],
        "status_id": status[0],
        "status": status[1],
        "severity_id": severity[0],
        "severity": severity[1],
    }


def _delegated(record: AuditRecord, agent: Mapping[str, Any]) -> Json:
    """The agent, and the session in which it acts for somebody."""
    told: Json = {"ai_agent": {"uid": agent["id"], "version": str(agent["version"])}}
    if record.session is not None:
        told["ai_agent"]["instance_uid"] = record.session
        told["delegation"] = {"uid": record.session, "issuer_uid": "wharfkeep"}
    return told
