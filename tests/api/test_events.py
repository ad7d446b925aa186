"""Sending events and listing them, through the API."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from httpx2 import Client

from tests.api.building import TOOLSET, make_agent, make_session, message, say, turn
from tests.gateway import ASK, SLOW, TOOL
from tests.ledger.requirement import requirement
from tests.wire.bodies import OUTCOME, SYSTEM


def _send(client: Anthropic, session: str, *events: Any) -> list[Any]:
    return client.beta.sessions.events.send(session, events=events).data or []


def _waiting(client: Anthropic) -> tuple[str, str]:
    """A session that waits for a custom tool's result, and the call it waits for."""
    session = make_session(client, agent=make_agent(client, tools=[TOOL]).id)
    idle: Any = turn(client, session.id, message(ASK))[-1]
    return session.id, idle.stop_reason.event_ids[0]


@requirement("events:send:echo", "events:send:queued", "transport:ids:prefix")
def test_a_send_echoes_its_events_with_ids(client: Anthropic):
    session, call = _waiting(client)
    answer = {"type": "user.custom_tool_result", "custom_tool_use_id": call}
    (echo,) = _send(client, session, answer)
    assert echo.id.startswith("sevt_01")
    assert echo.processed_at is not None
    assert (echo.content, echo.is_error) == ([], False)
    busy = make_session(client, initial_events=[message(SLOW)])
    first, second = _send(client, busy.id, message("Hello"), {"type": "user.interrupt"})
    assert (first.processed_at, second.processed_at) == (None, None)
    assert first.id != second.id


@requirement("events:send:atomic", "events:send:count")
def test_one_bad_event_and_nothing_is_accepted(raw: Client, client: Anthropic):
    session = make_session(client)
    path = f"/v1/sessions/{session.id}/events"
    unknown = {"type": "user.custom_tool_result", "custom_tool_use_id": "sevt_01none"}
    for events in (
        [message("Hello"), {"type": "user.message"}],
        [message("Hello"), unknown],
        [message("Hello")] * 101,
        [],
    ):
        answer = raw.post(path, json={"events": events})
        assert answer.status_code == 400
    assert (
        "custom_tool_result at events[1]: "
        in raw.post(path, json={"events": [message("Hello"), unknown]}).json()["error"]["message"]
    )
    assert list(client.beta.sessions.events.list(session.id)) == []
    assert client.beta.sessions.retrieve(session.id).status == "idle"


@requirement("events:send:archived")
def test_an_ended_session_takes_nothing(client: Anthropic):
    session = client.beta.sessions.archive(make_session(client).id)
    for event in (message("Hello"), {"type": "user.interrupt"}):
        with pytest.raises(anthropic.BadRequestError, match="ended"):
            _send(client, session.id, event)


@requirement("transport:workspace:foreign-id")
def test_a_foreign_session_takes_nothing(client: Anthropic, stranger: Anthropic):
    session = make_session(client)
    with pytest.raises(anthropic.NotFoundError):
        say(stranger, session.id, "Hello")
    with pytest.raises(anthropic.NotFoundError):
        stranger.beta.sessions.events.list(session.id)


@requirement("events:content:blocks")
def test_each_type_takes_its_own_blocks(client: Anthropic):
    session, call = _waiting(client)
    text = {"type": "text", "text": "See"}
    found = {
        "type": "search_result",
        "source": "https://example.com",
        "title": "Found",
        "content": [text],
        "citations": {"enabled": True},
    }
    with pytest.raises(anthropic.BadRequestError, match="search_result"):
        _send(client, session, {"type": "user.message", "content": [found]})
    answer = {
        "type": "user.custom_tool_result",
        "custom_tool_use_id": call,
        "content": [found, text],
    }
    seen = turn(client, session, answer)
    echoed: Any = next(e for e in seen if e.type == "user.custom_tool_result")
    assert [block.type for block in echoed.content] == ["search_result", "text"]


@requirement("events:message:waiting")
def test_while_a_call_waits_a_message_is_refused(client: Anthropic):
    session, call = _waiting(client)
    with pytest.raises(anthropic.BadRequestError, match=f"waiting on responses to events {call}"):
        say(client, session, "Hello")


