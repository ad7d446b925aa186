"""Agents: made, changed version by version, archived; never deleted."""

from typing import Any, TypeAlias

from gateway.api import definition, multiagent
from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.pages import place, token
from gateway.clock import rfc3339
from gateway.errors import Conflict, InvalidRequest
from gateway.store.records import AgentRow, Page
from gateway.wire import queries, requests, responses, rules

Json: TypeAlias = dict[str, Any]


async def create(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/agents``."""
    params = await parsed(gateway, call, requests.AGENT_CREATE)
    body = definition.define(params)
    block = multiagent.merge(None, params.get("multiagent"))
    await _join(gateway, call, body, block, None)
    now = gateway.clock.now()
    row = AgentRow(
        id=gateway.clock.new_id("agent"),
        workspace=call.workspace,
        version=1,
        body=body,
        created_at=now,
        updated_at=now,
        archived_at=None,
    )
    await gateway.store.agents.create(row=row)
    return _shown(row)


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/agents/{agent_id}``; ``version`` asks for an earlier one."""
    version = queries.AGENT_RETRIEVE.parse(call.query)["version"]
    return _shown(await _find(gateway, call, version))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/agents/{agent_id}``: a new version, or none if nothing changes (spec/core 2.5)."""
    patch = await parsed(gateway, call, requests.AGENT_UPDATE)
    while (row := await _update_once(gateway, call, patch)) is None:
        # Somebody else's update came in between: work on what they made of it.
        pass
    return _shown(row)


async def archive(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/agents/{agent_id}/archive``."""
    now = gateway.clock.now()
    row = await gateway.store.agents.archive(
        workspace=call.workspace, id=call.path["agent_id"], now=now
    )
    return _shown(row)


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/agents``, newest first."""
    query = queries.AGENT_LIST.parse(call.query)
    page = await gateway.store.agents.list(
        workspace=call.workspace,
        limit=query["limit"],
        created_gte=query["created_at_gte"],
        created_lte=query["created_at_lte"],
        include_archived=query["include_archived"],
        cursor=place(query["page"]),
    )
    return _page(page)


async def versions(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/agents/{agent_id}/versions``, newest first."""
    query = queries.AGENT_VERSIONS.parse(call.query)
    page = await gateway.store.agents.versions(
        workspace=call.workspace,
        id=call.path["agent_id"],
        limit=query["limit"],
        cursor=place(query["page"]),
    )
    return _page(page)


async def _update_once(gateway: Gateway, call: ApiCall, patch: Json) -> AgentRow | None:
    """Try the update on the agent as it is now; None if it changed before that was written."""
    seen = await _find(gateway, call)
    _check_version(seen, patch.get("version"))
    if seen.archived_at is not None:
        raise InvalidRequest(f"agent {seen.id} is archived and cannot be changed")
    body = definition.revise(seen.body, patch)
    block = seen.body["multiagent"]
    if "multiagent" in patch:
        block = multiagent.merge(block, patch["multiagent"])
    await _join(gateway, call, body, block, seen)
    rules.check_agent(body)

    def write(row: AgentRow) -> Json | None:
        if (row.version, row.archived_at) != (seen.version, None):
            raise _Overtaken
        return None if body == row.body else body

    try:
        return await gateway.store.agents.update(
            workspace=call.workspace, id=seen.id, now=gateway.clock.now(), change=write
        )
    except _Overtaken:
        return None


class _Overtaken(Exception):
    """The agent is not any more what an update was made for."""


async def _join(
    gateway: Gateway, call: ApiCall, body: Json, block: Json | None, stored: AgentRow | None
) -> None:
    """Put the multiagent block into `body`: pinned if it is new, and fit for who it lists."""
    agents = gateway.store.agents
    if block is None:
        body["multiagent"] = None
        return
    if stored is not None and block == stored.body["multiagent"]:
        members = await multiagent.load(agents, call.workspace, block)
    else:
        own = stored.id if stored is not None else None
        block, members = await multiagent.pin(agents, call.workspace, block, own)
    body["multiagent"] = block
    multiagent.check(body, members)


def _check_version(row: AgentRow, wanted: int | None) -> None:
    if wanted is not None and wanted != row.version:
        raise Conflict(f"version: agent {row.id} is at version {row.version}, not {wanted}")


async def _find(gateway: Gateway, call: ApiCall, version: int | None = None) -> AgentRow:
    return await gateway.store.agents.get(
        workspace=call.workspace, id=call.path["agent_id"], version=version
    )


def _shown(row: AgentRow) -> Reply:
    return Reply(_render(row))


def _page(page: Page[AgentRow]) -> Reply:
    return Reply(responses.page(map(_render, page.rows), token(page.next)))


def _render(row: AgentRow) -> bytes:
    own = {"type": "agent", "id": row.id, "version": row.version}
    return responses.AGENT.render(
        {
            **row.body,
            **own,
            "multiagent": multiagent.shown(row.body["multiagent"], own),
            "created_at": rfc3339(row.created_at),
            "updated_at": rfc3339(row.updated_at),
            "archived_at": rfc3339(row.archived_at) if row.archived_at is not None else None,
        }
    )
