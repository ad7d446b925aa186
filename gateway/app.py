"""The composition root: the only place that wires the rooms together.

`build` turns a configuration into a running gateway; `run` serves one until a signal asks it to
stop. Nothing else in the project makes a store, a driver or a model.
"""

import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import structlog
import uvicorn
from anyio.abc import TaskGroup

from gateway import logs
from gateway.api.context import Gateway
from gateway.api.routes import application
from gateway.clock import Clock, SystemClock
from gateway.config import Config
from gateway.errors import GatewayError, StartError
from gateway.loop.runner import Workshop
from gateway.loop.wake import Wake
from gateway.model.catalogue import Catalogue
from gateway.model.client import MessagesClient
from gateway.model.contract import Model
from gateway.model.fake import FakeModel
from gateway.model.price import Prices
from gateway.model.prompt import Prompt
from gateway.model.script import load as load_script
from gateway.store.store import Store, open_store
from gateway.tools.call import Gate
from gateway.tools.connect import Connections
from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.bundle import bundle
from sandbox.contract import Capabilities, Driver, Limits, Unavailable

log = structlog.get_logger()

BACKLOG = 1024
"""Connections the kernel keeps waiting."""

_NETWORK = "There is no network: nothing outside this environment can be reached."

_PYTHON = Path("/usr/bin/python3")
"""What runs inside a sandbox; the driver finds another where there is none."""

CLOSE_SECONDS = 2
"""After draining: how long requests may finish before open streams are cut."""


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
    return Connections(
        driver,
        store,
        name=name,
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
        host=socket.gethostname(),
        idle_seconds=settings.idle_seconds,
    )


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; then drain: finish running turns, refuse new work.

    Prints what it is on standard output, one ``name value`` a line, ``ready URL`` last.

    Raises:
        StartError: It cannot start; the message is one line that says what to do.
    """
    logs.configure(config.log)
    try:
        anyio.run(_serve, config)
    except* GatewayError as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    """The error itself, out of the task groups it went through."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _serve(config: Config) -> None:
    listener = _listen(config.server.listen)
    with listener:
        async with build(config) as app:
            server = _Server(_uvicorn(app))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_stop_on_signal, app, server, config.server.drain_seconds)
                tasks.start_soon(_announce, app, server, listener)
                await server.serve(sockets=[listener])
                tasks.cancel_scope.cancel()


def _listen(address: str) -> socket.socket:
    """Bind before anything else is opened, so that a port in use costs nothing."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is spelled out because the event loop turns Nagle's algorithm off only then.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen on {address}: {error.strerror}; try --listen") from error
    return listener


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to us: draining comes before closing."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _uvicorn(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        application(app.gateway),
        http="h11",  # httptools fails a check of the MCP conformance suite
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )


async def _announce(app: App, server: _Server, listener: socket.socket) -> None:
    await server.listening.wait()
    host, port = listener.getsockname()[:2]
    for note in app.sandbox.notes:
        log.warning(note)
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(
        f"model {app.model}\nsandbox {app.sandbox.isolation}; no network inside\n"
        f"ready http://{shown}:{port}\n"
    )
    sys.stdout.flush()


async def _stop_on_signal(app: App, server: _Server, seconds: float) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("draining", signal=signal.Signals(number).name)
            left = await app.gateway.wake.drain(seconds)
            if left:
                log.warning("turns left for the next start", sessions=left)
            server.should_exit = True
            return
