"""A proxy, its door, and an authority for certificates."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from anyio.abc import TaskGroup

from tests.sandbox.outside import (
    Authority,
    Proxy,
    Web,
    make_proxy,
    open_door,
    web,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as server:
        yield server


@pytest.fixture
async def proxy(tasks: TaskGroup, authority: Authority) -> AsyncGenerator[Proxy]:
    made = make_proxy(tasks, tls=authority.client())
    yield made
    await made.egress.aclose()


@pytest.fixture
async def door(proxy: Proxy, tmp_path: Path) -> Path:
    return await open_door(proxy, tmp_path)
