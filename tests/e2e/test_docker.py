"""A gateway whose sandboxes are containers, and sessions that find theirs started already."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anthropic import AsyncAnthropic

from tests.e2e import script, serving
from tests.e2e.conversation import Conversation, results
from tests.e2e.script import bash, step, turn
from tests.e2e.serving import Server
from tests.sandbox.engine import NoEngine, RealEngine, engine

SECONDS = 60.0

_LOOK = "cat /mnt/session/uploads/data.csv"


@pytest.fixture(scope="session")
def container_engine() -> Iterator[RealEngine]:
    try:
        with engine() as found:
            yield found
    except NoEngine as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def server(container_engine: RealEngine) -> Iterator[Server]:
    with serving.place() as folder:
        path = script.write(folder, turn("look", step("I look.", bash(_LOOK)), "Seen."))
        with Server(
            folder / "data",
            WHARFKEEP_MODELS__SCRIPT=path,
            WHARFKEEP_SANDBOX__DRIVER="docker",
            WHARFKEEP_SANDBOX__DOCKER__ADDRESS=container_engine.address,
            WHARFKEEP_SANDBOX__DOCKER__IMAGE=container_engine.image,
            WHARFKEEP_SANDBOX__DOCKER__RUNTIME="runc",
            WHARFKEEP_SANDBOX__DOCKER__IDLE="1",
        ) as running:
            yield running


async def look(client: AsyncAnthropic, content: bytes) -> tuple[str, str]:
    """Have a session with tools and a file of its own read that; its id, and what it saw."""
    file = await client.files.upload(file=("data.csv", content))
    talk = await Conversation.begin(
        client, resources=[{"type": "file", "file_id": file.id, "mount_path": "data.csv"}]
    )
    await talk.turn("look")
    (seen,) = results(await talk.log())
    return talk.id, seen


async def wait_warm(rooms: Path) -> int:
    """Wait for a sandbox that is nobody's; returns what its directory is on the disk."""
    while (warm := find_warm(rooms)) is None:  # noqa: ASYNC110 - the disk has no event to wait for
        await anyio.sleep(0.05)
    return warm


def find_warm(rooms: Path) -> int | None:
    for room in rooms.glob("warm-*"):
        return room.stat().st_ino
    return None


async def test_a_session_with_tools_and_files_claims_a_container_that_was_started_ahead(
    server: Server, client: AsyncAnthropic
):
    rooms = server.data_dir / "sandboxes/sockets"
    for content in (b"one", b"two"):  # the second time, its kind is worth keeping
        assert (await look(client, content))[1] == content.decode()
    with anyio.fail_after(SECONDS):
        while True:  # who asks before it has quite started, starts another
            warm = await wait_warm(rooms)
            session, seen = await look(client, b"three")
            assert seen == "three"
            if (rooms / session).stat().st_ino == warm:
                return
