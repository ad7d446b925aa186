"""Decisions of the past, put together from the audit trail and what else is still there."""

import json
from typing import Any

from gateway.errors import NotFound
from gateway.policy.audit import digest_arguments
from gateway.policy.replay import Past
from gateway.store.audit import Sought
from gateway.store.chain import AuditRecord
from gateway.store.records import Cursor
from gateway.store.store import Store

_PAGE = 200


async def collect_decisions(store: Store, *, limit: int) -> list[Past]:
    """The last decisions of all workspaces, newest first."""
    names = _Names(store)
    found: list[Past] = []
    cursor: Cursor | None = None
    while len(found) < limit:
        page = await store.audit.search(
            Sought(kind="decision"), limit=min(_PAGE, limit - len(found)), cursor=cursor
        )
        # One that somebody has tampered with says nothing any more: `audit verify` names it.
        records = [entry.record for entry in page.rows if entry.record.kind == "decision"]
        found += [await _recall(store, names, record) for record in records]
        cursor = page.next
        if cursor is None:
            break
    return found


async def _recall(store: Store, names: "_Names", record: AuditRecord) -> Past:
    body, workspace = record.body, record.workspace or ""
    approval = body.get("approval")
    return Past(
        id=record.id,
        at=record.at,
        workspace=workspace,
        session=record.session or "",
        body=body,
        agent_name=await names.agent(workspace, body["agent"]["id"]),
        email=await names.email(body["actor"]["id"]),
        approver_email=await names.email(approval["by"]) if approval else None,
        arguments=await _arguments(store, record),
    )


async def _arguments(store: Store, record: AuditRecord) -> dict[str, Any] | None:
    """What the call was made with, if its session still says so."""
    if record.session is None or record.event is None:
        return None
    event = await store.log.find(session=record.session, event_id=record.event)
    if event is None:
        return None
    given = json.loads(event.wire).get("input", {})
    return given if digest_arguments(given) == record.body["arguments_digest"] else None


class _Names:
    """Names of agents and addresses of users, each looked up once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._agents: dict[tuple[str, str], str] = {}
        self._emails: dict[str, str | None] = {}

    async def agent(self, workspace: str, agent: str) -> str:
        """Empty if it is gone."""
        key = (workspace, agent)
        if key not in self._agents:
            try:
                row = await self._store.agents.get(workspace=workspace, id=agent)
                self._agents[key] = row.body["name"]
            except NotFound:
                self._agents[key] = ""
        return self._agents[key]

    async def email(self, principal: str) -> str | None:
        if principal not in self._emails:
            row = await self._store.people.principal(id=principal)
            self._emails[principal] = row.email if row else None
        return self._emails[principal]
