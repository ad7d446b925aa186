"""Drivers on a directory of their own, and programs to run inside that are not ours."""

from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup

from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.contract import Unavailable
from tests.sandbox.places import data_directory


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
