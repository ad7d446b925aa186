"""Service accounts: who acts when nobody does (spec/resources 7.4)."""

from dataclasses import replace
from typing import Any, TypeAlias

from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.pages import place, token
from gateway.api.trail import deed
from gateway.clock import rfc3339
from gateway.store.people import PrincipalRow, new_account
from gateway.wire import queries, requests, responses

Json: TypeAlias = dict[str, Any]


async def create(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/service_accounts``; a name is enough, and nobody else has it."""
    params = await parsed(gateway, call, requests.ACCOUNT_CREATE)
    row = new_account(
        id=gateway.clock.new_id("svac"),
        name=params["name"],
        description=params.get("description"),
        role=params.get("organization_role"),
        by=call.actor,
        now=gateway.clock.now(),
    )
    await gateway.store.people.create(row=row, deed=deed(gateway, call, "created"))
    return _reply(row)


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/service_accounts/{service_account_id}``."""
    account = call.path["service_account_id"]
    return _reply(await gateway.store.people.get(kind="service_account", id=account))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/service_accounts/{service_account_id}``: description and role."""
    patch = await parsed(gateway, call, requests.ACCOUNT_UPDATE)
    now = gateway.clock.now()

    def change(row: PrincipalRow) -> PrincipalRow:
        body = {**row.body, "updated_by": call.actor}
        if "description" in patch:
            body["description"] = patch["description"] or ""
        role = patch.get("organization_role") or row.role
        return replace(row, role=role, body=body, updated_at=now)

    row = await gateway.store.people.update(
        kind="service_account",
        id=call.path["service_account_id"],
        change=change,
        deed=deed(gateway, call, "changed"),
    )
    return _reply(row)


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/service_accounts``, newest first."""
    query = queries.ACCOUNT_LIST.parse(call.query)
    page = await gateway.store.people.list(
        kind="service_account",
        limit=query["limit"],
        cursor=place(query["page"]),
        include_archived=query["include_archived"],
    )
    items = (responses.ACCOUNT.render(_show(row)) for row in page.rows)
    return Reply(responses.page(items, token(page.next)))


async def archive(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/service_accounts/{service_account_id}/archive``: with its keys."""
    row = await gateway.store.people.archive(
        kind="service_account",
        id=call.path["service_account_id"],
        now=gateway.clock.now(),
        by=call.actor,
        deed=deed(gateway, call, "archived"),
    )
    return _reply(row)


def person(actor: str | None) -> str | None:
    """The actor if it is a user or a service account: keys are no actors on the wire."""
    return actor if actor is not None and actor.startswith(("user_", "svac_")) else None


def _show(row: PrincipalRow) -> Json:
    return {
        "id": row.id,
        "type": "service_account",
        "name": row.name,
        "description": row.body.get("description"),
        "organization_role": row.role,
        "created_at": rfc3339(row.created_at),
        "created_by_actor_id": person(row.body.get("created_by")),
        "updated_at": rfc3339(row.updated_at),
        "updated_by_actor_id": person(row.body.get("updated_by")),
        "archived_at": rfc3339(row.archived_at) if row.archived_at is not None else None,
        "archived_by_actor_id": person(row.body.get("archived_by")),
    }


def _reply(row: PrincipalRow) -> Reply:
    return Reply(responses.ACCOUNT.render(_show(row)))
