"""Workspaces (spec/resources 7.4). Their members are in members.py."""

from dataclasses import replace
from typing import Any, TypeAlias

from gateway.api import pages
from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.definition import patched
from gateway.api.trail import deed
from gateway.clock import rfc3339
from gateway.errors import InvalidRequest
from gateway.store.workspaces import WorkspaceRow
from gateway.wire import queries, requests, responses, rules

Json: TypeAlias = dict[str, Any]

MAX_TAGS = 64
_COLOR = "#6C5BB9"
_RESIDENCY = {
    "workspace_geo": "us",
    "allowed_inference_geos": "unrestricted",
    "default_inference_geo": "global",
}


async def create(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/workspaces``; a name is enough."""
    params = await parsed(gateway, call, requests.WORKSPACE_CREATE)
    row = WorkspaceRow(
        id=gateway.clock.new_id("wrkspc"),
        name=params["name"],
        body={
            "display_color": params.get("display_color") or _COLOR,
            "tags": params.get("tags") or {},
            "data_residency": _merged(_RESIDENCY, params.get("data_residency")),
        },
        created_at=gateway.clock.now(),
        archived_at=None,
    )
    await gateway.store.workspaces.create(row=row, deed=deed(gateway, call, "created"))
    return _reply(row)


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/workspaces/{workspace_id}``."""
    return _reply(await gateway.store.workspaces.get(id=call.path["workspace_id"]))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/workspaces/{workspace_id}``: omitted keeps, null deletes a tag."""
    patch = await parsed(gateway, call, requests.WORKSPACE_UPDATE)
    row = await gateway.store.workspaces.update(
        id=call.path["workspace_id"],
        change=lambda row: _revise(row, patch),
        deed=deed(gateway, call, "changed"),
    )
    return _reply(row)


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/organizations/workspaces``, newest first."""
    query = queries.SPACE_LIST.parse(call.query)

    async def created_at(workspace: str) -> int:
        return (await gateway.store.workspaces.get(id=workspace)).created_at

    page = await gateway.store.workspaces.list(
        limit=query["limit"],
        cursor=await pages.beside(query, created_at),
        ids=query["ids"],
        include_archived=query["include_archived"],
        include_default=query["include_default"],
    )
    shown = [responses.WORKSPACE.present(show(row)) for row in page.rows]
    return Reply(responses.id_page(shown, has_more=pages.more(query, page.next, page.prev)))


async def archive(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/organizations/workspaces/{workspace_id}/archive``: for ever, with its keys."""
    row = await gateway.store.workspaces.archive(
        id=call.path["workspace_id"],
        now=gateway.clock.now(),
        deed=deed(gateway, call, "archived"),
    )
    return _reply(row)


def show(row: WorkspaceRow) -> Json:
    """The workspace as clients see it."""
    return {
        "id": row.id,
        "type": "workspace",
        "name": row.name,
        "compartment_id": row.id,
        "created_at": rfc3339(row.created_at),
        "archived_at": rfc3339(row.archived_at) if row.archived_at is not None else None,
        "display_color": row.body.get("display_color", _COLOR),
        "tags": row.body.get("tags", {}),
        "data_residency": row.body.get("data_residency", _RESIDENCY),
    }


def _revise(row: WorkspaceRow, patch: Json) -> WorkspaceRow:
    stored = show(row)
    body = {
        "display_color": patch.get("display_color") or stored["display_color"],
        "tags": patched(stored["tags"], patch.get("tags") or {}),
        "data_residency": _merged(stored["data_residency"], patch.get("data_residency")),
    }
    if len(body["tags"]) > MAX_TAGS:
        raise InvalidRequest(f"tags: at most {MAX_TAGS} tags are allowed")
    rules.check_workspace(body)
    return replace(row, name=patch.get("name") or row.name, body=body)


def _merged(stored: Json, given: Json | None) -> Json:
    return {**stored, **{key: value for key, value in (given or {}).items() if value is not None}}


def _reply(row: WorkspaceRow) -> Reply:
    return Reply(responses.WORKSPACE.render(show(row)))
