"""Many sandboxes at once: how long until all work, and what each costs while it rests.

    python -m benchmarks.crowd [--count 200] [--json]

All are asked for in the same moment, and then run a shell call each. The floor is a shell that
starts as many ``bwrap`` with ``true`` in the background, and waits. Memory is the proportional
share of each ``bwrap`` and what runs in it, when all are idle.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
import psutil
from anyio.abc import TaskGroup

from benchmarks.sandbox import FLOOR, META, PYTHON
from gateway.tools.server import ToolServer
from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.bundle import bundle
from sandbox.contract import Sandbox, SandboxSpec

_START_SECONDS = 300.0


async def _floor(count: int) -> float:
    """Seconds until the last has ended."""
    begin = time.monotonic()
    loop = f"for i in $(seq {count}); do {' '.join(FLOOR)} true & done; wait"
    await anyio.run_process(["sh", "-c", loop])
    return time.monotonic() - begin


class Crowd:
    """Sandboxes of one driver, all at once."""

    def __init__(self, driver: BubblewrapDriver, tasks: TaskGroup) -> None:
        self._driver = driver
        self._tasks = tasks
        self._sandboxes: list[Sandbox] = []
        self._servers: list[ToolServer] = []

    async def start(self, count: int) -> float:
        """Seconds until the last is ready."""
        begin = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(self._start, f"crowd-{number}")
        return time.monotonic() - begin

    async def work(self) -> float:
        """Seconds until each has answered a shell call."""
        begin = time.monotonic()
        async with anyio.create_task_group() as tasks:
            for sandbox in self._sandboxes:
                tasks.start_soon(self._work, sandbox)
        return time.monotonic() - begin

    def memory(self) -> float:
        """MiB of one idle sandbox, a shell included."""
        found: dict[int, psutil.Process] = {}
        for child in psutil.Process().children(recursive=True):
            if child.name() == "bwrap":
                found |= {each.pid: each for each in (child, *child.children(recursive=True))}
        total = sum(process.memory_full_info().pss for process in found.values())
        return total / len(self._sandboxes) / 2**20

    async def end(self) -> float:
        """Seconds until nothing of them is left."""
        begin = time.monotonic()
        for server in self._servers:
            await server.aclose()
        async with anyio.create_task_group() as tasks:
            for sandbox in self._sandboxes:
                tasks.start_soon(sandbox.destroy)
        return time.monotonic() - begin

    async def _start(self, name: str) -> None:
        sandbox = await self._driver.create(SandboxSpec(id=name))
        await sandbox.claim(env={})
        self._sandboxes.append(sandbox)

    async def _work(self, sandbox: Sandbox) -> None:
        server = ToolServer(await sandbox.open("tools"))
        self._servers.append(server)
        self._tasks.start_soon(server.listen)
        await server.call("bash", {"command": "true"}, META)


async def _measure(directory: Path, count: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"count": count}
    async with anyio.create_task_group() as tasks:
        settings = Settings(
            data_dir=directory / "data",
            program=bundle(PYTHON, directory),
            start_seconds=_START_SECONDS,
            call_seconds=_START_SECONDS,
        )
        driver = BubblewrapDriver(tasks, settings)
        await driver.probe()
        floor = await _floor(count)
        crowd = Crowd(driver, tasks)
        ready = await crowd.start(count)
        answered = await crowd.work()
        figures |= {
            "floor": round(floor, 2),
            "ready": round(ready, 2),
            "ready_each_ms": round(1000 * ready / count, 1),
            "ready_ratio": round(ready / floor, 1),
            "answered": round(answered, 2),
            "memory_mib": round(crowd.memory(), 1),
            "ended": round(await crowd.end(), 2),
        }
        await driver.aclose()
        tasks.cancel_scope.cancel()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        figures = anyio.run(_measure, Path(directory), options.count)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    print(f"{options.count} at once, seconds until the last; ratio against `bwrap true`")
    print(f"bwrap true            {figures['floor']:8.2f}")
    print(f"ready                 {figures['ready']:8.2f}  {figures['ready_ratio']}x")
    print(f"  each                {figures['ready_each_ms']:8.1f} ms")
    print(f"a shell call in each  {figures['answered']:8.2f}")
    print(f"ended                 {figures['ended']:8.2f}")
    print(f"memory of each, idle  {figures['memory_mib']:8.1f} MiB")


if __name__ == "__main__":
    main()
