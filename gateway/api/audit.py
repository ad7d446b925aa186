"""The audit trail, searched and verified. Ours, not the SDK's.

A key sees what happened in its workspace; with the scope ``audit:admin``, as a key of the
organization has it, everything.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, TypeAlias

import anyio
from pydantic_core import to_json

from gateway.api import scopes
from gateway.api.context import ApiCall, Gateway, Reply
from gateway.api.pages import place, token
from gateway.clock import rfc3339
from gateway.errors import Forbidden, InvalidRequest
from gateway.store.audit import Sought
from gateway.store.chain import Entry
from gateway.store.records import Range
from gateway.store.verification import Position
from gateway.wire import queries, responses

Json: TypeAlias = dict[str, Any]

_EVERYTHING = "audit:admin"
VERIFY_SECONDS = 15.0
"""How long one request verifies; the answer says where to go on."""


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /wharfkeep/v1/audit``: records, newest first, with all that is asked for."""
    query = queries.AUDIT_LIST.parse(call.query)
    page = await gateway.store.audit.search(
        Sought(
            workspace=query["workspace"] if _sees_everything(call) else call.workspace,
            session=query["session"],
            actor=query["actor"],
            tool=query["tool"],
            outcome=query["outcome"],
            kind=query["kind"],
            created=Range(**{k: query[f"created_at_{k}"] for k in ("gt", "gte", "lt", "lte")}),
        ),
        limit=query["limit"],
        order=query["order"],
        cursor=place(query["page"]),
    )
    return Reply(responses.page((to_json(present(entry)) for entry in page.rows), token(page.next)))


async def verify(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /wharfkeep/v1/audit/verify``: every chain and every checkpoint, for some seconds.

    While ``next_page`` is not null there is more; ``page`` goes on there. It takes the scope
    ``audit:admin``, since it looks at all workspaces.
    """
    scopes.check(call.scopes, _EVERYTHING, organization=call.everywhere)
    position = _read_position(queries.AUDIT_VERIFY.parse(call.query)["page"])
    seen: dict[str, int] = dict.fromkeys(("records", "chains", "checkpoints"), 0)
    breaks: list[Json] = []
    with anyio.move_on_after(VERIFY_SECONDS):
        while position is not None:
            step = await gateway.store.audit.verify(position)
            position = step.next
            for name in seen:
                seen[name] += getattr(step, name)
            breaks += [{"chain": b.chain, "n": b.n, "problem": b.problem} for b in step.breaks]
    return Reply(
        to_json(
            {
                "type": "audit_verification",
                "valid": not breaks,
                **seen,
                "breaks": breaks,
                "next_page": _write_position(position),
            }
        )
    )


def present(entry: Entry) -> Json:
    """The record as clients see it, with where it stands in its chain."""
    record = entry.record
    return {
        "id": record.id,
        "type": "audit_record",
        "created_at": rfc3339(record.at),
        "kind": record.kind,
        "workspace_id": record.workspace,
        "session_id": record.session,
        "event_id": record.event,
        "actor": record.actor,
        "tool": record.tool,
        "outcome": record.outcome,
        "body": record.body,
        "chain": entry.chain,
        "n": entry.n,
        "mac": entry.mac.hex(),
    }


def _sees_everything(call: ApiCall) -> bool:
    try:
        scopes.check(call.scopes, _EVERYTHING, organization=call.everywhere)
    except Forbidden:
        return False
    return True


def _write_position(position: Position | None) -> str | None:
    if position is None:
        return None
    return urlsafe_b64encode(json.dumps(position).encode()).decode()


def _read_position(text: str | None) -> Position:
    if text is None:
        return Position()
    try:
        match json.loads(urlsafe_b64decode(text)):
            case [str(chain), int() | None as n, int() | None as checkpoint]:
                return Position(chain, n, checkpoint)
            case _:
                pass
    except ValueError:
        pass
    raise InvalidRequest("page: is not one that this endpoint gave")
