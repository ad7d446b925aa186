"""The ladder: what rests goes down, what is needed stays up, and nothing is lost on the way."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest
from structlog.testing import capture_logs

from gateway.clock import Clock, SystemClock
from gateway.errors import Internal
from gateway.settings import SandboxSettings
from gateway.store.blobs import DiskBlobs, Stored
from gateway.store.records import SandboxRow
from gateway.store.store import Store, open_store
from gateway.tools import attic
from gateway.tools.attic import Attic, Terms
from gateway.tools.connect import Connections
from gateway.tools.notice import Notice
from gateway.tools.outfit import Outfitter
from gateway.tools.park import Rungs
from gateway.tools.place import Place
from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.contract import Sandbox, SandboxSpec, Unavailable
from tests.ledger.requirement import requirement
from tests.sandbox.places import data_directory

DEADLINE = 60.0
NEVER = 10_000.0
SESSION = "sesn_1"
META = {"wharfkeep/thread": "main"}


class FarBlobs(DiskBlobs):
    """Stored bytes that are no files of this machine, in a place that may fail."""

    failing = False

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, max_bytes: int) -> Stored:
        if self.failing:
            raise Internal("the place does not answer")
        return await super().put(key, chunks, max_bytes=max_bytes)

    def path(self, key: str) -> Path | None:
        del key
        return None


class Calendar(SystemClock):
    """A clock that is put forward."""

    days = 0.0

    def now(self) -> int:
        return super().now() + int(self.days * 86_400 * 10**6)


class Bare(Outfitter):
    """Adds nothing to a sandbox, and needs no session to be in the store."""

    def __init__(self) -> None:
        pass

    async def prepare(self, place: Place) -> SandboxSpec:
        return SandboxSpec(id=place.owner)

    async def furnish(
        self, place: Place, sandbox: Sandbox
    ) -> tuple[Mapping[str, str], Sequence[Notice]]:
        del place, sandbox
        return {}, ()

    async def equip(self, place: Place, sandbox: Sandbox) -> Sequence[Notice]:
        del place, sandbox
        return ()

    async def collect(self, place: Place, sandbox: Sandbox) -> None:
        pass

    async def release(self, place: Place) -> None:
        pass


Build: TypeAlias = Callable[..., Awaitable["House"]]


@dataclass
class House:
    """A gateway's tools without the rest of it."""

    directory: Path
    store: Store
    blobs: FarBlobs
    connections: Connections

    async def bash(self, command: str) -> str:
        """What a command says, and on a line of its own what the model is told besides."""
        with anyio.fail_after(DEADLINE):
            async with self.connections.server(SESSION) as (server, _):
                answer = await server.call("bash", {"command": command}, META)
                said = answer["content"][0]["text"].strip()
                return "\n".join(filter(None, [said, self.connections.take_news(SESSION)]))

    async def rest(self) -> None:
        self.connections.park(SESSION)

    async def reach(self, condition: Callable[[SandboxRow], bool]) -> SandboxRow:
        """Wait until the sandbox's row is so."""
        with anyio.fail_after(DEADLINE):
            while True:
                row = await self.store.sandboxes.get(owner=SESSION)
                if row is not None and condition(row):
                    return row
                await anyio.sleep(0.02)
        raise AssertionError

    async def reach_archives(self, *counts: int) -> None:
        with anyio.fail_after(DEADLINE):
            while len(self.archives) not in counts:  # noqa: ASYNC110 - the disk has no event to wait for
                await anyio.sleep(0.02)

    async def reach_archive(self) -> SandboxRow:
        return await self.reach(lambda row: row.archived is not None and row.idle_at is None)

    @property
    def layers(self) -> list[str]:
        return [place.name for place in (self.directory / "sandboxes/layers").iterdir()]

    @property
    def archives(self) -> list[Path]:
        return sorted((self.directory / "blobs/archives").glob("*/*"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def directory() -> Generator[Path]:
    with data_directory() as made:
        made.chmod(0o711)
        yield made


@pytest.fixture
async def build(directory: Path) -> AsyncGenerator[Build]:
    """Make a house; the test is skipped where no sandbox can be made."""
    async with AsyncExitStack() as stack:

        async def make(
            *,
            freeze: float = 0,
            idle: float = 0,
            archive: float = 0,
            max_bytes: int = 2**30,
            clock: Clock | None = None,
        ) -> House:
            clock = clock or SystemClock()
            tasks = await stack.enter_async_context(anyio.create_task_group())
            driver = BubblewrapDriver(tasks, Settings(data_dir=directory))
            try:
                await driver.reap()
            except Unavailable as reason:
                pytest.skip(str(reason))
            store = await open_store("", directory, clock=clock)
            stack.push_async_callback(store.aclose)
            blobs = FarBlobs(directory / "blobs")
            terms = Terms(
                driver="bubblewrap",
                host="here",
                staging=directory / "archives",
                max_bytes=max_bytes,
                expire_days=SandboxSettings().expire_days,
            )
            connections = Connections(
                driver,
                Attic(driver, store, blobs, clock, terms),
                Bare(),
                clock,
                Rungs(freeze=freeze, idle=idle, archive=archive),
            )
            await stack.enter_async_context(connections.running())
            return House(directory, store, blobs, connections)

        yield make


@requirement("environments:sandbox:checkpoint")
async def test_what_rests_becomes_an_archive_and_comes_back(build: Build):
    house = await build()
    assert await house.bash("echo kept > file") == ""
    await house.rest()
    await house.reach_archive()
    assert house.layers == []
    assert await house.bash("cat file") == f"kept\n{attic.RESTARTED}"
    assert await house.bash("cat file") == "kept"


@requirement("environments:sandbox:days", "environments:sandbox:fresh")
async def test_thirty_days_after_it_was_made_a_sandbox_is_a_new_one_however_much_it_was_used(
    build: Build,
):
    calendar = Calendar()
    house = await build(clock=calendar)
    await house.bash("echo kept > file")
    for calendar.days in (10, 20, 29.9):
        await house.rest()
        await house.reach_archive()
        assert (await house.bash("cat file")).startswith("kept\n")
    await house.rest()
    await house.reach_archive()
    calendar.days = 30.1
    assert "No such file" in await house.bash("cat file")


async def test_a_session_at_work_keeps_its_processes_however_long_it_thinks(
    build: Build,
):
    house = await build(freeze=NEVER)
    await house.bash("cd /tmp")
    await house.rest()
    house.connections.wake(SESSION)
    await anyio.sleep(0.3)
    assert await house.bash("pwd") == "/tmp"


async def test_a_long_call_is_not_cut_short_by_the_rest_of_its_session(
    build: Build,
):
    house = await build()

    async def rest() -> None:
        for _ in range(5):
            await anyio.sleep(0.1)
            await house.rest()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rest)
        assert await house.bash("sleep 1; echo done") == "done"


async def test_two_generations_are_kept_and_the_older_one_helps(build: Build):
    house = await build()
    for number in range(3):
        await house.bash(f"echo {number} >> file")
        await house.rest()
        await house.reach_archive()
    await house.reach_archives(2)
    newest = house.archives[-1]
    newest.unlink()
    newest.write_bytes(b"something else")
    answer = await house.bash("cat file")
    assert answer.startswith("0\n1\n[The sandbox was restored as it was at ")


async def test_when_every_archive_is_gone_a_new_sandbox_says_so(build: Build):
    house = await build()
    await house.bash("echo kept > file")
    await house.rest()
    row = await house.reach_archive()
    for archive in house.archives:
        archive.unlink()
    assert attic.LOST in await house.bash("cat file || true")
    again = await house.reach(lambda found: found.generation == 2)
    assert again.created_at != row.created_at


async def test_what_is_too_large_stays_on_its_layer_and_is_tried_once(
    build: Build,
):
    house = await build(max_bytes=2**20)
    await house.bash("head -c 2000000 /dev/urandom > large; sha256sum large > sum")
    with capture_logs() as logs:
        await house.rest()
        await house.reach(lambda row: row.idle_at is not None)
        await anyio.sleep(1)
    refused = [entry for entry in logs if entry["event"] == "sandbox not put away"]
    assert len(refused) == 1
    assert "1048576" in refused[0]["error"]
    assert house.layers == [SESSION]
    assert house.archives == []
    assert "large: OK" in await house.bash("sha256sum -c sum")


async def test_while_archives_cannot_be_stored_the_layer_stays(build: Build):
    house = await build()
    house.blobs.failing = True
    await house.bash("echo kept > file")
    with capture_logs() as logs:
        await house.rest()
        with anyio.fail_after(DEADLINE):
            while not any(entry["event"] == "sandbox not put away" for entry in logs):  # noqa: ASYNC110 - as above
                await anyio.sleep(0.02)
    assert house.layers == [SESSION]
    assert [*(house.directory / "archives").iterdir()] == []
    house.blobs.failing = False
    assert (await house.bash("cat file")).startswith("kept")
    await house.rest()
    await house.reach_archive()
    assert len(house.archives) == 1


async def test_a_call_that_comes_while_it_is_archived_does_not_wait_for_that(
    build: Build,
):
    house = await build(max_bytes=2**33)
    await house.bash("mkdir d; for i in $(seq 300); do echo $i > d/$i; done; echo kept > file")
    for pause in (0.0, 0.1, 0.3):
        await house.rest()
        await house.reach(lambda row: row.idle_at is not None or row.archived is not None)
        await anyio.sleep(pause)
        answer = await house.bash("cat file; ls d | wc -l")
        assert answer.split("\n")[:2] == ["kept", "300"]
    await house.rest()
    await house.reach_archive()
    await house.reach_archives(1, 2)
