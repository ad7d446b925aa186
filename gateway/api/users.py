"""The users of the organization (spec/resources 7.4). There are no invites: users are made."""

from dataclasses import replace
from typing import Any, TypeAlias

from gateway.api import pages
from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.trail import deed
from gateway.clock import rfc3339
from gateway.store.people import PrincipalRow, new_user
from gateway.wire import queries, requests, responses

Json: TypeAlias = dict[str, Any]


async def create(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /wharfkeep/v1/users``; an e-mail address is enough."""
    params = await parsed(gateway, call, requests.USER_CREATE)
    row = new_user(
        id=gateway.clock.new_id("user"),
        email=params["email"],
        name=params.get("name"),
        role=params.get("role"),
        now=gateway.clock.now(),
    )
    await gateway.store.people.create(row=row, deed=deed(gateway, call, "created"))
    return _reply(row)


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/users/{user_id}``."""
    return _reply(await gateway.store.people.get(kind="user", id=call.path["user_id"]))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/users/{user_id}``: the role; admin is not given here."""
    params = await parsed(gateway, call, requests.USER_UPDATE)
    now = gateway.clock.now()
    row = await gateway.store.people.update(
        kind="user",
        id=call.path["user_id"],
        change=lambda row: replace(row, role=params["role"], updated_at=now),
        deed=deed(gateway, call, "changed"),
    )
    return _reply(row)


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/users``, newest first."""
    query = queries.USER_LIST.parse(call.query)

    async def created_at(user: str) -> int:
        return (await gateway.store.people.get(kind="user", id=user)).created_at

    page = await gateway.store.people.list(
        kind="user",
        limit=query["limit"],
        cursor=await pages.beside(query, created_at),
        email=query["email"] and query["email"].lower(),
        roles=query["roles"],
    )
    shown = [responses.USER.present(_show(row)) for row in page.rows]
    return Reply(responses.id_page(shown, has_more=pages.more(query, page.next, page.prev)))


async def remove(gateway: Gateway, call: ApiCall) -> Reply:
    """``DELETE /v1/organizations/users/{user_id}``: with keys and memberships."""
    row = await gateway.store.people.archive(
        kind="user",
        id=call.path["user_id"],
        now=gateway.clock.now(),
        by=call.actor,
        deed=deed(gateway, call, "removed"),
    )
    return Reply(responses.DELETED_USER.render({"id": row.id, "type": "user_deleted"}))


def _show(row: PrincipalRow) -> Json:
    return {
        "id": row.id,
        "type": "user",
        "name": row.name,
        "email": row.email,
        "role": row.role,
        "added_at": rfc3339(row.created_at),
    }


def _reply(row: PrincipalRow) -> Reply:
    return Reply(responses.USER.render(_show(row)))
