"""Files from end to end: up, into a sandbox, out of it, down; and what a large one costs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from anthropic import Anthropic, AsyncAnthropic, NotFoundError

from tests.e2e import script, serving
from tests.e2e.conversation import Conversation, of, results
from tests.e2e.script import bash, step, turn
from tests.e2e.serving import Server
from tests.ledger.requirement import requirement

SIZE = 500_000_000
GROWTH = 60_000_000
"""Bytes that memory may grow by while such a file passes through."""

_LOOK = "cat /mnt/session/uploads/data.csv; echo more > /mnt/session/uploads/data.csv; ls -l /mnt/session/uploads"

_OUT = "/mnt/session/outputs"
_MAKE = f"mkdir {_OUT}/deep; echo one > {_OUT}/deep/report.txt; ln -s /etc/passwd {_OUT}/link"
_REVISE = f"echo two > {_OUT}/deep/report.txt"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving.place() as folder:
        path = script.write(
            folder,
            turn("look", step("I look.", bash(_LOOK)), "Seen."),
            turn("make", step("I write.", bash(_MAKE)), "Made."),
            turn("revise", step("I write again.", bash(_REVISE)), "Made again."),
            turn("again", step("I look.", bash("cat /mnt/session/uploads/new/b.txt")), "Seen."),
        )
        with Server(
            folder / "data",
            WHARFKEEP_MODELS__SCRIPT=path,
            WHARFKEEP_FILES__DOWNLOAD_UPLOADS="true",
        ) as running:
            yield running


@requirement("files:session:mounted")
async def test_a_session_reads_its_files_and_those_added_while_it_runs(client: AsyncAnthropic):
    file = await client.files.upload(file=("data.csv", b"a,b\n1,2\n"))
    resource: Any = {"type": "file", "file_id": file.id, "mount_path": "data.csv"}
    talk = await Conversation.begin(client, resources=[resource])
    await talk.turn("look")
    (seen,) = results(await talk.log())
    assert "a,b\n1,2" in seen
    assert "Read-only file system" in seen
    later = await client.files.upload(file=("b.txt", b"came later"))
    await client.beta.sessions.resources.add(
        talk.id, type="file", file_id=later.id, mount_path="/new/b.txt"
    )
    await talk.turn("again")
    assert "came later" in results(await talk.log())[1]


async def test_what_a_session_puts_out_is_a_file_when_its_turn_ends(client: AsyncAnthropic):
    talk = await Conversation.begin(client)
    await talk.turn("make")
    (made,) = [file async for file in client.beta.files.list(scope_id=talk.id)]
    assert (made.filename, made.downloadable) == ("report.txt", True)
    assert made.scope is not None
    assert (made.scope.type, made.scope.id) == ("session", talk.id)
    assert (await (await client.beta.files.download(made.id)).read()) == b"one\n"
    await talk.turn("revise")
    (revised,) = [file async for file in client.beta.files.list(scope_id=talk.id)]
    assert revised.id != made.id
    assert (await (await client.beta.files.download(revised.id)).read()) == b"two\n"
    await client.beta.sessions.delete(talk.id)
    with pytest.raises(NotFoundError):
        await client.beta.files.retrieve_metadata(revised.id)


async def test_a_file_that_is_gone_is_told_to_the_client_and_the_model(client: AsyncAnthropic):
    file = await client.files.upload(file=("data.csv", b"a,b"))
    resource: Any = {"type": "file", "file_id": file.id, "mount_path": "data.csv"}
    talk = await Conversation.begin(client, resources=[resource])
    (copy,) = (await talk.state()).resources
    await client.files.delete(copy.file_id)
    shown = await talk.turn("look")
    (error,) = of(shown, "session.error")
    assert error.error.type == "unknown_error"
    assert "data.csv" in error.error.message
    assert error.error.message in results(shown)[0]


@requirement("files:upload:stream")
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_half_a_gigabyte_passes_through_without_growing_memory(server: Server, tmp_path: Path):
    source = tmp_path / "zeros.bin"
    with source.open("wb") as file:
        file.truncate(SIZE)
    process = psutil.Process(server.process.pid)
    with Anthropic(base_url=server.url, api_key=serving.KEY, timeout=150, max_retries=0) as client:
        client.files.upload(file=("small.bin", b"x"))
        before = process.memory_info().rss
        made = client.files.upload(file=source)
        assert (made.size_bytes, made.filename) == (SIZE, "zeros.bin")
        grown = process.memory_info().rss - before
        with client.files.with_streaming_response.download(made.id) as answer:
            received = sum(map(len, answer.iter_bytes()))
        assert received == SIZE
        grown = max(grown, process.memory_info().rss - before)
        client.files.delete(made.id)
    assert grown < GROWTH
