"""What a turn can do, with real tools in a real sandbox."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
import psutil
import pytest
from anthropic import AsyncAnthropic, BadRequestError

from tests.e2e import script, serving
from tests.e2e.conversation import (
    INTERRUPT,
    SECONDS,
    Conversation,
    allow,
    answer,
    deny,
    of,
    processed,
    results,
    text,
    types,
)
from tests.e2e.script import bash, call, step, turn
from tests.e2e.serving import Server
from tests.e2e.validity import flaws
from tests.ledger.requirement import requirement

_WEATHER: dict[str, Any] = {
    "type": "custom",
    "name": "get_weather",
    "description": "Look up the weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
_ASKING = {
    "type": "agent_toolset_20260401",
    "default_config": {"permission_policy": {"type": "always_ask"}},
}
_ASKING_FOR_BASH = {
    "type": "agent_toolset_20260401",
    "configs": [
        {"name": "bash", "permission_policy": {"type": "always_ask"}},
        {"name": "glob", "enabled": False},
    ],
}

_SCRIPT = (
    turn("hello", "Hello."),
    turn(
        "two commands", step("Both.", bash("echo one"), bash("echo two")), "{result_1} {result_2}"
    ),
    turn("one command", step(None, bash("echo ran")), "{last_result}"),
    turn(
        "mixed",
        step(None, call("write", file_path="/workspace/a.txt", content="a"), bash("cat a.txt")),
        "{result_2}",
    ),
    turn("find files", step(None, call("glob", pattern="*")), "{last_result}"),
    turn(
        "weather",
        step(None, call("get_weather", city="Oslo"), call("get_weather", city="Rome")),
        "{result_1}, {result_2}",
    ),
    turn("slow words", step("Slowly: " + "word " * 200, delay_seconds=30.0)),
    turn("many words", " ".join(f"word{number}" for number in range(200))),
    turn("sleep", step(None, bash("sleep 30; echo woke"), bash("sleep 30")), "Up."),
    turn(
        "remember",
        step(None, bash("cd /tmp && export COLOUR=blue")),
        step(None, bash("pwd")),
        "Ok.",
    ),
    turn("recall", step(None, bash('echo "$COLOUR in $PWD"')), "{last_result}"),
    turn("keep", step(None, bash("echo kept > /workspace/kept.txt")), "Kept."),
    turn("look", step(None, bash("cat /workspace/kept.txt")), "{last_result}"),
    turn(
        "die",
        step(None, bash("kill -9 $$")),
        step(None, call("bash", restart=True)),
        step(None, bash("echo alive; cat /workspace/kept.txt")),
        "{last_result}",
    ),
    turn("think", {"thinking": "Let me see.", "text": "I see."}),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving.place() as folder:
        path = script.write(folder, *_SCRIPT, chunk_seconds=0.002)
        with Server(
            folder / "data", WHARFKEEP_MODELS__SCRIPT=path, WHARFKEEP_SANDBOX__IDLE_SECONDS=0.2
        ) as running:
            yield running


_ONE_ANSWER = [
    "session.status_running",
    "session.thread_status_running",
    "span.model_request_start",
    "agent.message",
    "span.model_request_end",
    "session.thread_status_idle",
    "session.usage",
    "session.status_idle",
]


@requirement("events:turn:order", "events:turn:usage-before-idle", "threads:status:events")
async def test_a_turn_shows_its_events_in_the_promised_order(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    shown = await talk.turn("hello")
    assert types(processed(shown)) == ["user.message", *_ONE_ANSWER]
    assert flaws(await talk.log()) == []


async def test_an_mcp_server_that_cannot_be_reached_is_said_so_and_the_turn_goes_on(
    client: AsyncAnthropic,
):
    agent = await client.beta.agents.create(
        name="Tester",
        model="claude-haiku-4-5",
        tools=[{"type": "mcp_toolset", "mcp_server_name": "tracker"}],
        mcp_servers=[{"type": "url", "name": "tracker", "url": "https://mcp.example.com/mcp"}],
    )
    place = await client.beta.environments.create(name="place-with-a-server")
    made = await client.beta.sessions.create(agent=agent.id, environment_id=place.id)
    shown = await Conversation(client, made.id).turn("hello")
    (error,) = of(shown, "session.error")
    assert error.error.type == "mcp_connection_failed_error"
    assert error.error.mcp_server_name == "tracker"
    assert text(of(shown, "agent.message")[0]) == "Hello."


@requirement("events:thinking:signal")
async def test_thinking_shows_as_a_signal_without_text(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    shown = await talk.turn("think, please")
    (thinking,) = of(shown, "agent.thinking")
    assert set(thinking.to_dict()) == {"id", "type", "processed_at"}
    assert types(shown).index("agent.thinking") < types(shown).index("agent.message")


@requirement("events:confirmation:allow", "events:action:blocking-set", "events:action:resume")
async def test_allowed_calls_run_and_the_turn_goes_on(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[_ASKING])
    waiting = await talk.turn("two commands")
    uses = of(waiting, "agent.tool_use")
    assert [use.evaluated_permission for use in uses] == ["ask", "ask"]
    assert waiting[-1].stop_reason.event_ids == [use.id for use in uses]
    shown = await talk.turn(*map(allow, uses))
    assert text(of(shown, "agent.message")[-1]) == "one two"
    assert flaws(await talk.log()) == []


@requirement("events:confirmation:deny")
async def test_a_denied_call_gives_the_model_the_reason(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[_ASKING])
    (use,) = of(await talk.turn("one command"), "agent.tool_use")
    shown = await talk.turn(deny(use, "not on a Sunday"))
    (result,) = of(shown, "agent.tool_result")
    assert result.is_error
    assert "not on a Sunday" in text(of(shown, "agent.message")[-1])


@requirement("events:action:partial")
async def test_answering_some_calls_rests_again_with_the_others(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[_ASKING])
    one, two = of(await talk.turn("two commands"), "agent.tool_use")
    shown = await talk.turn(allow(one))
    assert shown[-1].stop_reason.type == "requires_action"
    assert shown[-1].stop_reason.event_ids == [two.id]
    assert shown[-2].type == "session.usage"
    shown = await talk.turn(allow(two))
    assert text(of(shown, "agent.message")[-1]) == "one two"
    assert flaws(await talk.log()) == []


@requirement("events:tool:policies", "events:tool:evaluation")
async def test_an_allowed_call_does_not_wait_for_its_asking_sibling(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[_ASKING_FOR_BASH])
    waiting = await talk.turn("mixed")
    write, ask = of(waiting, "agent.tool_use")
    assert (write.evaluated_permission, ask.evaluated_permission) == ("allow", "ask")
    assert [result.tool_use_id for result in of(waiting, "agent.tool_result")] == [write.id]
    assert waiting[-1].stop_reason.event_ids == [ask.id]
    assert text(of(await talk.turn(allow(ask)), "agent.message")[-1]) == "a"


async def test_a_disabled_tool_is_denied_and_the_model_told(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[_ASKING_FOR_BASH])
    shown = await talk.turn("find files")
    (use,), (result,) = of(shown, "agent.tool_use"), of(shown, "agent.tool_result")
    assert (use.evaluated_permission, result.is_error) == ("deny", True)
    assert shown[-1].stop_reason.type == "end_turn"


@requirement("events:message:waiting")
async def test_a_message_is_refused_while_the_session_waits_for_an_answer(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[_ASKING])
    (use,) = of(await talk.turn("one command"), "agent.tool_use")
    with pytest.raises(BadRequestError, match="waiting on responses to events") as refused:
        await talk.send("hello")
    assert use.id in str(refused.value)
    await talk.turn(allow(use))


@requirement("events:custom-result:resolves")
async def test_custom_tools_are_answered_before_and_after_the_session_rests(
    client: AsyncAnthropic,
):
    talk = await Conversation.begin(client, tools=[_WEATHER])
    async with talk.stream() as stream:
        await talk.send("What is the weather?")
        oslo = await stream.until("agent.custom_tool_use")
        await talk.send(answer(oslo, "snow"))
        await stream.until_idle()
        rome = of(stream.shown, "agent.custom_tool_use")[1]
        while stream.shown[-1].stop_reason.event_ids != [rome.id]:
            await stream.until_idle()
        await talk.send(answer(rome, "sun"))
        await stream.until_idle()
    assert text(of(stream.shown, "agent.message")[-1]) == "snow, sun"
    assert flaws(await talk.log()) == []


@requirement("events:custom-result:unknown")
async def test_a_call_is_answered_once(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[_WEATHER])
    oslo, rome = of(await talk.turn("weather?"), "agent.custom_tool_use")
    await talk.turn(answer(oslo, "snow"))
    with pytest.raises(BadRequestError):
        await talk.send(answer(oslo, "rain"))
    shown = await talk.turn(answer(rome, "sun"))
    assert text(of(shown, "agent.message")[-1]) == "snow, sun"


@requirement("events:interrupt:turn", "events:span:usage", "streams:deltas:interrupted")
async def test_an_interrupt_stops_the_model(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    async with talk.stream() as stream:
        await talk.send("slow words")
        await stream.until("span.model_request_start")
        await talk.send(INTERRUPT)
        shown = await stream.until_idle()
    assert shown[-1].stop_reason.type == "end_turn"
    assert of(shown, "agent.message") == []
    assert [end.is_error for end in of(shown, "span.model_request_end")] == [True]
    assert types(await talk.turn("hello"))[-len(_ONE_ANSWER) :] == _ONE_ANSWER


@requirement("events:interrupt:then-message")
async def test_an_interrupt_stops_running_commands_and_the_next_message_is_answered(
    client: AsyncAnthropic,
):
    talk = await Conversation.begin(client)
    async with talk.stream() as stream:
        await talk.send("sleep")
        await stream.until("agent.tool_use", 2)
        await talk.send(INTERRUPT, "hello")
        await stream.until_idle()
        shown = await stream.until_idle()
    stopped = of(shown, "agent.tool_result")
    assert [result.is_error for result in stopped] == [True, True]
    assert text(of(shown, "agent.message")[-1]) == "Hello."
    assert flaws(await talk.log()) == []


@requirement("events:interrupt:waiting")
async def test_an_interrupt_settles_calls_that_wait_for_an_answer(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[_ASKING, _WEATHER])
    await talk.turn("two commands")
    shown = await talk.turn(INTERRUPT)
    assert shown[-1].stop_reason.type == "end_turn"
    assert [result.is_error for result in of(shown, "agent.tool_result")] == [True, True]
    assert text(of(await talk.turn("hello"), "agent.message")[-1]) == "Hello."
    assert flaws(await talk.log()) == []


@requirement("events:interrupt:idle")
async def test_an_interrupt_of_an_idle_session_does_nothing(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    await talk.turn("hello")
    await talk.send(INTERRUPT)
    shown = await talk.turn("hello")
    assert [text(message) for message in of(shown, "agent.message")] == ["Hello."]
    assert flaws(await talk.log()) == []


@requirement("events:message:running")
async def test_messages_sent_during_a_turn_wait_for_its_end(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    async with talk.stream() as stream:
        await talk.send("many words")
        await stream.until("span.model_request_start")
        await talk.send("hello")
        await stream.until_idle()
    log = await talk.log()
    assert [text(message)[:6] for message in of(log, "agent.message")] == ["word0 ", "Hello."]
    assert flaws(log) == []


@requirement("streams:deltas:opt-in", "streams:deltas:ids", "streams:deltas:prefix")
async def test_previews_add_up_to_the_final_text(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    async with talk.stream("agent.message") as stream:
        await talk.send("many words")
        shown = await stream.until_idle()
    (start,), (message,) = of(shown, "event_start"), of(shown, "agent.message")
    deltas = of(shown, "event_delta")
    assert len(deltas) > 5
    assert {start.event.id, *(delta.event_id for delta in deltas)} == {message.id}
    assert text(message).startswith("".join(delta.delta.content.text for delta in deltas))
    assert types(await talk.turn("many words")).count("event_delta") == 0


@requirement("streams:deltas:thinking")
async def test_thinking_is_announced_without_deltas(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    async with talk.stream("agent.thinking") as stream:
        await talk.send("think, please")
        shown = await stream.until_idle()
    (start,), (thinking,) = of(shown, "event_start"), of(shown, "agent.thinking")
    assert start.event.id == thinking.id
    assert of(shown, "event_delta") == []


@requirement("threads:stream:own", "threads:events:own", "threads:primary:exists")
async def test_the_primary_thread_streams_and_lists_its_own_events(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    threads = client.beta.sessions.threads
    (primary,) = [thread async for thread in threads.list(talk.id)]
    assert primary.parent_thread_id is None
    shown: list[Any] = []
    with anyio.fail_after(SECONDS):
        async with await threads.events.stream(primary.id, session_id=talk.id) as stream:
            await talk.send("hello")
            async for event in stream:
                shown.append(event)
                if event.type == "session.thread_status_idle":
                    break
    assert text(of(shown, "agent.message")[0]) == "Hello."
    listed = [event async for event in threads.events.list(primary.id, session_id=talk.id)]
    assert "agent.message" in types(listed)


async def test_the_shell_keeps_its_state_between_calls_and_turns(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    assert results(await talk.turn("remember"))[-1] == "/tmp"
    assert results(await talk.turn("recall"))[-1] == "blue in /tmp"


async def test_a_shell_that_died_is_a_tool_error_until_the_model_restarts_it(
    client: AsyncAnthropic,
):
    talk = await Conversation.begin(client)
    await talk.turn("keep")
    shown = await talk.turn("die")
    assert [result.is_error for result in of(shown, "agent.tool_result")] == [True, False, False]
    assert results(shown)[-1] == "alive\nkept"


async def test_a_sandbox_killed_from_outside_is_replaced_and_keeps_its_files(
    server: Server, client: AsyncAnthropic
):
    talk = await Conversation.begin(client)
    await talk.turn("keep")
    shown: list[Any] = []
    async with talk.stream() as stream:
        await talk.send("sleep")
        await stream.until("agent.tool_use", 2)
        async with anyio.create_task_group() as killing:
            killing.start_soon(_keep_killing, server)
            shown += await stream.until_idle()
            killing.cancel_scope.cancel()
    assert [result.is_error for result in of(shown, "agent.tool_result")] == [True, True]
    assert "kept" in results(await talk.turn("look"))[-1]


async def test_files_outlive_the_processes_of_an_idle_session(
    server: Server, client: AsyncAnthropic
):
    talk = await Conversation.begin(client)
    await talk.turn("keep")
    _, alive = await anyio.to_thread.run_sync(psutil.wait_procs, _sandboxes(server), SECONDS)
    assert alive == []
    assert "kept" in results(await talk.turn("look"))[-1]


async def _keep_killing(server: Server) -> None:
    """A call may have reached its sandbox already, or be about to start one: all of them end."""
    while True:
        for process in _sandboxes(server):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await anyio.sleep(0.05)


def _sandboxes(server: Server) -> list[psutil.Process]:
    """The outermost process of every sandbox that runs."""
    started = psutil.Process(server.process.pid).children(recursive=True)
    found: list[psutil.Process] = []
    for process in started:
        with suppress(psutil.NoSuchProcess):
            if process.name() == "bwrap":
                found.append(process)
    return found
