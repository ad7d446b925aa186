"""Our Cedar decides as the official build does: another compilation of another version."""

import json
import random
import re
import subprocess
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from gateway.policy.cedar import Entities, Member, Question
from gateway.policy.enterprise import Enterprise
from gateway.policy.schema import write_schema
from gateway.policy.sources import cut
from tests.npm import find_node, install
from tests.policy import shop

_HERE = Path(__file__).parent / "wasm"
_SECONDS = 100.0
_SEED = 11


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_official_build_decides_every_question_alike():
    node = find_node()
    folder = install(node, _HERE)
    enterprise, questions = shop.enterprise(), _questions()
    asked = [_theirs(enterprise, *question) for question in questions]
    done = subprocess.run(
        [node.node, "ask.cjs"],
        cwd=folder,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
    )
    ours = [_ours(enterprise, *question) for question in questions]
    assert json.loads(done.stdout) == ours
    assert {answer["decision"] for answer in ours} == {"allow", "deny"}


_Asked = tuple[Member, str, Member, dict[str, Any]]


def _questions() -> list[_Asked]:
    """Calls around every boundary of the shop's policies."""
    draw = random.Random(_SEED)
    agents = [
        Member(("Agent", f"a{number}"), frozenset(classes))
        for number, classes in enumerate([[], [("AgentClass", "refunds")]])
    ]
    users = [
        Member(("User", f"u{number}"), frozenset(groups))
        for number, groups in enumerate([[], [("Group", "support")], [("Group", "leads")]])
    ]
    found: list[_Asked] = []
    for principal, tool, cents, private, granted in product(
        [*agents, *users], shop.TOOLS, (1, 10_000, 10_001, 60_000), (False, True), (False, True)
    ):
        by = draw.choice(users)
        context = _context(tool.action, cents, private=private, by=by.uid[1] if granted else None)
        found.append((principal, tool.action, Member(("Server", tool.server)), context))
    return found


def _context(action: str, cents: int, *, private: bool, by: str | None) -> dict[str, Any]:
    arguments: Mapping[str, dict[str, Any]] = {
        "github.get_issue": {"number": cents},
        "github.delete_repo": {"repo": "acme/api"},
        "pay.refund": {"charge": "c", "cents": cents},
        "mail.send": {"to": ["press@example.com" if cents > 10_000 else "ann@example.com"]},
    }
    approval: dict[str, Any] = {"granted": by is not None}
    if by is not None:
        approval["by"] = _reference("User", by)
    return {
        "args": arguments[action],
        "agent": _reference("Agent", "a1"),
        "user": _reference("User", "u1"),
        "workspace": _reference("Workspace", "w"),
        "session": {
            "id": "s",
            "read_private": private,
            "read_untrusted": True,
            "data_label": "",
            "spent_cents": 0,
            "spend_cap_cents": 0,
            "calls_last_minute": 1,
        },
        "approval": approval,
        "now": {"__extn": {"fn": "datetime", "arg": "2026-01-01T00:00:00.000Z"}},
        "tool": action,
        "tool_digest": "d",
    }


def _entities(principal: Member, server: Member) -> list[dict[str, Any]]:
    workspace = {"workspace": _reference("Workspace", "w"), "version": 1}
    people = [
        _entity(
            Member(("User", f"u{number}"), frozenset(groups)),
            {"kind": "user", "refund_limit_cents": 50_000},
        )
        for number, groups in enumerate([[], [("Group", "support")], [("Group", "leads")]])
    ]
    agent = [_entity(principal, workspace)] if principal.uid[0] == "Agent" else []
    return [*people, *agent, _entity(server, {"kind": server.uid[1], "pinned": True})]


def _ours(
    enterprise: Enterprise, principal: Member, action: str, server: Member, context: dict[str, Any]
) -> dict[str, Any]:
    entities: Entities = enterprise.policies.entities(_entities(principal, server))
    question = Question(
        principals=(principal,),
        action=action,
        groups=frozenset(enterprise.vocabulary.groups(action)),
        resource=server,
        context=json.dumps(context),
    )
    [verdict] = enterprise.policies.answer(question, entities)
    return {
        "decision": "allow" if verdict.allowed else "deny",
        "reason": list(verdict.policies),
        "errors": len(verdict.errors),
    }


def _theirs(
    enterprise: Enterprise, principal: Member, action: str, server: Member, context: dict[str, Any]
) -> dict[str, Any]:
    policies = {
        found[1]: text
        for _, text in cut(shop.POLICIES)
        if (found := re.search(r'@id\("([^"]+)"\)', text))
    }
    return {
        "principal": _named(principal),
        "action": {"type": "Action", "id": action},
        "resource": _named(server),
        "context": context,
        "schema": write_schema(enterprise.vocabulary),
        "validateRequest": True,
        "policies": {"staticPolicies": policies},
        "entities": _entities(principal, server),
    }


def _entity(member: Member, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": _named(member),
        "attrs": attributes,
        "parents": [{"type": kind, "id": name} for kind, name in sorted(member.within)],
    }


def _named(member: Member) -> dict[str, str]:
    return {"type": member.uid[0], "id": member.uid[1]}


def _reference(kind: str, name: str) -> dict[str, Any]:
    return {"__entity": {"type": kind, "id": name}}
