"""Sessions: made from an agent and an environment, changed, ended. Events are in events.py."""

from dataclasses import replace
from typing import Any, TypeAlias

import anyio

from gateway.api import amendment, blocks, budget, resources, snapshot
from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.pages import place, token
from gateway.api.sender import sender_of
from gateway.clock import rfc3339
from gateway.errors import InvalidRequest, NotFound
from gateway.loop import accept
from gateway.loop.frame import Frame, of_event
from gateway.policy.grants import read_grants
from gateway.policy.rules import RuleInvalid
from gateway.store.records import (
    Change,
    EnvironmentRow,
    Event,
    Head,
    Input,
    Locked,
    Range,
    SessionRow,
    ThreadRow,
)
from gateway.wire import queries, requests, responses
from gateway.wire.usage import seconds, usage

Json: TypeAlias = dict[str, Any]

DISCARD_SECONDS = 30.0
"""How long deleting a session waits for its sandbox to go."""


async def create(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/sessions``; with initial events it starts to work at once (spec/core 5.4)."""
    params = await parsed(gateway, call, requests.SESSION_CREATE)
    environment = await _environment(gateway, call, params["environment_id"])
    taken = await snapshot.take(gateway.store.agents, call.workspace, params["agent"])
    snapshot.check_reach(taken.agent, environment.body["config"].get("networking"))
    _check_grants(gateway, params.get("metadata") or {})
    attached = await resources.attached(gateway, call, params, environment.body["config"]["type"])
    if params.get("budget") is not None:
        budget.check_priced(taken.agent, gateway.prices)
    params["resources"] = attached.entries
    row = _new_row(gateway, call, params, taken, environment)
    inputs = await _initial(gateway, call, params)
    thread = _primary_thread(row, taken)
    row = await gateway.store.sessions.create(
        row=row,
        thread=thread,
        inputs=inputs,
        copies=attached.copies,
        checkouts=attached.checkouts,
    )
    if inputs:
        gateway.wake.wake(row.id)
    return _reply(gateway, replace(row, queued=bool(inputs)))


def _check_grants(gateway: Gateway, metadata: dict[str, str]) -> None:
    try:
        gateway.rulebook.check_grants(read_grants(metadata))
    except RuleInvalid as error:
        raise InvalidRequest(f"metadata: {error}") from error


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions/{session_id}``."""
    return _reply(gateway, await find_session(gateway, call))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/sessions/{session_id}``; a new budget wakes what waited for it."""
    patch = await parsed(gateway, call, requests.SESSION_UPDATE)
    row = await amend(gateway, call, amendment.Update(patch, gateway.prices, gateway.clock))
    if "budget" in patch:
        gateway.wake.wake(row.id)
    return _reply(gateway, row)


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions``: every filter, both ways (spec/core 5.9)."""
    query = queries.SESSION_LIST.parse(call.query)
    if query["agent_version"] is not None and query["agent_id"] is None:
        raise InvalidRequest("agent_version: only allowed together with agent_id")
    page = await gateway.store.sessions.list(
        workspace=call.workspace,
        limit=query["limit"],
        order=query["order"],
        cursor=place(query["page"]),
        agent=query["agent_id"],
        agent_version=query["agent_version"],
        deployment=query["deployment_id"],
        memory_store=query["memory_store_id"],
        statuses=query["statuses"],
        created=Range(**{key: query[f"created_at_{key}"] for key in ("gt", "gte", "lt", "lte")}),
        include_archived=query["include_archived"],
    )
    shown = [responses.SESSION.render(show(gateway, row)) for row in page.rows]
    return Reply(responses.two_way_page(shown, token(page.next), token(page.prev)))


async def archive(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/sessions/{session_id}/archive``: it ends, and stays readable."""
    return _reply(gateway, await amend(gateway, call, amendment.Archive(gateway.clock)))


async def delete(gateway: Gateway, call: ApiCall) -> Reply:
    """``DELETE /v1/sessions/{session_id}``: the session, its history and its files are gone."""
    row = await find_session(gateway, call)
    sandbox = await gateway.store.sessions.delete(
        workspace=call.workspace,
        id=row.id,
        now=gateway.clock.now(),
        check=lambda locked: amendment.check_resting(
            locked, "it cannot be deleted; interrupt it first"
        ),
    )
    last = of_event(amendment.deleted(gateway.clock, row))
    gateway.bus.publish(row.id, replace(last, kind="deleted"))
    with anyio.move_on_after(DISCARD_SECONDS):
        await gateway.discard(row.id, sandbox)
        await gateway.shelf.clear()
    return Reply(responses.DELETED_SESSION.render({"id": row.id, "type": "session_deleted"}))


async def find_session(gateway: Gateway, call: ApiCall) -> SessionRow:
    """The session that the path names.

    Raises:
        NotFound: There is none, or it is another workspace's.
    """
    return await gateway.store.sessions.get(workspace=call.workspace, id=call.path["session_id"])


async def amend(gateway: Gateway, call: ApiCall, change: amendment.Amend) -> SessionRow:
    """Change the session that the path names, and tell its streams."""
    written: list[Event] = []

    def note(locked: Locked) -> Change | None:
        made = change(locked)
        written[:] = made.events if made is not None else []
        return made

    row = await gateway.store.log.append_now(
        session=call.path["session_id"],
        workspace=call.workspace,
        now=gateway.clock.now(),
        change=note,
    )
    for seq, event in enumerate(written, row.seq - len(written) + 1):
        frame: Frame = of_event(replace(event, seq=seq))
        gateway.bus.publish(row.id, frame)
    return row


def show(gateway: Gateway, row: SessionRow) -> Json:
    """The session as clients see it now (spec/core 5.2)."""
    now = row.updated_at if row.head.status == "terminated" else gateway.clock.now()
    active = budget.active(row, now)
    priced = gateway.prices.priced(row.body["agent"]["model"]["id"])
    cents = str(budget.spent(row, gateway.prices, now)) if priced else None
    return {
        **row.body,
        "id": row.id,
        "type": "session",
        "status": status(row),
        "outcome_evaluations": [_outcome(entry) for entry in row.head.outcomes],
        "stats": {
            "active_seconds": seconds(active),
            "duration_seconds": seconds(now - row.created_at),
        },
        "usage": usage(row.head.usage, active, cents),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "archived_at": rfc3339(row.archived_at) if row.archived_at is not None else None,
    }


def status(row: SessionRow) -> str:
    """A session that has something to take is as good as running."""
    return "running" if row.queued and row.head.status == "idle" else row.head.status


def _reply(gateway: Gateway, row: SessionRow) -> Reply:
    return Reply(responses.SESSION.render(show(gateway, row)))


async def _environment(gateway: Gateway, call: ApiCall, environment: str) -> EnvironmentRow:
    try:
        row = await gateway.store.environments.get(workspace=call.workspace, id=environment)
    except NotFound as error:
        raise NotFound(f"environment_id: {error.message}") from error
    if row.archived_at is not None:
        raise InvalidRequest(
            f"environment_id: environment {row.id} is archived", code="environment_archived"
        )
    return row


def _new_row(
    gateway: Gateway,
    call: ApiCall,
    params: Json,
    taken: snapshot.Snapshot,
    environment: EnvironmentRow,
) -> SessionRow:
    now = gateway.clock.now()
    config = environment.body["config"]
    return SessionRow(
        id=gateway.clock.new_id("sesn"),
        workspace=call.workspace,
        environment=environment.id,
        agent=taken.agent["id"],
        agent_version=taken.agent["version"],
        deployment=None,
        primary_thread=gateway.clock.new_id("sthr"),
        body={
            "agent": taken.agent,
            "agent_form": taken.form,
            "environment_id": environment.id,
            "environment_type": config["type"],
            "networking": config.get("networking"),
            "packages": config.get("packages"),
            "environment_name": environment.name,
            "title": params.get("title"),
            "metadata": params.get("metadata") or {},
            "resources": params["resources"],
            "vault_ids": [],
            "deployment_id": None,
            "budget": params.get("budget"),
        },
        head=Head(),
        seq=0,
        created_at=now,
        updated_at=now,
        archived_at=None,
        actor=call.actor,
    )


def _primary_thread(row: SessionRow, taken: snapshot.Snapshot) -> ThreadRow:
    return ThreadRow(
        id=row.primary_thread,
        session=row.id,
        parent=None,
        status="idle",
        body={
            "agent": taken.thread_agent,
            "stats": None,
            "usage": None,
            "workflow_run_id": None,
        },
        created_at=row.created_at,
        updated_at=row.created_at,
        archived_at=None,
    )


async def _initial(gateway: Gateway, call: ApiCall, params: Json) -> list[Input]:
    events = params.get("initial_events") or []
    settled = await blocks.settle(gateway, call.workspace, events, name="initial_events")
    return accept.initial(settled, gateway.clock, sender_of(gateway, call))


def _outcome(entry: Json) -> Json:
    done = entry["completed_at"]
    return {**entry, "completed_at": rfc3339(done) if isinstance(done, int) else done}
