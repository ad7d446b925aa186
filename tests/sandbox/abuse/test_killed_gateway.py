"""A gateway that is killed with many sandboxes up: the next one finds every file and nothing else."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from sandbox.contract import Driver, SandboxSpec
from tests.sandbox.abuse.catalogue import HERE
from tests.sandbox.places import environment
from tests.sandbox.watching import ended, held

pytestmark = pytest.mark.usefixtures("watchful")

MANY = {"bubblewrap": 50, "docker": 10}
"""Driver -> sandboxes; an engine needs seconds for each of its own."""
MAKE = {"bubblewrap": "make_bubblewrap", "docker": "make_docker"}
SECONDS = 150.0


@pytest.fixture(params=MANY)
def kind(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue(request.param)  # skips where nothing works
    return request.param


def engine_variables(kind: str, request: pytest.FixtureRequest) -> dict[str, str]:
    if kind != "docker":
        return {}
    engine: Any = request.getfixturevalue("container_engine")
    return {"DOCKER_HOST": engine.address, "IMAGE": engine.image}


def groups_of(pids: list[int]) -> set[Path]:
    """The control groups of processes, but for those that this process is in too."""
    ours = Path("/proc/self/cgroup").read_text().splitlines()
    found: set[Path] = set()
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # a short-lived one, gone by now
            for line in set(Path(f"/proc/{pid}/cgroup").read_text().splitlines()) - set(ours):
                _, controllers, path = line.split(":", 2)
                found.add(Path("/sys/fs/cgroup", controllers.removeprefix("name="), path[1:]))
    return {place for place in found if place.exists()}


def is_mounted(directory: Path) -> bool:
    """Whether this machine has a mount below a directory."""
    return str(directory) in Path("/proc/self/mountinfo").read_text()


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.probe(56)
async def test_a_killed_gateway_leaves_files_and_nothing_else(
    kind: str, data_dir: Path, request: pytest.FixtureRequest
):
    names = [f"s{number}" for number in range(MANY[kind])]
    make: Callable[[], Driver] = request.getfixturevalue(MAKE[kind])
    gateway = await anyio.open_process(
        [sys.executable, str(HERE.parent / "outpost.py"), "live", kind, str(data_dir), *names],
        env=environment(**engine_variables(kind, request)),
        stderr=subprocess.DEVNULL,
    )
    assert gateway.stdout is not None
    try:
        with anyio.fail_after(SECONDS):
            pids: list[int] = json.loads(await gateway.stdout.receive(1_000_000))
        processes, groups = held(pids), groups_of(pids)
        assert len(processes) >= 2 * len(names)  # the first of each, and the one that detached
    finally:
        gateway.send_signal(signal.SIGKILL)
        await gateway.aclose()
    driver = make()
    with anyio.fail_after(SECONDS):
        assert sorted(await driver.reap(frozenset({"s3"}))) == sorted(set(names) - {"s3"})
    assert await ended(processes)
    assert [place for place in groups if place.exists()] == []
    root = data_dir / "sandboxes"
    assert [place.name for place in (root / "layers").iterdir()] == ["s3"]
    for name in ("sockets", "uploads", "trash"):
        assert [*(root / name).iterdir()] == []
    assert not is_mounted(data_dir)
    other = await driver.create(SandboxSpec(id="new"))
    adopted = await driver.adopt("s3", SandboxSpec(id="s3"))
    assert await adopted.pull("/workspace/file", max_bytes=10) == b"s3"
    uids = {place.stat().st_uid for place in (root / "layers").iterdir()}
    assert len(uids) == (2 if (await driver.probe()).own_uid else 1)
    await other.destroy()
