"""Tools that take too much: the model reads which limit they met, and the next call works."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from anthropic import AsyncAnthropic

from tests.e2e import script, serving
from tests.e2e.conversation import TOOLSET, Conversation, of, processed, text
from tests.e2e.script import bash, call, step, turn
from tests.e2e.serving import Server
from tests.e2e.validity import flaws

_MEBIBYTE = 1024**2
_RESTART = call("bash", restart=True)

_FILLS = 'for i in $(seq 999); do head -c 16M /dev/zero > "$i"; sleep 0.1; done'
_MANY = 'python3 -c "for i in range(10**6): open(str(i), chr(119))"'
_EATS = 'python3 -c "x = []\nwhile True: x.append(bytearray(8 << 20))"'
_FORKS = "bomb() { bomb | bomb & }; while :; do bomb; done"
_DEAF = "trap '' TERM INT HUP; while :; do :; done"
_SPINS = "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; echo spinning"
_LARGE = "head -c 40M /dev/zero > large"


def _slow(command: str, milliseconds: int) -> dict[str, Any]:
    return call("bash", command=command, timeout_ms=milliseconds)


_SCRIPT = (
    turn("disk", step(None, bash(_FILLS)), step(None, _RESTART), step(None, bash("rm *")), "Ok."),
    turn("files", step(None, bash(_MANY)), step(None, _RESTART), step(None, bash("ls | wc -l"))),
    turn("memory", step(None, bash(_EATS)), step(None, bash("echo here"))),
    turn("forks", step(None, _slow(_FORKS, 3000)), step(None, bash("sleep 1")), "Ok."),
    turn("again", step(None, _RESTART), step(None, bash("echo a | cat"))),
    turn(
        "prints", step(None, _slow("yes", 1000)), step(None, _RESTART), step(None, bash("echo b"))
    ),
    turn("deaf", step(None, _slow(_DEAF, 1000)), step(None, _RESTART), step(None, bash("echo c"))),
    turn("mute", step(None, _slow("exec >&- 2>&-; echo x; exec 98>&-", 5000))),
    turn("spins", step(None, bash(_SPINS)), step(None, bash("echo d"))),
    turn("large", step(None, bash(_LARGE))),
    turn("well", step(None, bash("echo well; ls"))),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving.place() as folder:
        turns = [{**each, "steps": [*each["steps"], {"text": "Done."}]} for each in _SCRIPT]
        with Server(
            folder / "data",
            WHARFKEEP_MODELS__SCRIPT=script.write(folder, *turns),
            WHARFKEEP_SANDBOX__MEMORY="384 MiB",
            WHARFKEEP_SANDBOX__PROCESSES=64,
            WHARFKEEP_SANDBOX__DISK="64 MiB",
            WHARFKEEP_SANDBOX__FILES=3000,
            WHARFKEEP_SANDBOX__FILE_SIZE="32 MiB",
        ) as running:
            yield running


@pytest.fixture
async def neighbour(client: AsyncAnthropic) -> Conversation:
    """Another session with a sandbox of its own."""
    talk = await Conversation.begin(client, tools=[TOOLSET])
    await talk.turn("well")
    return talk


async def _suffer(talk: Conversation, part: str) -> list[Any]:
    """Play one part; returns the results of its calls."""
    return of(processed(await talk.turn(part)), "agent.tool_result")


async def _is_well(talk: Conversation) -> bool:
    [result] = await _suffer(talk, "well")
    return not result.is_error and text(result).startswith("well")


@pytest.mark.parametrize(
    ("part", "told"),
    [("disk", "disk limit of 64 MiB"), ("files", "limit of 3000 files and directories")],
)
async def test_a_tool_that_fills_the_disk_is_told_and_the_shell_starts_again(
    client: AsyncAnthropic, neighbour: Conversation, part: str, told: str
):
    talk = await Conversation.begin(client, tools=[TOOLSET])
    first, restarted, last = await _suffer(talk, part)
    assert first.is_error
    assert told in text(first)
    assert not restarted.is_error
    assert not last.is_error
    assert await _is_well(neighbour)
    assert flaws(await talk.log()) == []


async def test_a_tool_that_eats_memory_is_told_and_the_next_call_works(
    client: AsyncAnthropic, neighbour: Conversation
):
    talk = await Conversation.begin(client, tools=[TOOLSET])
    first, last = await _suffer(talk, "memory")
    assert first.is_error
    assert "memory limit of 384 MiB" in text(first)
    assert text(last).strip() == "here"
    assert await _is_well(neighbour)


async def test_a_tool_that_forks_for_ever_is_told_and_the_next_call_works(
    client: AsyncAnthropic, neighbour: Conversation
):
    talk = await Conversation.begin(client, tools=[TOOLSET])
    suffered = await _suffer(talk, "forks")
    assert any("limit of 64 processes" in text(result) for result in suffered)
    *_, last = await _suffer(talk, "again")
    assert text(last).strip() == "a"
    assert await _is_well(neighbour)


async def test_a_tool_that_prints_for_ever_is_cut_and_costs_the_gateway_no_memory(
    server: Server, client: AsyncAnthropic, neighbour: Conversation
):
    talk = await Conversation.begin(client, tools=[TOOLSET])
    gateway = psutil.Process(server.process.pid)
    before = gateway.memory_info().rss
    first, _, last = await _suffer(talk, "prints")
    assert first.is_error
    assert "timed out" in text(first)
    assert text(last).strip() == "b"
    assert gateway.memory_info().rss < before + 32 * _MEBIBYTE
    assert await _is_well(neighbour)


async def test_a_tool_that_ignores_signals_is_stopped_all_the_same(
    client: AsyncAnthropic, neighbour: Conversation
):
    talk = await Conversation.begin(client, tools=[TOOLSET])
    first, _, last = await _suffer(talk, "deaf")
    assert first.is_error
    assert "timed out" in text(first)
    assert text(last).strip() == "c"
    assert await _is_well(neighbour)


async def test_a_tool_that_closes_its_output_ends_its_call_and_nothing_else(
    client: AsyncAnthropic, neighbour: Conversation
):
    talk = await Conversation.begin(client, tools=[TOOLSET])
    await _suffer(talk, "mute")
    *_, last = await _suffer(talk, "again")
    assert text(last).strip() == "a"
    assert await _is_well(neighbour)


async def test_tools_that_spin_leave_others_their_share(
    client: AsyncAnthropic, neighbour: Conversation
):
    talk = await Conversation.begin(client, tools=[TOOLSET])
    first, last = await _suffer(talk, "spins")
    assert text(first).strip() == "spinning"
    assert text(last).strip() == "d"
    assert await _is_well(neighbour)


async def test_a_file_that_is_too_large_is_told_with_the_limit(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=[TOOLSET])
    [result] = await _suffer(talk, "large")
    assert result.is_error
    assert "files of 32 MiB" in text(result)
