"""Decisions that were made, made again under other policies.

A record of the audit trail says who called what and how the session stood. What the arguments were
exactly is only in the session's log; without that they are as they were redacted, and the answer is
only as good.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.policy import builtin
from gateway.policy.facts import ApprovalFacts, CallFacts, Facts, SessionFacts, ToolFacts
from gateway.policy.ruleset import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A decision as the audit trail has it."""

    id: str
    at: int
    workspace: str
    session: str
    body: Mapping[str, Any]
    agent_name: str = ""
    email: str | None = None
    """Of the user."""
    approver_email: str | None = None
    arguments: Mapping[str, Any] | None = None
    """As they were; None where only the redacted ones are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What comes of it now."""

    past: Past
    before: str
    """What the policies said then; ``none`` where there were none."""
    after: str
    policies: tuple[str, ...]
    redacted: bool
    """The arguments were not known exactly."""

    @property
    def flips(self) -> bool:
        return self.before != self.after


def replay(rules: Rules, past: Past) -> Replayed:
    """Make one decision again."""
    assert rules.enterprise is not None, "a directory's set has policies"
    ruling = rules.enterprise.decide(*_remember(rules, past))
    then = past.body.get("ruling")
    return Replayed(
        past=past,
        before=then["outcome"] if then else "none",
        after=ruling.outcome,
        policies=ruling.policies,
        redacted=past.arguments is None,
    )


def _remember(rules: Rules, past: Past) -> tuple[CallFacts, Facts]:
    body = past.body
    tool = ToolFacts(
        server=rules.kind(body["tool"]["server"]),
        name=body["tool"]["name"],
        digest=body["tool"]["digest"],
    )
    given = body["arguments"] if past.arguments is None else past.arguments
    own = tool.server in (builtin.SANDBOX, builtin.WEB)
    actor, approval = body["actor"], body.get("approval")
    facts = Facts(
        agent=rules.agent(
            id=body["agent"]["id"],
            name=past.agent_name,
            version=body["agent"]["version"],
            workspace=past.workspace,
        ),
        user=rules.user(id=actor["id"], kind=actor["kind"], email=past.email),
        server=rules.server(body["tool"]["server"], tool),
        session=SessionFacts(id=past.session, **body["state"]),
        now=past.at,
        approval=_approved(rules, approval["by"], past.approver_email) if approval else None,
    )
    return CallFacts(tool, builtin.derive(tool.name, given) if own else given), facts


def _approved(rules: Rules, by: str, email: str | None) -> ApprovalFacts:
    return ApprovalFacts(by=by, groups=rules.user(id=by, kind="user", email=email).groups)
