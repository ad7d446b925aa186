"""What the SDK's own examples do with agents works against a gateway, given a model.

Each test does what one example does, in the example's order: several of them send first and open
the stream afterwards.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic, beta_async_tool
from anthropic.lib.sessions import accumulate_managed_agents_event
from anthropic.lib.tools.agent_toolset import AgentToolContext, beta_agent_toolset_20260401

from tests.e2e import script, serving
from tests.e2e.conversation import Conversation, of, results, said, text
from tests.e2e.script import bash, step, turn
from tests.e2e.serving import Server
from tests.e2e.validity import flaws
from tests.ledger.requirement import requirement

_SUMMARISE = "cut -d, -f1 /mnt/session/uploads/data.csv > /mnt/session/outputs/cities.txt"
_HAIKU = "Waves fold into waves,\nthe grey heron does not move,\nsalt dries on the rope."


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving.place() as folder:
        path = script.write(
            folder,
            turn("hello", "Hello! How can I help?"),
            turn("haiku", _HAIKU),
            turn("pwd", step("I look.", bash("pwd")), step(None, bash("ls -a")), "That is all."),
            turn(
                "weather", step("I ask.", script.call("get_weather", city="Oslo")), "{last_result}"
            ),
            turn(
                "column names",
                step("I read it.", bash("head -n 1 /mnt/session/uploads/data.csv")),
                step("I write them down.", bash(_SUMMARISE)),
                "The columns are city and degrees.",
            ),
            chunk_seconds=0.01,
        )
        with Server(folder / "data", WHARFKEEP_MODELS__SCRIPT=path) as running:
            yield running


@requirement("streams:open:replay")
def test_a_message_sent_before_the_stream_is_opened_is_answered_on_it(server: Server):
    with server.blocking_client() as client:
        place = client.beta.environments.create(name="simple-example-environment")
        agent = client.beta.agents.create(name="simple-example-agent", model="claude-sonnet-5")
        session = client.beta.sessions.create(
            environment_id=place.id,
            agent={"type": "agent", "id": agent.id, "version": agent.version},
        )
        client.beta.sessions.events.send(session.id, events=[_hello()])
        shown: list[str] = []
        with client.beta.sessions.events.stream(session.id) as stream:
            for event in stream:
                shown.append(event.to_json(indent=2))
                if event.type == "session.status_idle":
                    break
    assert any("How can I help?" in event for event in shown)


def _hello() -> Any:
    return said("Hello Claude!")


@requirement("files:session:mounted", "files:list:scope")
def test_an_agent_reads_the_files_of_its_session_and_what_it_writes_comes_back(
    server: Server, tmp_path: Path
):
    (tmp_path / "data.csv").write_text("city,degrees\nOslo,14\n")
    message: Any = said("Tell me the column names.")
    always: Any = {"enabled": True, "permission_policy": {"type": "always_allow"}}
    with server.blocking_client() as client:
        place = client.beta.environments.create(name="files-environment")
        agent = client.beta.agents.create(
            name="files-agent",
            model="claude-sonnet-5",
            tools=[{"type": "agent_toolset_20260401", "default_config": always}],
        )
        file = client.beta.files.upload(file=tmp_path / "data.csv")
        session = client.beta.sessions.create(
            environment_id=place.id,
            agent={"type": "agent", "id": agent.id, "version": agent.version},
            resources=[{"type": "file", "file_id": file.id, "mount_path": "data.csv"}],
        )
        (resource,) = client.beta.sessions.resources.list(session.id).data
        assert resource.to_dict()["mount_path"] == "/mnt/session/uploads/data.csv"
        client.beta.sessions.events.send(session.id, events=[message])
        shown: list[Any] = []
        with client.beta.sessions.events.stream(session.id) as stream:
            for event in stream:
                shown.append(event)
                assert event.to_json(indent=2)
                if event.type == "session.status_idle":
                    break
        assert results(shown)[0] == "city,degrees"
        there = {made.filename: made.id for made in client.beta.files.list(scope_id=session.id)}
        assert there.keys() == {"data.csv", "cities.txt"}, "its own copy, and what it wrote"
        assert client.beta.files.download(there["cities.txt"]).read() == b"city\nOslo\n"


@requirement("streams:deltas:prefix", "streams:deltas:ids")
async def test_previews_fold_into_the_final_message(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=())
    await talk.send("Write a short haiku about the ocean.")
    previews: dict[str, Any] = {}
    finals: dict[str, str] = {}
    async with talk.stream("agent.message") as stream:
        while (event := await stream.next()).type != "session.status_idle":
            if event.type == "event_start":
                previews[event.event.id] = accumulate_managed_agents_event(None, event)
            elif event.type == "event_delta" and event.event_id in previews:
                before = previews[event.event_id]
                previews[event.event_id] = accumulate_managed_agents_event(before, event)
            elif event.type == "agent.message":
                finals[event.id] = text(event)
    assert list(finals.values()) == [_HAIKU]
    for name, preview in previews.items():
        assert finals[name].startswith(text(preview))


async def test_a_tool_runner_on_a_self_hosted_session_runs_every_call(
    client: AsyncAnthropic, tmp_path: Path
):
    """It observes each call: the tools run here, on the client's side."""
    (tmp_path / "marker.txt").touch()
    talk = await Conversation.begin(client, environment="self_hosted")
    session = await talk.state()
    await talk.send("Run pwd and then ls to show me the working directory.")
    async with AgentToolContext(workdir=tmp_path, client=client, session=session) as here:
        tools = beta_agent_toolset_20260401(here)
        events = client.beta.sessions.events
        runner = events.tool_runner(talk.id, tools=tools, max_idle=0.2)
        dispatched = [done async for done in runner]
    assert [(call.name, call.is_error, call.posted) for call in dispatched] == [
        ("bash", False, True),
        ("bash", False, True),
    ]
    answers = [e for e in await talk.log() if e.type == "user.tool_result"]
    assert str(tmp_path) in text(answers[0])
    assert "marker.txt" in text(answers[1])
    await client.beta.sessions.delete(talk.id)


async def test_a_tool_runner_on_a_cloud_session_observes_calls_that_the_gateway_runs(
    client: AsyncAnthropic, tmp_path: Path
):
    talk = await Conversation.begin(client)
    await talk.send("Run pwd and then ls to show me the working directory.")
    async with AgentToolContext(workdir=tmp_path, client=client) as here:
        tools = beta_agent_toolset_20260401(here)
        events = client.beta.sessions.events
        runner = events.tool_runner(talk.id, tools=tools, max_idle=0.2)
        observed = [done async for done in runner]
    log = await talk.log()
    assert results(log)[0] == "/workspace"
    assert flaws(log) == []
    assert {call.posted for call in observed} <= {False}, "the gateway takes no second result"


@requirement("events:custom-result:resolves")
async def test_a_tool_runner_answers_custom_tools(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[_WEATHER])
    await talk.send("What is the weather in Oslo?")
    events = client.beta.sessions.events
    runner = events.tool_runner(talk.id, tools=[get_weather], max_idle=0.2)
    answered = [done async for done in runner]
    assert [(call.name, call.posted) for call in answered] == [("get_weather", True)]
    (message,) = of(await talk.log(), "agent.message")[1:]
    assert text(message) == "Oslo: 14 degrees"


_WEATHER: dict[str, Any] = {
    "type": "custom",
    "name": "get_weather",
    "description": "Look up the current weather for a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@beta_async_tool
async def get_weather(city: str) -> str:
    """Look up the current weather for a city."""
    return f"{city}: 14 degrees"
