from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toolservers.peer import Server


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder.resolve()


@pytest.fixture
def server(workdir: Path) -> Iterator[Server]:
    with Server(workdir) as server:
        yield server
