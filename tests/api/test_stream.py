"""Streams, seen from outside."""

from pathlib import Path
from typing import Any

import anthropic
import anyio
import pytest
from anthropic import Anthropic, AsyncAnthropic
from httpx2 import Client

from tests.api.building import make_session, message, say, turn, until_idle
from tests.gateway import MODEL, SECONDS, SLOW, serve
from tests.ledger.requirement import requirement


@requirement("streams:open:unknown")
@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_an_unknown_session_is_json_not_a_stream(raw: Client, accept: str):
    path = "/v1/sessions/sesn_01none/events/stream"
    answer = raw.get(path, headers={"accept": accept})
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


@requirement("streams:deltas:values")
def test_only_known_previews_can_be_asked_for(raw: Client, client: Anthropic):
    path = f"/v1/sessions/{make_session(client).id}/events/stream"
    for query in ("event_deltas[]=agent.dance", "&".join(["event_deltas[]=agent.message"] * 101)):
        answer = raw.get(f"{path}?{query}")
        assert answer.status_code == 400
        assert "event_deltas" in answer.json()["error"]["message"]


@requirement("streams:ping:silence")
def test_a_quiet_stream_pings(tmp_path: Path):
    with serve(tmp_path, {"server": {"ping_seconds": 0.01}}) as running:
        tenant = running.tenant()
        with tenant.client() as client, tenant.raw() as http:
            path = f"/v1/sessions/{make_session(client).id}/events/stream"
            with http.stream("GET", path) as stream:
                assert stream.headers["content-type"] == "text/event-stream"
                assert stream.headers["request-id"].startswith("req_01")
                lines = stream.iter_lines()
                assert [next(lines), next(lines)] == ["event: ping", 'data: {"type":"ping"}']


@requirement("sessions:status:committed-first")
def test_what_a_stream_says_can_be_read(client: Anthropic):
    session = make_session(client)
    shown = {"session.status_running": "running", "session.status_idle": "idle"}
    with client.beta.sessions.events.stream(session.id) as stream:
        say(client, session.id, "Hello")
        event: Any
        for event in until_idle(stream):
            if event.type in shown:
                listed = [e.id for e in client.beta.sessions.events.list(session.id)]
                assert event.id in listed
    assert client.beta.sessions.retrieve(session.id).status == "idle"


@requirement("streams:end:terminated")
def test_an_archived_session_ends_its_streams(client: Anthropic):
    session = make_session(client)
    with client.beta.sessions.events.stream(session.id) as stream:
        client.beta.sessions.archive(session.id)
        types = [event.type for event in stream]
    assert types == ["session.thread_status_terminated", "session.status_terminated"]


@requirement("streams:open:replay")
async def test_twenty_clients_that_send_first_all_see_the_end(async_client: AsyncAnthropic):
    agent = await async_client.beta.agents.create(name="Ada", model=MODEL)
    environment = await async_client.beta.environments.create(name="Plain")

    async def converse() -> None:
        made = await async_client.beta.sessions.create(
            agent=agent.id, environment_id=environment.id
        )
        hello: Any = message("Hello")
        await async_client.beta.sessions.events.send(made.id, events=[hello])
        async with await async_client.beta.sessions.events.stream(made.id) as stream:
            async for event in stream:
                if event.type == "session.status_idle":
                    return
        raise AssertionError("the stream ended early")

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(converse)


@requirement("streams:disconnect:harmless")
def test_a_client_that_leaves_changes_nothing(client: Anthropic):
    session = make_session(client)
    with client.beta.sessions.events.stream(session.id) as stream:
        say(client, session.id, SLOW)
        next(iter(stream))
    assert client.beta.sessions.retrieve(session.id).status == "running"
    turn(client, session.id, {"type": "user.interrupt"})
    assert client.beta.sessions.retrieve(session.id).status == "idle"


def test_a_foreign_stream_is_not_found(client: Anthropic, stranger: Anthropic):
    session = make_session(client)
    with pytest.raises(anthropic.NotFoundError):
        stranger.beta.sessions.events.stream(session.id)
