"""A model server for every test that wants one."""

from collections.abc import Iterator

import pytest

from tests.model.endpoint import Endpoint, serve


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve(Endpoint) as running:
        yield running
