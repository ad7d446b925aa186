"""API keys: made with our own endpoint, listed and changed with the SDK's (spec/resources 7.4)."""

from typing import Any, TypeAlias

from pydantic_core import to_json

from gateway.api import pages, scopes
from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.trail import deed
from gateway.clock import rfc3339
from gateway.errors import InvalidRequest
from gateway.keys import digest, hint, new_key
from gateway.store.keys import KeyRow
from gateway.wire import queries, requests, responses

Json: TypeAlias = dict[str, Any]


async def create(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /wharfkeep/v1/api_keys``: the only answer that ever shows the key."""
    params = await parsed(gateway, call, requests.API_KEY_CREATE)
    workspace, whole = params.get("workspace_id"), bool(params.get("organization"))
    if workspace and whole:
        raise InvalidRequest("workspace_id: cannot be combined with organization")
    given, seconds = params.get("scopes"), params.get("expires_in_seconds")
    key, now = new_key(), gateway.clock.now()
    row = await gateway.store.keys.create(
        workspace=workspace or await gateway.store.keys.default_workspace(),
        name=params["name"],
        sha256=digest(key),
        hint=hint(key),
        now=now,
        principal=params.get("principal_id"),
        scopes=None if given is None else scopes.parse(given),
        organization=whole,
        created_by=call.actor,
        expires_at=None if seconds is None else now + seconds * 1_000_000,
        deed=deed(gateway, call, "created"),
    )
    body = responses.API_KEY.present(show(row, now))
    return Reply(to_json({**body, "scopes": given and sorted(given), "key": key}))


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/api_keys/{api_key_id}``."""
    row = await gateway.store.keys.get(id=call.path["api_key_id"])
    return _reply(gateway, row)


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/api_keys/{api_key_id}``: off and on again, or archived for ever."""
    patch = await parsed(gateway, call, requests.API_KEY_UPDATE)
    row = await gateway.store.keys.update(
        id=call.path["api_key_id"],
        now=gateway.clock.now(),
        name=patch.get("name"),
        status=patch.get("status"),
        deed=deed(gateway, call, "changed"),
    )
    return _reply(gateway, row)


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/api_keys``, newest first."""
    query = queries.API_KEY_LIST.parse(call.query)

    async def created_at(key: str) -> int:
        return (await gateway.store.keys.get(id=key)).created_at

    now = gateway.clock.now()
    page = await gateway.store.keys.page(
        now=now,
        limit=query["limit"],
        cursor=await pages.beside(query, created_at),
        workspace=query["workspace_id"],
        status=query["status"],
        created_by=query["created_by_user_id"],
    )
    shown = [responses.API_KEY.present(show(row, now)) for row in page.rows]
    return Reply(responses.id_page(shown, has_more=pages.more(query, page.next, page.prev)))


def show(row: KeyRow, now: int) -> Json:
    """The key as clients see it; the key itself is nowhere any more."""
    workspace = {"type": "workspace", "workspace_id": row.workspace}
    return {
        "id": row.id,
        "type": "api_key",
        "name": row.name,
        "status": row.status(now),
        "partial_key_hint": f"wk-...{row.hint}",
        "scope": {"type": "organization"} if row.organization else workspace,
        "principal": _principal(row.principal),
        "created_by": _creator(row.created_by),
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at) if row.expires_at is not None else None,
    }


def _principal(principal: str | None) -> Json | None:
    if principal is None:
        return None
    if principal.startswith("svac_"):
        return {"type": "service_account_actor", "service_account_id": principal}
    return {"type": "user_actor", "user_id": principal}


def _creator(actor: str | None) -> Json | None:
    """Only people and service accounts can be shown as creators, not keys."""
    for prefix, kind in (("user_", "user"), ("svac_", "service_account")):
        if actor is not None and actor.startswith(prefix):
            return {"id": actor, "type": kind}
    return None


def _reply(gateway: Gateway, row: KeyRow) -> Reply:
    return Reply(responses.API_KEY.render(show(row, gateway.clock.now())))
