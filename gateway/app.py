"""The composition root: the only place that wires the rooms together.

`build` turns a configuration into a running gateway. Nothing else in the project makes a store, a
driver or a model; `gateway.server` puts one behind a socket.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

from gateway.api.context import Gateway
from gateway.clock import Clock, SystemClock
from gateway.config import Config
from gateway.errors import StartError
from gateway.expiry import Expiry
from gateway.export import Export
from gateway.loop.runner import Workshop
from gateway.loop.wake import Wake
from gateway.model.catalogue import Catalogue
from gateway.model.client import MessagesClient
from gateway.model.contract import Model
from gateway.model.fake import FakeModel
from gateway.model.inline import WithFiles
from gateway.model.judge import ModelJudge
from gateway.model.price import Prices
from gateway.model.script import load as load_script
from gateway.notify import Notifier
from gateway.policy.audit import Redaction
from gateway.policy.judge import Judge
from gateway.rulebook import Rulebook
from gateway.sandboxes import open_sandboxes
from gateway.sinks import open_sinks
from gateway.store.blobs import Blobs, DiskBlobs
from gateway.store.lock import locked
from gateway.store.shelf import Shelf
from gateway.store.store import Store, open_store
from gateway.tools.call import Gate
from gateway.tools.connect import Connections
from gateway.tools.law import Law
from gateway.tools.servers import NoServers, Servers
from gateway.vault.keyfile import audit_key
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
    config: Config,
    *,
    driver: Driver | None = None,
    model: Model | None = None,
    servers: Servers | None = None,
) -> AsyncGenerator[App]:
    """Open everything, recover what an earlier process left, and run until the exit.

    `driver` and `model` are taken instead of those the configuration describes; `servers` is what
    reaches MCP servers.

    Raises:
        StartError: The machine does not let it: the message says what to do.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_store(config, clock))
        export = Export(store.audit, clock, config.audit, open_sinks(config.audit))
        await stack.enter_async_context(export.running())
        blobs = await stack.enter_async_context(_blobs(config))
        shelf = Shelf(store, blobs, clock, config.files)
        await stack.enter_async_context(shelf.swept())
        if model is None:
            model = await stack.enter_async_context(_model(config, clock))
        seal = await anyio.to_thread.run_sync(Seal.at, config.data_dir)
        sandboxes = await stack.enter_async_context(
            open_sandboxes(config, store, shelf, clock, seal=seal, driver=driver)
        )
        rulebook = await stack.enter_async_context(_rulebook(config, store, clock))
        gate = Gate(
            sandboxes.connections,
            sandboxes.web,
            servers=servers or NoServers(),
            law=Law(rulebook, clock, lambda: export.refusal),
            judge=_judge(config, model),
            deadline=config.sandbox.call_seconds,
        )
        reader = WithFiles(model, store, shelf, clock)
        wake = Wake(_workshop(config, store, clock, reader, gate, rulebook, sandboxes.connections))
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
            rulebook=rulebook,
            discard=sandboxes.connections.discard,
            groups_of=lambda actor: rulebook.rules.user(id=actor, kind="user").groups,
        )
        for running in (wake.running(), Expiry(gateway.intake).running(), _notices(gateway)):
            await stack.enter_async_context(running)
        yield App(gateway=gateway, model=_describe(config), sandbox=sandboxes.capabilities)


def _workshop(  # noqa: PLR0917 - what runners work with, each of another type
    config: Config,
    store: Store,
    clock: Clock,
    model: Model,
    gate: Gate,
    rulebook: Rulebook,
    connections: Connections,
) -> Workshop:
    return Workshop(
        store=store,
        bus=store.bus,
        clock=clock,
        owner=store.leases.owner,
        model=model,
        prices=Prices(config.models),
        gate=gate,
        rulebook=rulebook,
        redaction=Redaction(config.audit.redact),
        approval_micros=int(config.policy.approval_seconds * 1_000_000),
        wake=connections.wake,
        park=connections.park,
        collect=connections.collect,
        collect_seconds=config.files.output_seconds,
        loop=config.loop,
        models=config.models,
    )


def _notices(gateway: Gateway) -> AbstractAsyncContextManager[None]:
    """What tells others of calls that wait for an approval, if anybody is to be told."""
    settings = gateway.config.policy
    if not settings.approval_url:
        return nullcontext()

    def members_of(wanted: frozenset[str]) -> list[str]:
        listed = gateway.rulebook.rules.groups.items()
        return [name for name, groups in listed if groups & wanted]

    return Notifier(
        store=gateway.store,
        clock=gateway.clock,
        seal=gateway.seal,
        receiver=settings.approval_url,
        here=settings.public_url or f"http://{gateway.config.server.listen}",
        members_of=members_of,
    ).running()


@asynccontextmanager
async def _store(config: Config, clock: Clock) -> AsyncGenerator[Store]:
    """The store, and the lock that says that this directory is ours: nothing may come before."""
    key = await anyio.to_thread.run_sync(audit_key, config.data_dir, config.audit.key_file)
    store = await open_store(
        config.store.url,
        config.data_dir,
        audit_key=key,
        share_key=config.audit.key_file is None,
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


@asynccontextmanager
async def _rulebook(config: Config, store: Store, clock: Clock) -> AsyncGenerator[Rulebook]:
    rulebook = Rulebook(config.policy, store, clock)
    await rulebook.open()
    async with rulebook.running():
        yield rulebook


def _judge(config: Config, model: Model) -> Judge | None:
    name, seconds = config.policy.judge_model, config.policy.judge_seconds
    prices = Prices(config.models)
    return ModelJudge(model, name, seconds=seconds, prices=prices) if name else None


def _describe(config: Config) -> str:
    if config.models.script is not None:
        return f"scripted ({config.models.script.name}); no language model is called"
    if config.models.endpoints:
        return ", ".join(config.models.endpoints)
    keys = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")
    if any(os.environ.get(key) for key in keys):
        return os.environ.get("ANTHROPIC_BASE_URL") or "the Anthropic API"
    return "none: set ANTHROPIC_API_KEY, or configure an endpoint, and start again"
