"""Drivers on a directory of their own, and programs to run inside that are not ours."""

import os
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup

from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.contract import Driver, Limits, Sandbox, SandboxSpec, Unavailable
from sandbox.docker.driver import DockerDriver
from sandbox.docker.driver import Settings as DockerSettings
from tests.sandbox.abuse import hostile
from tests.sandbox.engine import NoEngine, RealEngine, engine
from tests.sandbox.places import data_directory
from tests.sandbox.watching import Tools, tools

DRIVERS = ["bubblewrap", "docker"]
"""Each is the name of a fixture that gives a driver that works, or skips."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def data_dir() -> Generator[Path]:
    with data_directory() as directory:
        yield directory


@pytest.fixture
async def tasks() -> AsyncGenerator[TaskGroup]:
    async with anyio.create_task_group() as group:
        yield group


@pytest.fixture
async def make_bubblewrap(
    tasks: TaskGroup, data_dir: Path
) -> AsyncGenerator[Callable[..., BubblewrapDriver]]:
    """Make drivers on the test's data directory; they are closed after it."""
    made: list[BubblewrapDriver] = []

    def make(**settings: object) -> BubblewrapDriver:
        chosen = {"data_dir": data_dir, **settings}
        made.append(BubblewrapDriver(tasks, Settings(**chosen)))  # pyright: ignore[reportArgumentType] - tests name what they change
        return made[-1]

    yield make
    for driver in made:
        await driver.aclose()


@pytest.fixture
async def bubblewrap(make_bubblewrap: Callable[..., BubblewrapDriver]) -> BubblewrapDriver:
    """A driver that works; the test is skipped where this machine cannot have one."""
    driver = make_bubblewrap()
    try:
        await driver.reap()
    except Unavailable as reason:
        pytest.skip(str(reason))
    return driver


@pytest.fixture(scope="session")
def container_engine() -> Generator[RealEngine]:
    """A container engine of this test run; tests are skipped where there can be none."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(engine())
        except NoEngine as reason:
            pytest.skip(str(reason))
        yield found


@pytest.fixture
async def make_docker(
    tasks: TaskGroup, data_dir: Path, container_engine: RealEngine
) -> AsyncGenerator[Callable[..., DockerDriver]]:
    """Make drivers on the test's data directory and the engine; they are closed after it."""
    made: list[DockerDriver] = []

    def make(**settings: object) -> DockerDriver:
        chosen = {
            "data_dir": data_dir,
            "address": container_engine.address,
            "image": container_engine.image,
            "idle": 0,
            "runtime": "runc",
            **settings,
        }
        made.append(DockerDriver(tasks, DockerSettings(**chosen)))  # pyright: ignore[reportArgumentType] - tests name what they change
        return made[-1]

    yield make
    for driver in made:
        await driver.aclose()


@pytest.fixture
async def docker(make_docker: Callable[..., DockerDriver]) -> DockerDriver:
    """A driver that works."""
    return make_docker()


@pytest.fixture
def run_inside(
    make_bubblewrap: Callable[..., BubblewrapDriver], bubblewrap: BubblewrapDriver, data_dir: Path
) -> Callable[..., BubblewrapDriver]:
    """Make a driver whose sandboxes run a hostile program."""
    del bubblewrap  # asked for, so that the test is skipped where nothing works

    def make(program: str, **settings: object) -> BubblewrapDriver:
        file = hostile.pack(program, data_dir / "program.pyz")
        return make_bubblewrap(program=file, **settings)

    return make


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each driver in turn; a sandbox of it is reached through the contract alone."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def limits() -> Limits:
    """Those of `sandbox`; modules have their own."""
    return Limits()


@pytest.fixture
async def sandbox(driver: Driver, limits: Limits) -> Sandbox:
    """A sandbox that has just been made and claimed."""
    made = await driver.create(SandboxSpec(id="one", limits=limits))
    await made.claim(env={})
    return made


@pytest.fixture
async def neighbour(driver: Driver) -> AsyncGenerator[Tools]:
    """The tools of another sandbox; whatever happened, they work at the end."""
    made = await driver.create(SandboxSpec(id="neighbour"))
    await made.claim(env={})
    async with tools(made) as inside:
        yield inside
        assert await inside.bash("echo well") == ("well", False)


@pytest.fixture
def watchful(request: pytest.FixtureRequest) -> None:
    """For tests of what the gateway does to the processes inside, which it then has to see."""
    if os.geteuid() != 0 and "docker" in request.node.name:
        pytest.skip("an ordinary user cannot look at the processes of containers")
