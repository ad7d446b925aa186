"""The composition root: the only place that wires the rooms together.

`build` turns a configuration into a running gateway. Nothing else in the project makes a store, a
driver or a model; `gateway.server` puts one behind a socket.
"""

import os
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup

from gateway.api.context import Gateway
from gateway.clock import Clock, SystemClock
from gateway.config import Config
from gateway.errors import StartError
from gateway.loop.runner import Workshop
from gateway.loop.wake import Wake
from gateway.model.catalogue import Catalogue
from gateway.model.client import MessagesClient
from gateway.model.contract import Model
from gateway.model.fake import FakeModel
from gateway.model.price import Prices
from gateway.model.prompt import Prompt
from gateway.model.script import load as load_script
from gateway.store.lock import locked
from gateway.store.store import Store, open_store
from gateway.tools.call import Gate
from gateway.tools.connect import Connections
from gateway.tools.outfit import Outfitter
from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.bundle import bundle
from sandbox.contract import Capabilities, Driver, Limits, Unavailable

log = structlog.get_logger()

_NETWORK = "There is no network: nothing outside this environment can be reached."

_PYTHON = Path("/usr/bin/python3")
"""What runs inside a sandbox; the driver finds another where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A gateway that is running."""

    gateway: Gateway
    model: str
    """Who answers, for people."""
    sandbox: Capabilities


@asynccontextmanager
async def build(config: Config) -> AsyncGenerator[App]:
    """Open everything, recover what an earlier process left, and run until the exit.

    Raises:
        StartError: The machine does not let it: the message says what to do.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        # First what says that this directory is ours; nothing else may touch it before.
        store = await open_store(
            config.store.url,
            config.data_dir,
            clock=clock,
            synchronous=config.store.synchronous,
            pool=config.store.pool,
        )
        stack.push_async_callback(store.aclose)
        if config.store.url:
            # The database is shared, the sandboxes of this directory are not.
            config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(locked(config.data_dir))
        model = await stack.enter_async_context(_model(config, clock))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        driver, capabilities = await _driver(config, tasks)
        connections = _connections(config, driver, capabilities.driver, store)
        await stack.enter_async_context(connections.running())
        wake = Wake(
            Workshop(
                store=store,
                bus=store.bus,
                clock=clock,
                owner=store.leases.owner,
                model=model,
                prompt=Prompt(network=_NETWORK),
                prices=Prices(config.models),
                gate=Gate(connections, deadline=config.sandbox.call_seconds),
                park=connections.park,
                loop=config.loop,
                models=config.models,
            )
        )
        gateway = Gateway(
            config=config,
            store=store,
            bus=store.bus,
            clock=clock,
            model=model,
            catalogue=Catalogue(config.models),
            prices=Prices(config.models),
            wake=wake,
            discard=connections.discard,
        )
        await stack.enter_async_context(wake.running())
        yield App(gateway=gateway, model=_describe(config), sandbox=capabilities)


@asynccontextmanager
async def _model(config: Config, clock: Clock) -> AsyncGenerator[Model]:
    """The script, or a client of endpoints that loads its SDK while the gateway starts."""
    if config.models.script is not None:
        script = load_script(config.models.script)
        yield FakeModel(script, silence_seconds=config.models.silence_seconds)
        return
    client = MessagesClient(config.models, listen=config.server.listen, clock=clock)
    try:
        yield client
    finally:
        await client.aclose()


def _describe(config: Config) -> str:
    if config.models.script is not None:
        return f"scripted ({config.models.script.name}); no language model is called"
    if config.models.endpoints:
        return ", ".join(config.models.endpoints)
    keys = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")
    if any(os.environ.get(key) for key in keys):
        return os.environ.get("ANTHROPIC_BASE_URL") or "the Anthropic API"
    return "none: set ANTHROPIC_API_KEY, or configure an endpoint, and start again"


async def _driver(config: Config, tasks: TaskGroup) -> tuple[Driver, Capabilities]:
    """The sandbox driver, tried once."""
    settings = config.sandbox
    first, last = settings.uid_range
    try:
        program = await anyio.to_thread.run_sync(bundle, _PYTHON, config.data_dir)
        driver = BubblewrapDriver(
            tasks,
            Settings(
                data_dir=config.data_dir,
                program=program,
                python=_PYTHON,
                uids=range(first, last + 1),
                start_seconds=settings.start_seconds,
            ),
        )
        return driver, await driver.probe()
    except (Unavailable, OSError) as error:
        raise StartError(f"no sandbox can be made here: {error}") from error


def _connections(config: Config, driver: Driver, name: str, store: Store) -> Connections:
    settings = config.sandbox
    outfitter = Outfitter(
        limits=Limits(
            memory=settings.memory,
            processes=settings.processes,
            cpus=settings.cpus,
            open_files=settings.open_files,
            file_size=settings.file_size,
            tmp=settings.tmp,
            disk=settings.disk,
        ),
        require=frozenset(settings.require),
    )
    return Connections(
        driver,
        store,
        outfitter,
        name=name,
        host=f"{socket.gethostname()}:{config.data_dir}",
        idle_seconds=settings.idle_seconds,
    )
