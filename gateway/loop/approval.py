"""Who may answer a call that waits for a person, and what the answer makes of its approval. Pure.

To deny is open to whoever may send events. To approve what an enterprise policy asks about is not:
the policy may want another person than the one the agent acts for, or a member of a group.
"""

from dataclasses import dataclass, replace
from typing import Literal

from gateway.clock import rfc3339
from gateway.errors import Forbidden, InvalidRequest
from gateway.store.approvals import ApprovalRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends events to a session."""

    actor: str
    """A principal; or the API key, when it is nobody's."""
    groups: frozenset[str] = frozenset()
    """Names of the groups the actor is in."""
    ip: str | None = None
    """Where the request came from, if it came from an address."""
    may_approve: bool = True
    """Whether the key it came with is good for what enterprise policies ask."""


GATEWAY = Sender(actor="gateway")
"""The gateway itself, which denies what nobody has answered in time, and nothing else."""

LINK = "link"
"""The actor of a link that was made for nobody in particular: no known person, in no group."""


def settle(
    row: ApprovalRow, answer: Literal["allow", "deny"], sender: Sender, now: int
) -> ApprovalRow:
    """The approval as it is once `sender` has answered.

    Raises:
        InvalidRequest: It is settled already, or its time has run out.
        Forbidden: The sender may not approve it; the message names the rule.
    """
    if row.state != "pending":
        raise InvalidRequest(f"{row.event} {explain(row)}")
    late = row.expires_at is not None and row.expires_at <= now
    if sender.actor == GATEWAY.actor:
        if answer == "allow" or not late:
            raise InvalidRequest(f"{row.event} may still be answered by somebody")
        return replace(row, state="expired", decided_at=now)
    if late:
        raise InvalidRequest(f"{row.event} could be answered until {_instant(row.expires_at)}")
    if answer == "deny":
        return replace(row, state="denied", approver=sender.actor, decided_at=now)
    if row.body["enterprise"]:
        _check_approver(row, sender)
    return replace(row, state="approved", approver=sender.actor, decided_at=now)


def explain(row: ApprovalRow) -> str:
    """Why a settled approval takes no answer, to go after the id of its tool use."""
    match row.state:
        case "pending":
            return "waits for an answer"
        case "approved":
            return f"was approved already, by {row.approver}"
        case "denied":
            return f"was denied already, by {row.approver}"
        case "expired":
            return f"could be answered until {_instant(row.expires_at)}, and was denied then"
        case "used":
            return f"was approved already, by {row.approver}, and has run: an approval counts once"
        case "withdrawn":
            return "needs no answer any more: the call was given up"


def _check_approver(row: ApprovalRow, sender: Sender) -> None:
    policies = row.body["policies"]
    rule = f"{'policies' if len(policies) > 1 else 'policy'} {', '.join(policies)}"
    if not sender.may_approve:
        raise Forbidden(
            f"{row.event} needs an approval ({rule}), and this API key does not have the scope"
            " approvals:answer"
        )
    if row.body["second_person"] and sender.actor == row.body["actor"]:
        raise Forbidden(
            f"{row.event} needs the approval of another person than {sender.actor},"
            f" for whom the agent acts ({rule})"
        )
    approvers = row.body["approvers"]
    if approvers and not sender.groups.intersection(approvers):
        raise Forbidden(
            f"{row.event} needs the approval of a member of {' or '.join(sorted(approvers))},"
            f" which {sender.actor} is not ({rule})"
        )
    if row.body["second_person"] and not sender.actor.startswith("user_"):
        raise Forbidden(
            f"{row.event} needs the approval of a second person, and {sender.actor} is none"
            f" ({rule})"
        )


def _instant(at: int | None) -> str:
    return rfc3339(at) if at is not None else "its end"
