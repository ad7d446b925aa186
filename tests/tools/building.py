"""A builder that works, with a registry of its own: everything real but the packages."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from gateway.clock import SystemClock
from gateway.registries import Registries, Registry, Tools
from gateway.settings import Egress, Packages
from gateway.store.records import BuildRow
from gateway.store.store import Store, open_store
from gateway.tools.attempt import Hall, Roots
from gateway.tools.build import Builder, Built
from gateway.tools.egress import Network
from gateway.tools.recipe import System
from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.contract import Limits, SandboxSpec
from sandbox.layer import usable_root

SECONDS = 50.0
"""The longest a test waits for anything."""
HOST = "registry.test"
"""What this machine's loopback is called inside: programs pass by the proxy for what they know."""
SYSTEM = System(name="test", programs=frozenset({"python3"}))


class NoRoots:
    """No Debian root can be made, for a reason that no machine has."""

    def probe(self) -> str | None:
        return "there is no oven"

    async def make(self, destination: Path, **_options: Any) -> None:
        raise AssertionError(destination)


@dataclass(frozen=True, slots=True)
class Bench:
    """A builder and what it works with."""

    builder: Builder
    driver: BubblewrapDriver
    store: Store
    network: Network
    images: Path

    async def run(self, built: Built, *argv: str) -> str:
        """What a program prints in a sandbox that shows what was built."""
        spec = SandboxSpec(
            id="reader", root=built.root, mounts=(*built.mounts, *self.network.mounts())
        )
        sandbox = await self.driver.create(spec)
        try:
            await sandbox.claim(env=built.env)
            argv = ("/bin/sh", "-c", 'exec "$@" 2>&1', "sh", *argv)
            channel = await sandbox.open("spawn", argv=argv)
            data = b""
            with anyio.fail_after(SECONDS):
                while chunk := await channel.receive():
                    data += chunk
            await channel.aclose()
            return data.decode().strip()
        finally:
            await sandbox.destroy()

    async def ended(self, packages: dict[str, Any]) -> BuildRow:
        """The build's row, once it is over."""
        with anyio.fail_after(SECONDS):
            while True:
                row, _ = await self.builder.state(packages, after=0, limit=0)
                assert row is not None
                if row.status in ("ready", "failed"):
                    return row
                await anyio.sleep(0.02)

    async def log(self, packages: dict[str, Any]) -> list[str]:
        """Every line that was kept."""
        _, lines = await self.builder.state(packages, after=0, limit=10_000)
        return [line.text for line in lines]


@asynccontextmanager
async def bench(
    data_dir: Path, index: str, roots: Roots | None = None, **settings: Any
) -> AsyncGenerator[Bench]:
    """A builder on `data_dir` whose pip uses the registry at `index`."""

    async def ask(_tools: Tools) -> Registry:
        env = {"PIP_INDEX_URL": index, "PIP_TRUSTED_HOST": HOST, "PIP_RETRIES": "0"}
        return Registry(frozenset({index}), env)

    limits = settings.pop("limits", Limits())
    registries = Registries(managers={"pip": ask})
    root = usable_root(data_dir)
    network = Network(
        Egress(allowed_private_hosts=["package-registries"]),
        registries,
        directory=root / "network",
        look_up=lambda _name: ["127.0.0.1"],
    )
    store = await open_store("", data_dir, clock=SystemClock())
    try:
        async with (
            anyio.create_task_group() as tasks,
            network.running(),
            _driver(tasks, data_dir) as driver,
        ):
            hall = Hall(
                driver=driver,
                network=network,
                registries=registries,
                builds=store.builds,
                clock=SystemClock(),
                system=SYSTEM,
                limits=limits,
                host="here",
                directory=root / "images",
                roots=roots or NoRoots(),
            )
            chosen = {"wait_seconds": SECONDS, "build_seconds": SECONDS, **settings}
            builder = Builder(hall, Packages.model_validate(chosen))
            async with builder.running():
                yield Bench(builder, driver, store, network, hall.directory)
            tasks.cancel_scope.cancel()
    finally:
        await store.aclose()


@asynccontextmanager
async def _driver(tasks: TaskGroup, data_dir: Path) -> AsyncGenerator[BubblewrapDriver]:
    driver = BubblewrapDriver(tasks, Settings(data_dir=data_dir))
    try:
        await driver.reap()
        yield driver
    finally:
        with anyio.CancelScope(shield=True):
            await driver.aclose()