@requirement("events:interrupt:terminated-thread")
def test_an_interrupt_names_a_live_thread_or_none(client: Anthropic):
    session = make_session(client)
    interrupt = {"type": "user.interrupt", "session_thread_id": "sthr_01none"}
    with pytest.raises(anthropic.BadRequestError, match="session_thread_id"):
        _send(client, session.id, interrupt)
    (thread,) = client.beta.sessions.threads.list(session.id)
    _send(client, session.id, {**interrupt, "session_thread_id": thread.id})


@requirement("events:confirmation:unasked")
def test_only_what_was_asked_can_be_confirmed_and_only_once(client: Anthropic):
    session, call = _waiting(client)
    confirmation = {"type": "user.tool_confirmation", "tool_use_id": call, "result": "allow"}
    with pytest.raises(anthropic.BadRequestError, match="confirm"):
        _send(client, session, confirmation)
    answer = {"type": "user.custom_tool_result", "custom_tool_use_id": call}
    turn(client, session, answer)
    with pytest.raises(anthropic.BadRequestError, match=call):
        _send(client, session, answer)


@requirement("events:tool-result:cloud")
def test_in_a_cloud_environment_only_we_give_tool_results(client: Anthropic):
    session = make_session(client, agent=make_agent(client, tools=[TOOLSET]).id)
    with pytest.raises(anthropic.BadRequestError, match="self_hosted"):
        _send(client, session.id, {"type": "user.tool_result", "tool_use_id": "sevt_01none"})


@requirement("events:outcome:one-active")
def test_one_outcome_is_worked_on_at_a_time(client: Anthropic):
    session = make_session(client, initial_events=[message(SLOW)])
    (echo,) = _send(client, session.id, OUTCOME)
    assert echo.outcome_id.startswith("outc_01")
    assert echo.max_iterations == 3
    with pytest.raises(anthropic.BadRequestError, match="outcome is active"):
        _send(client, session.id, OUTCOME)


@requirement("events:system:alone")
def test_a_system_message_stands_alone_unless_the_session_waits(client: Anthropic):
    session = make_session(client)
    (echo,) = _send(client, session.id, SYSTEM)
    assert echo.type == "system.message"
    waiting, _ = _waiting(client)
    with pytest.raises(anthropic.BadRequestError, match="waiting on"):
        _send(client, waiting, SYSTEM)


@requirement("events:list:order", "events:list:append-only", "events:list:types")
def test_the_log_comes_first_and_what_is_queued_last(client: Anthropic):
    session = make_session(client)
    turn(client, session.id, message("Hello"))
    before = [event.id for event in client.beta.sessions.events.list(session.id)]
    with client.beta.sessions.events.stream(session.id) as stream:
        say(client, session.id, SLOW)
        for event in stream:
            if event.type == "span.model_request_start":
                break
        say(client, session.id, "One more thing")
        up: list[Any] = list(client.beta.sessions.events.list(session.id))
        assert [event.id for event in up][: len(before)] == before
        assert up[-1].processed_at is None
        assert all(event.processed_at is not None for event in up[:-1])
        down = list(client.beta.sessions.events.list(session.id, order="desc", limit=2))
        assert [event.id for event in down] == [event.id for event in up][::-1]
        only = client.beta.sessions.events.list(session.id, types=["user.message"])
        assert [event.type for event in only] == ["user.message"] * 3
        times = [event.processed_at for event in up[:-1]]
        assert times == sorted(times)
    later: list[Any] = turn(client, session.id, {"type": "user.interrupt"})
    assert later
    again = [event.id for event in client.beta.sessions.events.list(session.id)]
    assert again[: len(up) - 1] == [event.id for event in up[:-1]]
    assert up[-1].id in again


@requirement("events:list:ranges")
def test_time_filters_compare_processing(client: Anthropic):
    session = make_session(client)
    turn(client, session.id, message("Hello"))
    log: list[Any] = list(client.beta.sessions.events.list(session.id))
    third = log[2]
    list_ = client.beta.sessions.events.list
    since = list_(session.id, created_at_gte=third.processed_at)
    assert [event.id for event in since] == [event.id for event in log[2:]]
    before = list_(session.id, created_at_lt=third.processed_at)
    assert [event.id for event in before] == [event.id for event in log[:2]]


@requirement("pagination:limit:range")
def test_a_page_of_events_holds_up_to_a_thousand(client: Anthropic):
    session = make_session(client)
    client.beta.sessions.events.list(session.id, limit=1000)
    with pytest.raises(anthropic.BadRequestError, match="limit"):
        client.beta.sessions.events.list(session.id, limit=1001)
