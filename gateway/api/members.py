"""The users of a workspace (spec/resources 7.4)."""

from typing import Any, TypeAlias

from gateway.api import pages
from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.trail import deed
from gateway.errors import NotFound
from gateway.store.members import MemberRow
from gateway.wire import queries, requests, responses

Json: TypeAlias = dict[str, Any]


async def add(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/workspaces/{workspace_id}/members``."""
    params = await parsed(gateway, call, requests.MEMBER_ADD)
    now = gateway.clock.now()
    row = MemberRow(
        workspace=call.path["workspace_id"],
        principal=params["user_id"],
        role=params["workspace_role"],
        created_at=now,
        updated_at=now,
    )
    row = await gateway.store.members.add(kind="user", row=row, deed=deed(gateway, call, "added"))
    return _reply(row)


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/workspaces/{workspace_id}/members/{user_id}``."""
    return _reply(await _find(gateway, call))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/workspaces/{workspace_id}/members/{user_id}``."""
    params = await parsed(gateway, call, requests.MEMBER_UPDATE)
    row = await gateway.store.members.change(
        kind="user",
        workspace=call.path["workspace_id"],
        principal=call.path["user_id"],
        role=params["workspace_role"],
        now=gateway.clock.now(),
        deed=deed(gateway, call, "changed"),
    )
    return _reply(row)


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/workspaces/{workspace_id}/members``, newest first."""
    query = queries.MEMBER_LIST.parse(call.query)
    workspace = (await gateway.store.workspaces.get(id=call.path["workspace_id"])).id

    async def created_at(user: str) -> int:
        members = gateway.store.members
        return (await members.get(kind="user", workspace=workspace, principal=user)).created_at

    page = await gateway.store.members.list(
        kind="user",
        workspace=workspace,
        limit=query["limit"],
        cursor=await pages.beside(query, created_at),
    )
    shown = [responses.MEMBER.present(_show(row)) for row in page.rows]
    more = pages.more(query, page.next, page.prev)
    return Reply(responses.id_page(shown, has_more=more, by="user_id"))


async def remove(gateway: Gateway, call: ApiCall) -> Reply:
    """``DELETE /v1/organizations/workspaces/{workspace_id}/members/{user_id}``."""
    row = await _find(gateway, call)
    gone = await gateway.store.members.remove(
        kind="user",
        workspace=row.workspace,
        principal=row.principal,
        deed=deed(gateway, call, "removed"),
    )
    if not gone:
        raise NotFound(f"user {row.principal} is not a member of workspace {row.workspace}")
    return Reply(
        responses.DELETED_MEMBER.render({**_show(row), "type": "workspace_member_deleted"})
    )


async def _find(gateway: Gateway, call: ApiCall) -> MemberRow:
    return await gateway.store.members.get(
        kind="user", workspace=call.path["workspace_id"], principal=call.path["user_id"]
    )


def _show(row: MemberRow) -> Json:
    return {
        "type": "workspace_member",
        "user_id": row.principal,
        "workspace_id": row.workspace,
        "workspace_role": row.role,
    }


def _reply(row: MemberRow) -> Reply:
    return Reply(responses.MEMBER.render(_show(row)))
