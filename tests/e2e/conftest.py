"""What every end-to-end suite stands on."""

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
from anthropic import AsyncAnthropic

from tests.e2e import serving
from tests.e2e.serving import Server
from tests.house.tree import ROOT

_TAIL = 4000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty directory for one test's servers."""
    with serving.place() as folder:
        yield folder


@pytest.fixture(scope="session")
def quickstart() -> Iterator[Server]:
    """A server whose model knows the quickstart's task."""
    script = ROOT / "gateway/model/scripts/primes.toml"
    with (
        serving.place() as folder,
        Server(folder / "data", WHARFKEEP_MODELS__SCRIPT=script) as server,
    ):
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncAnthropic]:
    """The SDK, talking to the suite's own `server`."""
    async with server.client() as opened:
        yield opened


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what the servers logged."""
    report = yield
    if report.failed:
        for server in serving.RUNNING:
            report.sections.append((f"log of {server.data_dir}", server.log[-_TAIL:]))
    return report
