"""A session that rests goes down the ladder, and comes back with every file it had."""

import random
import sqlite3
import subprocess
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.e2e import script
from tests.e2e.conversation import SECONDS, Conversation, results
from tests.e2e.script import bash, call, step, turn
from tests.e2e.serving import Server
from tests.ledger.requirement import requirement

RESTARTED = "[The sandbox was restarted"
LOST = "[The sandbox could not be restored"
_CANARY = "canary-0f5c1e"
_KILLS = 4
_LONGEST_LIFE = 1.2
"""Seconds from the moment that a session rests to the kill."""

_ARCHIVED = "SELECT count(*) FROM sandboxes WHERE archived IS NOT NULL AND idle_at IS NULL"


@pytest.fixture
def start(home: Path) -> Generator[Callable[..., Server]]:
    """A server that is not started, on the test's one data directory."""
    path = script.write(
        home,
        turn("write", step(None, bash("echo kept > file; cp /proc/self/environ env")), "Written."),
        turn("add", step(None, bash("echo line >> log; wc -l < log")), "{last_result}"),
        turn(
            "read", step(None, bash("cat file log 2>/dev/null | sort | uniq -c")), "{last_result}"
        ),
        turn("go", step(None, bash("cd /tmp; COLOUR=blue; (sleep 60) & echo $$ > me")), "There."),
        turn("where", step(None, bash('echo "$PWD $COLOUR $(jobs | wc -l)"')), "{last_result}"),
        turn("look", step(None, call("glob", pattern="*")), "Looked."),
        turn("upload", step(None, bash("cat /mnt/session/uploads/data.csv")), "Read."),
    )

    def make(**settings: object) -> Server:
        chosen: dict[str, Any] = {
            "WHARFKEEP_MODELS__SCRIPT": path,
            "WHARFKEEP_SANDBOX__FREEZE_SECONDS": 0,
            "WHARFKEEP_SANDBOX__IDLE_SECONDS": 0,
            "WHARFKEEP_SANDBOX__ARCHIVE_SECONDS": 0,
            "CANARY": _CANARY,
            **settings,
        }
        return Server(home / "data", **chosen)

    yield make
    unmount_below(home)


