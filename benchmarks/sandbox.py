"""What a sandbox costs, against ``bwrap true`` in the same run.

    python -m benchmarks.sandbox [--driver docker] [--runs 20] [--json]

Cold is from nothing to the first result of a tool call; the floor is the same program starting
``true`` in the same namespaces, with no limits, no filter, no layer and no tool server. Memory is
the proportional share of everything that runs for one idle sandbox. For the docker driver see
`benchmarks.containers`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
import psutil
from anyio.abc import TaskGroup

from benchmarks import containers
from gateway.tools.server import ToolServer
from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.bundle import bundle
from sandbox.contract import Sandbox, SandboxSpec

PYTHON = Path("/usr/bin/python3")
META = {"wharfkeep/thread": "bench"}
WARM_CALLS = 200
FLOOR = [
    *("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
    *("--tmpfs", "/tmp"),
]


def _floor(runs: int) -> list[float]:
    times: list[float] = []
    for _ in range(runs):
        begin = time.monotonic()
        subprocess.run([*FLOOR, "true"], check=True)
        times.append(1000 * (time.monotonic() - begin))
    return times


class Bench:
    """Sandboxes of one driver, one after the other."""

    def __init__(self, driver: BubblewrapDriver, tasks: TaskGroup) -> None:
        self._driver = driver
        self._tasks = tasks
        self.created: list[float] = []
        self.first: list[float] = []
        self.warm: list[float] = []
        self.memory: list[float] = []

    async def run(self, number: int) -> None:
        begin = time.monotonic()
        sandbox = await self._driver.create(SandboxSpec(id=f"bench-{number}"))
        self.created.append(1000 * (time.monotonic() - begin))
        await sandbox.claim(env={})
        server = ToolServer(await sandbox.open("tools"))
        self._tasks.start_soon(server.listen)
        await server.call("bash", {"command": "true"}, META)
        self.first.append(1000 * (time.monotonic() - begin))
        if number == 0:
            await self._call(server)
        self.memory.append(_memory(sandbox))
        await sandbox.destroy()

    async def _call(self, server: ToolServer) -> None:
        for _ in range(WARM_CALLS):
            begin = time.monotonic()
            await server.call("bash", {"command": "true"}, META)
            self.warm.append(1000 * (time.monotonic() - begin))


def _memory(sandbox: Sandbox) -> float:
    """MiB, proportional, of the processes that name this sandbox's directory or descend from it."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            total += process.memory_full_info().pss / 2**20
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    assert sandbox.alive
    return total


async def _measure(directory: Path, runs: int) -> dict[str, Any]:
    async with anyio.create_task_group() as tasks:
        program = bundle(PYTHON, directory)
        driver = BubblewrapDriver(tasks, Settings(data_dir=directory / "data", program=program))
        await driver.probe()
        bench = Bench(driver, tasks)
        floor: list[float] = []
        for number in range(runs):
            # In turns, so that a noisy moment hits both.
            floor += _floor(1)
            await bench.run(number)
        await driver.aclose()
        tasks.cancel_scope.cancel()
        return _figures(floor, bench)
    raise AssertionError("a task group that swallows its own end")


def _figures(floor: list[float], bench: Bench) -> dict[str, Any]:
    base = statistics.median(floor)
    return {
        "bwrap_true": round(base, 2),
        "cold_create": round(statistics.median(bench.created), 2),
        "cold_create_ratio": round(statistics.median(bench.created) / base, 2),
        "cold_first_result": round(statistics.median(bench.first), 2),
        "cold_first_result_ratio": round(statistics.median(bench.first) / base, 2),
        "warm_call": round(statistics.median(bench.warm), 3),
        "memory_mib": round(statistics.median(bench.memory), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--driver", choices=["bubblewrap", "docker"], default="bubblewrap")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.driver == "docker":
        figures = containers.measure(options.runs)
        print(json.dumps(figures)) if options.json else containers.show(figures)
        return
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        figures = anyio.run(_measure, Path(directory), options.runs)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    print("milliseconds, medians; ratios against `bwrap true`")
    print(f"bwrap true            {figures['bwrap_true']:8.2f}")
    print(f"cold, ready           {figures['cold_create']:8.2f}  {figures['cold_create_ratio']}x")
    print(
        f"cold, first result    {figures['cold_first_result']:8.2f}  "
        f"{figures['cold_first_result_ratio']}x"
    )
    print(f"warm call             {figures['warm_call']:8.3f}")
    print(f"memory, idle          {figures['memory_mib']:8.1f} MiB")


if __name__ == "__main__":
    main()
