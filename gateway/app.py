"""The composition root: the only place that wires the rooms together.

`build` turns a configuration into a running gateway. Nothing else in the project makes a store, a
driver or a model; `gateway.server` puts one behind a socket.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

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
from gateway.model.inline import WithFiles
from gateway.model.price import Prices
from gateway.model.script import load as load_script
from gateway.sandboxes import open_sandboxes
from gateway.store.blobs import Blobs, DiskBlobs
from gateway.store.lock import locked
from gateway.store.shelf import Shelf
from gateway.store.store import Store, open_store
from gateway.tools.call import Gate
from gateway.vault.seal import Seal
from sandbox.contract import Capabilities, Driver

log = structlog.get_logger()

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
async def build(
    config: Config, *, driver: Driver | None = None, model: Model | None = None
) -> AsyncGenerator[App]:
    """Open everything, recover what an earlier process left, and run until the exit.

    `driver` and `model` are taken instead of those the configuration describes.

    Raises:
        StartError: The machine does not let it: the message says what to do.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_store(config, clock))
        blobs = await stack.enter_async_context(_blobs(config))
        shelf = Shelf(store, blobs, clock, config.files)
        await stack.enter_async_context(shelf.swept())
        if model is None:
            model = await stack.enter_async_context(_model(config, clock))
        seal = await anyio.to_thread.run_sync(Seal.at, config.data_dir)
        sandboxes = await stack.enter_async_context(
            open_sandboxes(config, store, shelf, clock, seal=seal, driver=driver)
        )
        connections = sandboxes.connections
        wake = Wake(
            Workshop(
                store=store,
                bus=store.bus,
                clock=clock,
                owner=store.leases.owner,
                model=WithFiles(model, store, shelf, clock),
                prices=Prices(config.models),
                gate=Gate(connections, sandboxes.web, deadline=config.sandbox.call_seconds),
                wake=connections.wake,
                park=connections.park,
                collect=connections.collect,
                collect_seconds=config.files.output_seconds,
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
            shelf=shelf,
            seal=seal,
            mounts=sandboxes.uploads,
            builder=sandboxes.builder,
            discard=connections.discard,
        )
        await stack.enter_async_context(wake.running())
        yield App(gateway=gateway, model=_describe(config), sandbox=sandboxes.capabilities)


@asynccontextmanager
async def _store(config: Config, clock: Clock) -> AsyncGenerator[Store]:
    """The store, and the lock that says that this directory is ours: nothing may come before."""
    store = await open_store(
        config.store.url,
        config.data_dir,
        clock=clock,
        synchronous=config.store.synchronous,
        pool=config.store.pool,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.aclose)
        if config.store.url:
            # The database is shared, the sandboxes of this directory are not.
            config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            stack.enter_context(locked(config.data_dir))
        yield store


@asynccontextmanager
async def _blobs(config: Config) -> AsyncGenerator[Blobs]:
    """Where the bytes of files are: in the data directory, or in an S3-compatible store."""
    if config.files.url:
        from gateway.store.s3 import open_s3

        blobs = open_s3(config.files)
    else:
        root = config.data_dir / "blobs"
        try:
            blobs = await anyio.to_thread.run_sync(DiskBlobs, root)
        except OSError as error:
            raise StartError(f"cannot use {root}: {error.strerror}") from error
    try:
        yield blobs
    finally:
        await blobs.aclose()


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
