"""The server is killed at any moment of a turn, started again, and nothing that was accepted is lost.

Each test is one data directory that lives through several kills, at moments drawn from a seed.
Clients keep sending while it dies; whatever was answered 200 must be in the log, once and in order.
"""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from anthropic import APIConnectionError, AsyncAnthropic

from tests.e2e import script
from tests.e2e.conversation import Conversation, allow, of, results, text
from tests.e2e.script import bash, call, step, turn
from tests.e2e.serving import Server
from tests.e2e.validity import flaws
from tests.ledger.requirement import requirement

_KILLS = 4
_LONGEST_LIFE = 0.9
"""Seconds from the first message to the kill; a turn takes about two thirds of it."""

_UNKNOWN = "outcome unknown: the server restarted during this call"


@pytest.fixture
def server(home: Path) -> Server:
    """A server that is not started."""
    path = script.write(
        home,
        turn("count", step(None, bash("cat /workspace/ran 2>/dev/null | wc -l")), "{last_result}"),
        turn(
            "work",
            step("I begin.", bash("sleep 0.05; echo ran >> /workspace/ran; sleep 0.05")),
            step("I look.", call("glob", pattern="*"), bash("echo ran >> /workspace/ran")),
            step("I wait.", bash("sleep 0.05"), delay_seconds=0.1),
            {"text": "I am done with that. " * 5, "delay_seconds": 0.05},
        ),
        chunk_seconds=0.01,
    )
    return Server(home / "data", WHARFKEEP_MODELS__SCRIPT=path)


class Witness:
    """One session and everything a server ever promised about it."""

    def __init__(self, talk: Conversation) -> None:
        self.id = talk.id
        self.accepted: list[str] = []
        """Ids of events that were answered 200, in the order of the answers."""

    async def press(self, client: AsyncAnthropic) -> None:
        """Send one message after the other until the server is gone."""
        talk = Conversation(client, self.id)
        try:
            while True:
                (echo,) = await talk.send("Do some work.")
                self.accepted.append(echo.id)
                await anyio.sleep(0.3)
        except APIConnectionError:
            return

    async def check(self, client: AsyncAnthropic) -> list[Any]:
        """Wait until the session rests, and hold its log to what was promised; returns it."""
        talk = Conversation(client, self.id)
        await talk.settle()
        log = await talk.log()
        listed = [event.id for event in of(log, "user.message")]
        assert [name for name in listed if name in self.accepted] == self.accepted
        assert [event.id for event in log if event.processed_at is None] == []
        assert flaws(log) == []
        return log


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(5))
@requirement("sessions:recovery:accepted", "sessions:recovery:open-call")
async def test_a_server_killed_at_any_moment_goes_on_where_it_was(server: Server, seed: int):
    moments = random.Random(seed)
    witness: Witness | None = None
    for _ in range(_KILLS):
        with server:
            async with server.client() as client:
                if witness is None:
                    witness = Witness(await Conversation.begin(client))
                else:
                    await witness.check(client)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(witness.press, client)
                    await anyio.sleep(moments.uniform(0, _LONGEST_LIFE))
                    server.kill()
    assert witness is not None
    with server:
        async with server.client() as client:
            await witness.check(client)
            await Conversation(client, witness.id).send("How many? Please count.")
            log = await witness.check(client)
    _check_runs(log, int(results(log)[-1].partition("[")[0]))


def _check_runs(log: list[Any], ran: int) -> None:
    """Each command ran at most once; those that were answered ran, the others are told unknown."""
    uses = {e.id for e in of(log, "agent.tool_use") if "echo ran" in str(e.input.get("command"))}
    answers = [event for event in of(log, "agent.tool_result") if event.tool_use_id in uses]
    good = [event for event in answers if not event.is_error]
    assert len(good) <= ran <= len(uses)
    assert {text(event) for event in answers if event.is_error} <= {_UNKNOWN}


@requirement("sessions:recovery:open-call")
async def test_a_call_that_was_running_is_closed_and_one_that_only_reads_runs_again(
    server: Server,
):
    with server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            async with talk.stream() as stream:
                await talk.send("Do some work.")
                await stream.until("agent.tool_use")
                server.kill()
    with server:
        async with server.client() as client:
            log = await Witness(talk).check(client)
    first = of(log, "agent.tool_use")[0]
    (result,) = [e for e in of(log, "agent.tool_result") if e.tool_use_id == first.id]
    assert (result.is_error, text(result)) == (True, _UNKNOWN)
    assert [text(event)[:9] for event in of(log, "agent.message")][-1] == "I am done"


async def test_a_session_that_waits_for_an_answer_still_waits_after_a_crash(server: Server):
    asking = {
        "type": "agent_toolset_20260401",
        "default_config": {"permission_policy": {"type": "always_ask"}},
    }
    with server:
        async with server.client() as client:
            talk = await Conversation.begin(client, tools=[asking])
            (use,) = of(await talk.turn("Please count."), "agent.tool_use")
    with server:
        async with server.client() as client:
            talk = Conversation(client, talk.id)
            assert (await talk.state()).status == "idle"
            shown = await talk.turn(allow(use))
            assert results(shown) == ["0"]
            assert flaws(await talk.log()) == []


async def test_a_session_that_cannot_be_read_back_harms_no_other(server: Server):
    with server:
        async with server.client() as client:
            damaged = await Conversation.begin(client)
            other = await Conversation.begin(client)
            async with damaged.stream() as stream:
                await damaged.send("Do some work.")
                await stream.until("agent.tool_use")
                server.kill()
    with closing(sqlite3.connect(server.data_dir / "wharfkeep.db")) as database, database:
        database.execute("UPDATE events SET private = NULL WHERE type = 'agent.tool_use'")
    with server:
        async with server.client() as client:
            shown = await Conversation(client, other.id).turn("Please count.")
    assert results(shown) == ["0"]
    assert "runner failed" in server.log
