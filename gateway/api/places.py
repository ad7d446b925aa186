"""Where service accounts work: memberships, from the account's side and from the workspace's.

Every account is a member of the default workspace, also when nobody made it one: such a membership
is shown as ``implicit`` and cannot be removed (spec/resources 7.4).
"""

from typing import Any, TypeAlias

from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.pages import place, token
from gateway.api.trail import deed
from gateway.errors import InvalidRequest, NotFound
from gateway.store.members import MemberRow
from gateway.wire import queries, requests, responses

Json: TypeAlias = dict[str, Any]

_KIND = "service_account"
_IMPLICIT_ROLE = "workspace_user"


async def add_worker(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/workspaces/{workspace_id}/service_accounts``; again: a new role."""
    params = await parsed(gateway, call, requests.WORKER_ADD)
    workspace, account = call.path["workspace_id"], params["service_account_id"]
    return await _add(gateway, call, workspace, account, params["workspace_role"])


async def add_place(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/service_accounts/{service_account_id}/workspaces``: the same."""
    params = await parsed(gateway, call, requests.PLACE_ADD)
    workspace, account = params["workspace_id"], call.path["service_account_id"]
    return await _add(gateway, call, workspace, account, params["workspace_role"])


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/workspaces/{workspace}/service_accounts/{service_account}``."""
    workspace = await _live_workspace(gateway, call)
    account = call.path["service_account_id"]
    try:
        row = await gateway.store.members.get(kind=_KIND, workspace=workspace, principal=account)
    except NotFound:
        if workspace != await gateway.store.keys.default_workspace():
            raise
        return Reply(responses.PLACE.render(await _implicit(gateway, account, workspace)))
    return Reply(responses.PLACE.render(_show(row)))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/workspaces/{workspace}/service_accounts/{service_account}``."""
    params = await parsed(gateway, call, requests.WORKER_UPDATE)
    row = await gateway.store.members.change(
        kind=_KIND,
        workspace=call.path["workspace_id"],
        principal=call.path["service_account_id"],
        role=params["workspace_role"],
        now=gateway.clock.now(),
        deed=deed(gateway, call, "changed"),
    )
    return Reply(responses.PLACE.render(_show(row)))


async def list_workers(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/workspaces/{workspace_id}/service_accounts``, newest first."""
    query = queries.PLACE_LIST.parse(call.query)
    page = await gateway.store.members.list(
        kind=_KIND,
        workspace=await _live_workspace(gateway, call),
        limit=query["limit"],
        cursor=place(query["page"]),
    )
    items = (responses.PLACE.render(_show(row)) for row in page.rows)
    return Reply(responses.page(items, token(page.next)))


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/service_accounts/{service_account_id}/workspaces``, newest first."""
    query = queries.PLACE_LIST.parse(call.query)
    account = await gateway.store.people.get(kind=_KIND, id=call.path["service_account_id"])
    page = await gateway.store.members.of(
        principal=account.id, limit=query["limit"], cursor=place(query["page"])
    )
    shown = [_show(row) for row in page.rows]
    default = await gateway.store.keys.default_workspace()
    if account.archived_at is None and query["page"] is None:
        try:
            await gateway.store.members.get(kind=_KIND, workspace=default, principal=account.id)
        except NotFound:
            shown.insert(0, await _implicit(gateway, account.id, default))
    return Reply(responses.page(map(responses.PLACE.render, shown), token(page.next)))


async def remove_worker(gateway: Gateway, call: ApiCall) -> Reply:
    """``DELETE /v1/organizations/workspaces/{workspace}/service_accounts/{service_account}``.

    Doing it again succeeds. So it does, and changes nothing, where the membership is implicit.
    """
    workspace, account = call.path["workspace_id"], call.path["service_account_id"]
    await gateway.store.people.get(kind=_KIND, id=account)
    await gateway.store.members.remove(
        kind=_KIND,
        workspace=workspace,
        principal=account,
        deed=deed(gateway, call, "removed"),
    )
    gone = {
        "type": "service_account_workspace_member_deleted",
        "service_account_id": account,
        "workspace_id": workspace,
    }
    return Reply(responses.DELETED_PLACE.render(gone))


async def remove_place(gateway: Gateway, call: ApiCall) -> Reply:
    """``DELETE /v1/organizations/service_accounts/{service_account}/workspaces/{workspace}``."""
    return await remove_worker(gateway, call)


async def _add(gateway: Gateway, call: ApiCall, workspace: str, account: str, role: str) -> Reply:
    now = gateway.clock.now()
    row = MemberRow(
        workspace=workspace, principal=account, role=role, created_at=now, updated_at=now
    )
    row = await gateway.store.members.add(
        kind=_KIND, row=row, again=True, deed=deed(gateway, call, "added")
    )
    return Reply(responses.PLACE.render(_show(row)))


async def _live_workspace(gateway: Gateway, call: ApiCall) -> str:
    row = await gateway.store.workspaces.get(id=call.path["workspace_id"])
    if row.archived_at is not None:
        raise InvalidRequest(f"workspace {row.id} is archived")
    return row.id


async def _implicit(gateway: Gateway, account: str, workspace: str) -> Json:
    """The membership that nobody made.

    Raises:
        NotFound: No such account, or it is archived.
    """
    row = await gateway.store.people.get(kind=_KIND, id=account)
    if row.archived_at is not None:
        raise NotFound(f"service account {account} is archived")
    return {
        "type": "service_account_workspace_member",
        "service_account_id": account,
        "workspace_id": workspace,
        "workspace_role": _IMPLICIT_ROLE,
        "implicit": True,
    }


def _show(row: MemberRow) -> Json:
    return {
        "type": "service_account_workspace_member",
        "service_account_id": row.principal,
        "workspace_id": row.workspace,
        "workspace_role": row.role,
        "implicit": False,
    }
