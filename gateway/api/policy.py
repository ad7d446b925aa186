"""The policies in force, the kill switches, and enforcement itself. Ours, not the SDK's.

What changes anything takes a key with the scope ``policy:admin``: one of the organization's, or one
that names it.
"""

from typing import Any, TypeAlias

from pydantic_core import to_json

from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.clock import rfc3339
from gateway.errors import InvalidRequest
from gateway.store.switches import ENFORCEMENT, SwitchRow
from gateway.wire import requests

Json: TypeAlias = dict[str, Any]


async def status(gateway: Gateway, call: ApiCall) -> Reply:  # noqa: ARG001 - the signature of all
    """``GET /wharfkeep/v1/policy``: which set is in force, and what is wrong with a newer one."""
    return Reply(to_json(_status(gateway)))


async def reload(gateway: Gateway, call: ApiCall) -> Reply:  # noqa: ARG001 - the signature of all
    """``POST /wharfkeep/v1/policy/reload``: look at the directory now.

    200 even if what is there cannot be used: then ``problems`` says why, and what was in force
    still is.
    """
    await gateway.rulebook.reload()
    return Reply(to_json(_status(gateway)))


async def list_switches(gateway: Gateway, call: ApiCall) -> Reply:  # noqa: ARG001 - the same
    """``GET /wharfkeep/v1/policy/switches``: what is stopped now, the oldest first."""
    await gateway.rulebook.switches.refresh()
    rows = gateway.rulebook.switches.all()
    return Reply(to_json({"data": [_show(row) for row in rows if not _is_enforcement(row)]}))


async def throw_switch(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /wharfkeep/v1/policy/switches``: stop every call of something, from the next on."""
    body = await parsed(gateway, call, requests.SWITCH_THROW)
    row = await gateway.rulebook.switches.throw(
        kind=body["kind"],
        subject=body["subject"],
        reason=body["reason"],
        actor=call.actor,
        seconds=body.get("seconds"),
    )
    return Reply(to_json(_show(row)))


async def lift_switch(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /wharfkeep/v1/policy/switches/lift``: let it run again."""
    body = await parsed(gateway, call, requests.SWITCH_LIFT)
    kind, subject = body["kind"], body["subject"]
    await gateway.rulebook.switches.lift(kind=kind, subject=subject, actor=call.actor)
    return Reply(to_json({"type": "switch_lifted", "kind": kind, "subject": subject}))


async def set_enforcement(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /wharfkeep/v1/policy/enforcement``: let no enterprise policy decide, or all again.

    Off needs a reason and an end of at most a day, and is audited; it ends by itself.
    """
    body = await parsed(gateway, call, requests.ENFORCEMENT)
    switches = gateway.rulebook.switches
    if body["enforced"]:
        await switches.resume(actor=call.actor)
    elif "reason" not in body or "seconds" not in body:
        raise InvalidRequest("reason, seconds: say why enforcement ends and for how long")
    else:
        await switches.suspend(reason=body["reason"], actor=call.actor, seconds=body["seconds"])
    return Reply(to_json(_status(gateway)))


def _status(gateway: Gateway) -> Json:
    lifted = next(filter(_is_enforcement, gateway.rulebook.switches.all()), None)
    return {
        **gateway.rulebook.status().body(),
        "enforced": lifted is None,
        "unenforced": None if lifted is None else _show(lifted),
    }


def _is_enforcement(row: SwitchRow) -> bool:
    return (row.kind, row.subject) == ENFORCEMENT


def _show(row: SwitchRow) -> Json:
    return {
        "type": "switch",
        "kind": row.kind,
        "subject": row.subject,
        "reason": row.reason,
        "thrown_by": row.thrown_by,
        "thrown_at": rfc3339(row.thrown_at),
        "until": None if row.until is None else rfc3339(row.until),
    }
