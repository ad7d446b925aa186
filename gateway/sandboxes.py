"""Everything that makes and fills sandboxes, wired together: a part of the composition root."""

import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup

from gateway.clock import Clock
from gateway.config import Config
from gateway.errors import StartError
from gateway.registries import Registries, notes
from gateway.store.shelf import Shelf
from gateway.store.store import Store
from gateway.tools.attempt import Hall
from gateway.tools.attic import Attic, Terms
from gateway.tools.build import Builder
from gateway.tools.connect import Connections
from gateway.tools.egress import Network
from gateway.tools.limits import limits_of
from gateway.tools.outfit import Outfitter
from gateway.tools.outputs import Outputs
from gateway.tools.park import Rungs
from gateway.tools.reach import Reach
from gateway.tools.recipe import find_system
from gateway.tools.repository import Checkouts
from gateway.tools.search import engine
from gateway.tools.uploads import Uploads
from gateway.tools.usage import Usage
from gateway.tools.web import Web
from gateway.vault.seal import Seal
from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.bundle import bundle
from sandbox.contract import Capabilities, Driver, SandboxError, Unavailable
from sandbox.layer import usable_root

log = structlog.get_logger()

_PYTHON = Path("/usr/bin/python3")
"""What runs inside a sandbox; the driver finds another where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandboxes:
    """What the rest of the gateway needs of them."""

    capabilities: Capabilities
    connections: Connections
    web: Web
    uploads: Uploads
    builder: Builder


@asynccontextmanager
async def open_sandboxes(
    config: Config, store: Store, shelf: Shelf, clock: Clock, *, seal: Seal, driver: Driver | None
) -> AsyncGenerator[Sandboxes]:
    """Own this machine's sandboxes until the exit. `driver` is taken instead of the configured one.

    Raises:
        StartError: None can be made here; the message says what to do.
    """
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        driver, capabilities = await _open_driver(config, tasks, driver)
        place = await anyio.to_thread.run_sync(_find_place, config.data_dir)
        registries = Registries(notes=notes())
        checkouts = Checkouts(store, seal, seconds=config.sandbox.clone_seconds)
        use = Usage(store, clock).record
        network = Network(
            config.egress, registries, directory=place / "network", token=checkouts.token, use=use
        )
        await stack.enter_async_context(network.running())
        builder = _make_builder(
            config, store, clock, driver=driver, network=network, registries=registries, place=place
        )
        await stack.enter_async_context(builder.running())
        uploads = await anyio.to_thread.run_sync(
            Uploads, place / "incoming", store, shelf.blobs, clock
        )
        reach = Reach(engine(config.web), use)
        connections = Connections(
            driver,
            Attic(driver, store, shelf.blobs, clock, _terms(config, capabilities.driver)),
            Outfitter(
                store,
                config.sandbox,
                network=network,
                builder=builder,
                uploads=uploads,
                outputs=Outputs(store, shelf, clock),
                checkouts=checkouts,
                reach=reach,
                interpreter=_PYTHON,
                place=place,
            ),
            clock,
            _rungs(config),
        )
        await stack.enter_async_context(connections.running())
        yield Sandboxes(
            capabilities=capabilities,
            connections=connections,
            web=Web(connections, store.log, config.web, reach),
            uploads=uploads,
            builder=builder,
        )


async def _open_driver(
    config: Config, tasks: TaskGroup, given: Driver | None
) -> tuple[Driver, Capabilities]:
    """The sandbox driver, tried once."""
    try:
        if given is not None:
            return given, await given.probe()
        make = _make_docker if config.sandbox.driver == "docker" else _make_bubblewrap
        driver = make(
            config, tasks, await anyio.to_thread.run_sync(bundle, _PYTHON, config.data_dir)
        )
        return driver, await driver.probe()
    except (SandboxError, OSError) as error:
        raise StartError(f"no sandbox can be made here: {error}") from error


def _make_bubblewrap(config: Config, tasks: TaskGroup, program: Path) -> Driver:
    settings = config.sandbox
    first, last = settings.uid_range
    return BubblewrapDriver(
        tasks,
        Settings(
            data_dir=config.data_dir,
            program=program,
            python=_PYTHON,
            uids=range(first, last + 1),
            start_seconds=settings.start_seconds,
            keep_free=settings.keep_free,
        ),
    )


def _make_docker(config: Config, tasks: TaskGroup, program: Path) -> Driver:
    from sandbox.docker.driver import DockerDriver, Settings

    settings = config.sandbox
    first, last = settings.uid_range
    return DockerDriver(
        tasks,
        Settings(
            data_dir=config.data_dir,
            program=program,
            address=settings.docker.address,
            image=settings.docker.image,
            runtime=settings.docker.runtime,
            idle=settings.docker.idle,
            uids=range(first, last + 1),
            start_seconds=settings.start_seconds,
            keep_free=settings.keep_free,
        ),
        progress=lambda line: log.info("docker", line=line),
    )


def _find_place(data_dir: Path) -> Path:
    """A directory that users of sandboxes can enter."""
    try:
        return usable_root(data_dir)
    except (Unavailable, OSError) as error:
        raise StartError(f"no sandbox can be made here: {error}") from error


def _make_builder(
    config: Config,
    store: Store,
    clock: Clock,
    *,
    driver: Driver,
    network: Network,
    registries: Registries,
    place: Path,
) -> Builder:
    """What installs the packages of environments."""
    hall = Hall(
        driver=driver,
        network=network,
        registries=registries,
        builds=store.builds,
        clock=clock,
        system=find_system(),
        limits=limits_of(config.sandbox),
        host=_host(config),
        directory=place / "images",
    )
    return Builder(hall, config.packages)


def _terms(config: Config, driver: str) -> Terms:
    settings = config.sandbox
    return Terms(
        driver=driver,
        host=_host(config),
        staging=config.data_dir / "archives",
        max_bytes=settings.archive_size,
        expire_days=settings.expire_days,
    )


def _rungs(config: Config) -> Rungs:
    settings = config.sandbox
    return Rungs(
        freeze=settings.freeze_seconds, idle=settings.idle_seconds, archive=settings.archive_seconds
    )


def _host(config: Config) -> str:
    """This machine and directory, as the store knows them."""
    return f"{socket.gethostname()}:{config.data_dir}"
