"""What a sandbox of the docker driver costs, against the engine's own SDK in the same run.

    python -m benchmarks.sandbox --driver docker [--runs 20] [--json]

The engine is one of its own, as for the tests. The floor of a cold start is what anyone does who
uses containers directly: create, start, and the first command with exec; the floor of a claim is
one more exec in a container that runs already.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from gateway.tools.server import ToolServer
from sandbox.contract import Sandbox, SandboxSpec
from sandbox.docker.driver import DockerDriver, Settings
from tests.sandbox.engine import RealEngine, engine

META = {"wharfkeep/thread": "bench"}
TITLES = {
    "sdk_cold": "SDK: create, start, exec",
    "cold_create": "cold, ready",
    "cold_first_result": "cold, first result",
    "sdk_exec": "SDK: exec in a running one",
    "warm_claim": "claim of one started ahead",
    "warm_first_result": "claim and first result",
}
FLOORS = {
    "cold_create": "sdk_cold",
    "cold_first_result": "sdk_cold",
    "warm_claim": "sdk_exec",
    "warm_first_result": "sdk_exec",
}


class Bench:
    """Both ways in turns, so that a noisy moment hits both."""

    def __init__(self, real: RealEngine, directory: Path, tasks: TaskGroup) -> None:
        from docker import APIClient

        self.times: dict[str, list[float]] = {name: [] for name in TITLES}
        self._real = real
        self._tasks = tasks
        self._client: Any = APIClient(base_url=real.address, version="auto")
        self._cold = self._driver(directory / "cold", idle=0)
        self._warm = self._driver(directory / "warm", idle=1)

    async def run(self, number: int) -> None:
        container = await anyio.to_thread.run_sync(self._floor)
        await anyio.to_thread.run_sync(lambda: self._client.remove_container(container, force=True))
        await self._start(self._cold, number, "cold_create", "cold_first_result")
        await self._start(self._warm, number, "warm_claim", "warm_first_result")
        await self._warm.wait_warm()

    async def begin(self) -> None:
        """Prepare both drivers, and start the first one ahead."""
        await self._cold.probe()
        for name in ("first", "second"):
            await (await self._warm.create(SandboxSpec(id=name))).destroy()
        await self._warm.wait_warm()

    async def aclose(self) -> None:
        await self._cold.aclose()
        await self._warm.aclose()
        self._client.close()

    def _driver(self, directory: Path, *, idle: int) -> DockerDriver:
        directory.mkdir(mode=0o711)
        settings = Settings(
            data_dir=directory,
            address=self._real.address,
            image=self._real.image,
            runtime="runc",
            idle=idle,
        )
        return DockerDriver(self._tasks, settings)

    def _floor(self) -> str:
        begin = time.monotonic()
        made = self._client.create_container(
            self._real.image,
            ["sleep", "1000"],
            host_config=self._client.create_host_config(network_mode="none"),
        )
        self._client.start(made["Id"])
        self._exec(made["Id"])
        self._note("sdk_cold", begin)
        begin = time.monotonic()
        self._exec(made["Id"])
        self._note("sdk_exec", begin)
        return made["Id"]

    def _exec(self, container: str) -> None:
        self._client.exec_start(self._client.exec_create(container, ["true"])["Id"])

    async def _start(self, driver: DockerDriver, number: int, ready: str, result: str) -> None:
        begin = time.monotonic()
        sandbox: Sandbox = await driver.create(SandboxSpec(id=f"bench-{number}"))
        await sandbox.claim(env={})
        self._note(ready, begin)
        server = ToolServer(await sandbox.open("tools"))
        self._tasks.start_soon(server.listen)
        await server.call("bash", {"command": "true"}, META)
        self._note(result, begin)
        await sandbox.destroy()

    def _note(self, name: str, begin: float) -> None:
        self.times[name].append(1000 * (time.monotonic() - begin))


def measure(runs: int) -> dict[str, float]:
    """Medians in milliseconds, and a ratio for each that has a floor."""
    with engine() as real, tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        times = anyio.run(_measure, real, Path(directory), runs)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {f"{name}_ratio": medians[name] / medians[floor] for name, floor in FLOORS.items()}
    return {name: round(value, 2) for name, value in {**medians, **ratios}.items()}


def show(figures: dict[str, float], say: Callable[[str], object] = print) -> None:
    """Write the table."""
    say("milliseconds, medians; ratios against the SDK doing the same")
    for name, title in TITLES.items():
        ratio = f"  {figures[f'{name}_ratio']}x" if name in FLOORS else ""
        say(f"{title:28} {figures[name]:8.2f}{ratio}")


async def _measure(real: RealEngine, directory: Path, runs: int) -> dict[str, list[float]]:
    async with anyio.create_task_group() as tasks:
        bench = Bench(real, directory, tasks)
        await bench.begin()
        for number in range(runs):
            await bench.run(number)
        await bench.aclose()
        tasks.cancel_scope.cancel()
        return bench.times
    raise AssertionError("a task group that swallows its own end")
