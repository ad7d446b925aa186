"""Calls that wait for a person, listed and answered. Ours, not the SDK's.

To answer here is to send the session a ``user.tool_confirmation``: the same rules, the same event.
"""

from typing import Any, TypeAlias

from pydantic_core import to_json

from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.pages import place, token
from gateway.api.sender import sender_of
from gateway.clock import rfc3339
from gateway.store.approvals import ApprovalRow
from gateway.wire import queries, requests, responses

Json: TypeAlias = dict[str, Any]

_SHOWN = (
    "tool",
    "arguments",
    "arguments_digest",
    "tool_digest",
    "policy_set",
    "policies",
    "approvers",
    "second_person",
    "enterprise",
)


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /wharfkeep/v1/approvals``: newest first, those in any of the states asked for."""
    query = queries.APPROVAL_LIST.parse(call.query)
    page = await gateway.store.approvals.list(
        workspace=call.workspace,
        limit=query["limit"],
        states=query["state"],
        cursor=place(query["page"]),
    )
    return Reply(responses.page((to_json(present(row)) for row in page.rows), token(page.next)))


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /wharfkeep/v1/approvals/{approval_id}``."""
    return Reply(to_json(present(await _find(gateway, call))))


async def answer(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /wharfkeep/v1/approvals/{approval_id}``: approve the call or deny it, once.

    The answer is the approval as it is then. 403 when the policy wants somebody else to approve.
    """
    body = await parsed(gateway, call, requests.APPROVAL_ANSWER)
    row = await _find(gateway, call)
    await gateway.intake.answer(
        row,
        allow=body["decision"] == "approve",
        reason=body.get("message"),
        sender=sender_of(gateway, call),
    )
    return Reply(to_json(present(await _find(gateway, call))))


def present(row: ApprovalRow) -> Json:
    """The approval as clients see it."""
    return {
        "id": row.id,
        "type": "approval",
        "state": row.state,
        "workspace_id": row.workspace,
        "session_id": row.session,
        "session_thread_id": row.body["thread"],
        "tool_use_id": row.event,
        "acting_for": row.body["actor"],
        **{name: row.body[name] for name in _SHOWN},
        "approver": row.approver,
        "created_at": rfc3339(row.created_at),
        "expires_at": _instant(row.expires_at),
        "decided_at": _instant(row.decided_at),
    }


async def _find(gateway: Gateway, call: ApiCall) -> ApprovalRow:
    return await gateway.store.approvals.get(workspace=call.workspace, id=call.path["approval_id"])


def _instant(at: int | None) -> str | None:
    return rfc3339(at) if at is not None else None
