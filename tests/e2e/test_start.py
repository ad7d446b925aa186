"""Starting and stopping: what a server says when the machine does not let it, and how it ends."""

import os
import shutil
import signal
import socket
from pathlib import Path

import anyio.to_thread
import pytest
from anthropic import InternalServerError

from tests.e2e import script
from tests.e2e.conversation import Conversation, of, text
from tests.e2e.script import bash, step, turn
from tests.e2e.serving import SECONDS, Ended, Server, attempt

_NEEDS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="only root can mount a file system for the test, with unshare",
)


_REFUSING = """#!/bin/sh
case $1 in --version) echo 'bubblewrap 0.8.0'; exit ;; esac
echo 'bwrap: No permissions to create new namespace, likely because the kernel does not allow' >&2
exit 1
"""


@pytest.fixture
def model(home: Path) -> Path:
    return script.write(
        home,
        turn("work", step("I begin.", bash("sleep 0.5; echo worked")), "It {last_result}."),
        turn("wait", {"text": "Done.", "delay_seconds": 30.0}),
    )


def _refused(ended: Ended, *words: str, status: int = 1) -> None:
    """It ended with one line that says these words, and nothing was announced."""
    assert (ended.status, ended.out) == (status, "")
    (line,) = [line for line in ended.errors if not line.startswith("{")]
    assert line.startswith("wharfkeep: ")
    assert [word for word in words if word not in line] == []


async def test_a_second_server_on_a_data_directory_names_the_first(home: Path, model: Path):
    with Server(home / "data", WHARFKEEP_MODELS__SCRIPT=model) as first:
        second = attempt(home / "data", WHARFKEEP_MODELS__SCRIPT=model)
        _refused(second, str(first.process.pid), str(home / "data"))
        async with first.client() as client:
            talk = await Conversation.begin(client)
            shown = await talk.turn("work")
    assert text(of(shown, "agent.message")[-1]) == "It worked."


def test_a_port_in_use_is_named(home: Path, model: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = attempt(home / "data", "--listen", address, WHARFKEEP_MODELS__SCRIPT=model)
    _refused(ended, address, "--listen")


def test_a_read_only_data_directory_is_named(home: Path, model: Path):
    data = home / "data"
    data.mkdir()
    if os.geteuid() == 0:
        mount = f"mount --bind {data} {data} && mount -o remount,ro,bind {data}"
        within = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    else:
        data.chmod(0o555)
        within = []
    _refused(attempt(data, within=within, WHARFKEEP_MODELS__SCRIPT=model), str(data))


@_NEEDS_ROOT
def test_a_full_disk_is_named(home: Path, model: Path):
    data = home / "data"
    data.mkdir()
    within = _on_small_disk(data, "64k")
    ended = attempt(data, within=within, WHARFKEEP_MODELS__SCRIPT=model)
    _refused(ended, str(data), "disk")


def _on_small_disk(folder: Path, size: str) -> list[str]:
    """A command that runs another with a small file system of its own on `folder`."""
    mount = f"mount -t tmpfs -o size={size},mode=0711 tmpfs {folder}"
    return ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]


def test_without_bubblewrap_the_package_is_named(home: Path, model: Path):
    (home / "bin").mkdir()
    ended = attempt(home / "data", PATH=home / "bin", WHARFKEEP_MODELS__SCRIPT=model)
    _refused(ended, "bubblewrap")


def test_a_kernel_that_refuses_namespaces_is_named(home: Path, model: Path):
    """A stand-in says what the real program says there."""
    stand_in = home / "bin" / "bwrap"
    stand_in.parent.mkdir()
    stand_in.write_text(_REFUSING, encoding="utf-8")
    stand_in.chmod(0o755)
    path = f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"
    ended = attempt(home / "data", PATH=path, WHARFKEEP_MODELS__SCRIPT=model)
    _refused(ended, "namespace")


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ("[server\n", "TOML"),
        ("[server]\nport = 8400\n", "server.port"),
        ("[models]\nattempts = 0\n", "models.attempts"),
        ('[models]\nscript = "/nowhere.toml"\n', "/nowhere.toml"),
    ],
)
def test_a_broken_configuration_is_named(home: Path, document: str, word: str):
    file = home / "wharfkeep.toml"
    file.write_text(document, encoding="utf-8")
    _refused(attempt(home / "data", "--config", str(file)), word, status=2)


async def test_a_server_told_to_end_finishes_the_turn_first(home: Path, model: Path):
    server = Server(home / "data", WHARFKEEP_MODELS__SCRIPT=model)
    with server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            async with talk.stream() as stream:
                await talk.send("work")
                await stream.until("agent.tool_use")
                server.process.send_signal(signal.SIGTERM)
                shown = await stream.until_idle()
        assert await anyio.to_thread.run_sync(server.process.wait, SECONDS) == 0
    assert text(of(shown, "agent.message")[-1]) == "It worked."


async def test_a_turn_that_does_not_finish_in_time_goes_on_after_the_next_start(
    home: Path, model: Path
):
    server = Server(
        home / "data", WHARFKEEP_MODELS__SCRIPT=model, WHARFKEEP_SERVER__DRAIN_SECONDS=0.1
    )
    with server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            async with talk.stream() as stream:
                await talk.send("wait")
                await stream.until("span.model_request_start")
        assert server.stop() == 0
    with server:
        async with server.client() as client:
            talk = Conversation(client, talk.id)
            await talk.reach("span.model_request_start", 2)
            assert (await talk.state()).status == "running"


@_NEEDS_ROOT
async def test_a_disk_that_fills_up_refuses_messages_and_loses_none(home: Path, model: Path):
    data = home / "data"
    data.mkdir()
    with Server(data, within=_on_small_disk(data, "8m"), WHARFKEEP_MODELS__SCRIPT=model) as server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            accepted = await _fill(talk)
            log = await talk.log()
    assert accepted
    assert [event.id for event in of(log, "user.message")] == accepted


async def _fill(talk: Conversation) -> list[str]:
    """Send long messages until one is refused; returns the ids of the others."""
    accepted: list[str] = []
    while True:
        try:
            accepted += [echo.id for echo in await talk.send("x" * 100_000)]
        except InternalServerError:
            return accepted
