"""Two gateways on one PostgreSQL: a session runs on one of them, and either can be talked to."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from anthropic import AsyncAnthropic

from tests.e2e import script, serving
from tests.e2e.conversation import SECONDS, Conversation, of, results, text
from tests.e2e.script import bash, step, turn
from tests.e2e.serving import Server
from tests.e2e.validity import flaws
from tests.ledger.requirement import requirement
from tests.store.places import Server as Postgres


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of an empty database of its own server."""
    with serving.place() as folder:
        postgres = Postgres(folder)
        try:
            yield postgres.new_database()
        finally:
            postgres.stop()


Pair = tuple[Server, Server]


@contextmanager
def _pair(home: Path, url: str) -> Generator[Pair]:
    path = script.write(
        home,
        turn("hello", "Hello."),
        turn("work", step("I begin.", bash("sleep 0.3; echo done")), "It is {last_result}."),
        chunk_seconds=0.01,
    )
    one, two = (
        Server(home / name, WHARFKEEP_MODELS__SCRIPT=path, WHARFKEEP_STORE__URL=url)
        for name in ("a", "b")
    )
    with one, two:
        yield one, two


@pytest.fixture(scope="module")
def pair(url: str) -> Iterator[Pair]:
    """Two gateways that stay alive."""
    with serving.place() as folder, _pair(folder, url) as running:
        yield running


async def test_a_stream_shows_a_session_that_another_gateway_runs(pair: Pair):
    one, two = pair
    async with one.client() as here, two.client() as there:
        talk = await Conversation.begin(here)
        async with Conversation(there, talk.id).stream() as stream:
            await talk.send("work")
            shown = await stream.until_idle()
        assert text(of(shown, "agent.message")[-1]) == "It is done."
        assert flaws(await talk.log()) == []


async def test_messages_to_both_gateways_are_answered_once_each(pair: Pair):
    one, two = pair
    accepted: list[str] = []

    async def press(client: AsyncAnthropic, session: str) -> None:
        for _ in range(5):
            accepted.extend(echo.id for echo in await Conversation(client, session).send("hello"))

    async with one.client() as here, two.client() as there:
        talk = await Conversation.begin(here)
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(press, here, talk.id)
                tasks.start_soon(press, there, talk.id)
        await talk.settle()
        log = await talk.log()
    assert sorted(event.id for event in of(log, "user.message")) == sorted(accepted)
    assert [event.id for event in log if event.processed_at is None] == []
    assert flaws(log) == []


@requirement("sessions:recovery:accepted", "sessions:recovery:open-call")
async def test_a_gateway_takes_over_from_one_that_was_killed(home: Path, url: str):
    with _pair(home, url) as (one, two):
        async with one.client() as here, two.client() as there:
            talk = await Conversation.begin(here)
            idle = await Conversation.begin(here)
            await idle.turn("hello")
            async with talk.stream() as stream:
                await talk.send("work")
                await stream.until("agent.tool_use")
                one.kill()
            shown = await Conversation(there, idle.id).turn("hello")
            assert text(of(shown, "agent.message")[-1]) == "Hello."
            talk = Conversation(there, talk.id)
            await talk.settle()
            log = await talk.log()
    assert "outcome unknown" in results(log)[0]
    assert len(of(log, "session.status_idle")) == 1
    assert flaws(log) == []