def unmount_below(home: Path) -> None:
    """Take away what servers that were killed had mounted: it outlives them."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in reversed(points):
        if Path(point).is_relative_to(home):
            subprocess.run(["umount", "--lazy", point], check=False)


async def ask(talk: Conversation, text: str) -> str:
    return results(await talk.turn(text))[-1]


def number(server: Server, query: str) -> int:
    with closing(sqlite3.connect(server.data_dir / "wharfkeep.db", timeout=SECONDS)) as database:
        return database.execute(query).fetchone()[0]


async def reach(server: Server, query: str, wanted: int) -> None:
    with anyio.fail_after(SECONDS):
        while number(server, query) != wanted:  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.02)


def archives(server: Server) -> list[Path]:
    return sorted((server.data_dir / "blobs/archives").glob("*/*"))


def layers(server: Server) -> list[str]:
    return [place.name for place in server.data_dir.parent.glob("**/sandboxes/layers/*")]


@requirement("environments:sandbox:checkpoint")
async def test_an_idle_session_costs_a_row_and_an_archive_and_comes_back(
    start: Callable[..., Server],
):
    with start() as server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            await ask(talk, "write")
            await reach(server, _ARCHIVED, 1)
            assert layers(server) == []
            assert len(archives(server)) == 1
            answer = await ask(talk, "read")
            assert answer.startswith("1 kept")
            assert RESTARTED in answer


async def test_the_archive_of_a_session_is_found_after_a_restart_of_the_gateway(
    start: Callable[..., Server],
):
    with start(WHARFKEEP_SANDBOX__ARCHIVE_SECONDS=3600) as server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            await ask(talk, "write")
            await reach(server, "SELECT count(*) FROM sandboxes WHERE idle_at IS NOT NULL", 1)
        server.stop()
    with start() as server:
        await reach(server, _ARCHIVED, 1)
        async with server.client() as client:
            answer = await ask(Conversation(client, talk.id), "read")
    assert answer.startswith("1 kept")


async def test_the_files_of_a_session_are_brought_again_when_it_comes_back(
    start: Callable[..., Server],
):
    with start() as server:
        async with server.client() as client:
            file = await client.files.upload(file=("data.csv", b"a,b"))
            resource: Any = {"type": "file", "file_id": file.id, "mount_path": "data.csv"}
            talk = await Conversation.begin(client, resources=[resource])
            for _ in range(2):
                assert (await ask(talk, "upload")).startswith("a,b")
                await reach(server, _ARCHIVED, 1)
                assert [*server.data_dir.parent.glob("**/sandboxes/uploads/*")] == []


async def test_a_frozen_sandbox_goes_on_with_its_processes(start: Callable[..., Server]):
    with start(WHARFKEEP_SANDBOX__IDLE_SECONDS=3600) as server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            await ask(talk, "go")
            assert await ask(talk, "where") == "/tmp blue 1"


async def test_a_sandbox_in_which_nothing_ran_comes_back_without_a_word(
    start: Callable[..., Server],
):
    with start(WHARFKEEP_SANDBOX__ARCHIVE_SECONDS=3600) as server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            for _ in range(2):
                assert RESTARTED not in await ask(talk, "look")
                await reach(server, "SELECT count(*) FROM sandboxes WHERE lost = 0", 1)


async def test_a_damaged_archive_gives_a_new_sandbox_and_says_so(start: Callable[..., Server]):
    with start() as server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            await ask(talk, "write")
            await reach(server, _ARCHIVED, 1)
            (archive,) = archives(server)
            data = bytearray(archive.read_bytes())
            data[len(data) // 2] ^= 1
            archive.unlink()
            archive.write_bytes(data)
            answer = await ask(talk, "read")
            assert answer.startswith(LOST)
            await reach(server, _ARCHIVED, 1)
            assert LOST not in await ask(talk, "read")


@requirement("environments:sandbox:fresh")
async def test_after_its_time_a_session_goes_on_in_a_new_sandbox(start: Callable[..., Server]):
    with start(WHARFKEEP_SANDBOX__EXPIRE_DAYS=1e-9) as server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            await ask(talk, "write")
            await reach(server, "SELECT count(*) FROM sandboxes", 0)
            with anyio.fail_after(SECONDS):
                while archives(server) or layers(server):  # noqa: ASYNC110 - as above
                    await anyio.sleep(0.02)
            assert "kept" not in await ask(talk, "read")


async def test_a_deleted_session_leaves_no_archive(start: Callable[..., Server]):
    with start() as server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            await ask(talk, "write")
            await reach(server, _ARCHIVED, 1)
            await client.beta.sessions.delete(talk.id)
        assert archives(server) == []
        assert number(server, "SELECT count(*) FROM archives") == 0


async def test_nothing_of_the_gateway_is_in_an_archive(start: Callable[..., Server]):
    with start() as server:
        async with server.client() as client:
            talk = await Conversation.begin(client)
            await ask(talk, "write")
            await reach(server, _ARCHIVED, 1)
        (archive,) = archives(server)
        data = archive.read_bytes()
        assert b"kept\n" in data
        for secret in (_CANARY.encode(), b"wk-0000", b"toolservers", bytes(server.data_dir)):
            assert secret not in data


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(2))
async def test_a_gateway_killed_at_any_moment_of_a_suspend_or_resume_loses_no_file(
    start: Callable[..., Server], seed: int
):
    moments = random.Random(seed)
    session, lines = "", 0
    for _ in range(_KILLS):
        with start() as server:
            async with server.client() as client:
                if not session:
                    session = (await Conversation.begin(client)).id
                talk = Conversation(client, session)
                await talk.settle()
                answer = await ask(talk, "add")
                lines += 1
                assert int(answer.partition("[")[0]) == lines
                await anyio.sleep(moments.uniform(0, _LONGEST_LIFE))
                server.kill()
    with start() as server:
        await reach(server, _ARCHIVED, 1)
        assert layers(server) == []
        with anyio.fail_after(SECONDS):
            while len(archives(server)) > 2:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.02)
        for place in ("mounts", "staging"):
            assert [*server.data_dir.parent.glob(f"**/sandboxes/{place}/*")] == []
        assert [*(server.data_dir / "archives").iterdir()] == []
