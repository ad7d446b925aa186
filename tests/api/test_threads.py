"""Threads: every session has its primary one."""

from dataclasses import replace
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from gateway.store.records import Change, Locked
from tests.api.building import make_session, message, say, turn
from tests.gateway import SLOW, Running, Tenant
from tests.ledger.requirement import requirement


@requirement("threads:primary:exists", "threads:object:stats", "transport:ids:prefix")
def test_a_new_session_has_one_thread_that_has_done_nothing(client: Anthropic):
    session = make_session(client)
    (thread,) = client.beta.sessions.threads.list(session.id)
    assert thread.id.startswith("sthr_01")
    assert (thread.type, thread.session_id) == ("session_thread", session.id)
    assert (thread.parent_thread_id, thread.workflow_run_id) == (None, None)
    assert (thread.stats, thread.usage, thread.status) == (None, None, "idle")
    shown, own = thread.agent.to_dict(), session.agent.to_dict()
    assert shown == {key: own[key] for key in own if key != "multiagent"}
    assert client.beta.sessions.threads.retrieve(thread.id, session_id=session.id) == thread


@requirement("threads:object:stats", "threads:primary:first-status")
def test_a_turn_gives_it_times_and_counts(client: Anthropic):
    session = make_session(client)
    seen = turn(client, session.id, message("Hello"))
    (thread,) = client.beta.sessions.threads.list(session.id)
    assert thread.stats is not None
    assert thread.usage is not None
    assert (thread.stats.startup_seconds, thread.usage.list_cost) == (0, None)
    first = next(e for e in seen if e.type.startswith("session.thread_status"))
    assert first.session_thread_id == thread.id  # pyright: ignore[reportAttributeAccessIssue] - such events have it


@requirement("threads:list:statuses", "threads:list:limit")
def test_threads_are_listed_by_status(client: Anthropic):
    session = make_session(client)
    list_ = client.beta.sessions.threads.list
    assert len(list(list_(session.id, statuses=["idle"], limit=1000))) == 1
    assert list(list_(session.id, statuses=["terminated"])) == []
    say(client, session.id, SLOW)
    (thread,) = list_(session.id)
    assert thread.status == "running"
    with pytest.raises(anthropic.BadRequestError, match="limit"):
        list_(session.id, limit=1001)


@requirement("threads:retrieve:unknown")
def test_a_thread_is_found_only_in_its_own_session(client: Anthropic, stranger: Anthropic):
    one, two = make_session(client), make_session(client, title="Two", agent=_agent(client))
    (thread,) = client.beta.sessions.threads.list(one.id)
    threads, theirs = client.beta.sessions.threads, stranger.beta.sessions.threads
    for call, thread_id, session in (
        (threads.retrieve, "sthr_01none", one.id),
        (threads.retrieve, thread.id, two.id),
        (theirs.retrieve, thread.id, one.id),
        (theirs.archive, thread.id, one.id),
        (threads.events.list, thread.id, two.id),
        (threads.events.stream, thread.id, two.id),
    ):
        with pytest.raises(anthropic.NotFoundError):
            call(thread_id, session_id=session)


def _agent(client: Anthropic) -> str:
    return client.beta.agents.create(name="Bea", model="claude-opus-5-5").id


@requirement("threads:archive:primary")
def test_the_primary_thread_cannot_be_archived(client: Anthropic):
    session = make_session(client)
    (thread,) = client.beta.sessions.threads.list(session.id)
    with pytest.raises(anthropic.BadRequestError, match="primary"):
        client.beta.sessions.threads.archive(thread.id, session_id=session.id)


def test_an_idle_child_thread_is_archived_once_and_a_running_one_not(
    client: Anthropic, gateway: Running, tenant: Tenant
):
    session = make_session(client)
    idle, running = "sthr_01idle" + session.id[7:], "sthr_01running" + session.id[7:]

    def add(locked: Locked) -> Change:
        (primary,) = locked.threads
        child = replace(primary, parent=primary.id, body={**primary.body, "usage": None})
        children = [replace(child, id=idle), replace(child, id=running, status="running")]
        return Change(session=locked.session, threads=children)

    async def write() -> None:
        await gateway.gateway.store.log.append_now(
            session=session.id, workspace=tenant.workspace, now=1, change=add
        )

    gateway.call(write)
    archive = client.beta.sessions.threads.archive
    archived = archive(idle, session_id=session.id)
    assert (archived.status, archived.archived_at is None) == ("terminated", False)
    assert archive(idle, session_id=session.id) == archived
    (event,) = client.beta.sessions.events.list(session.id)
    shown: Any = event
    assert (event.type, shown.session_thread_id) == ("session.thread_status_terminated", idle)
    with pytest.raises(anthropic.BadRequestError, match="is running"):
        archive(running, session_id=session.id)


@requirement("threads:events:own")
def test_the_primary_threads_events_are_the_sessions(client: Anthropic):
    session = make_session(client)
    turn(client, session.id, message("Hello"))
    (thread,) = client.beta.sessions.threads.list(session.id)
    own = [e.id for e in client.beta.sessions.threads.events.list(thread.id, session_id=session.id)]
    assert set(own) <= {e.id for e in client.beta.sessions.events.list(session.id)}
    assert len(own) > 3
