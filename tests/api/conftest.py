"""One gateway for all tests of a process, and a fresh workspace for each test."""

from collections.abc import AsyncGenerator, Generator

import pytest
import structlog
from anthropic import Anthropic, AsyncAnthropic
from httpx2 import Client

from tests.gateway import Running, Tenant, serve


@pytest.fixture(scope="session", autouse=True)
def quiet() -> None:
    """Log lines are made and thrown away; a test that wants them captures them."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    with serve(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def tenant(gateway: Running) -> Tenant:
    return gateway.tenant()


@pytest.fixture
def client(tenant: Tenant) -> Generator[Anthropic]:
    with tenant.client() as client:
        yield client


@pytest.fixture
def admin(gateway: Running) -> Generator[Anthropic]:
    """Somebody with a key of the organization."""
    with gateway.administrator().client() as client:
        yield client


@pytest.fixture
async def async_client(tenant: Tenant) -> AsyncGenerator[AsyncAnthropic]:
    async with tenant.async_client() as client:
        yield client


@pytest.fixture
def raw(tenant: Tenant) -> Generator[Client]:
    with tenant.raw() as client:
        yield client


@pytest.fixture
def stranger(gateway: Running) -> Generator[Anthropic]:
    """Somebody in another workspace."""
    with gateway.tenant().client() as client:
        yield client
