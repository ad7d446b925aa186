"""The process that serves: a socket, a gateway behind it, and the signals that end it."""

import os
import resource
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

import anyio
import anyio.to_thread
import structlog
import uvicorn

from gateway import logs
from gateway.api.context import Gateway
from gateway.api.routes import application
from gateway.app import App, build
from gateway.config import Config
from gateway.errors import GatewayError, StartError
from gateway.model.client import MessagesClient
from gateway.wire import requests, responses

log = structlog.get_logger()

DESCRIPTORS = 4096
"""Open files that there is room for from the start."""

BACKLOG = 1024
"""Connections the kernel keeps waiting."""

CLOSE_SECONDS = 2
"""After draining: how long requests may finish before open streams are cut."""


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; then drain: finish running turns, refuse new work.

    Prints what it is on standard output, one ``name value`` a line, ``ready URL`` last.

    Raises:
        StartError: It cannot start; the message is one line that says what to do.
    """
    logs.configure(config.log)
    _make_room_for_descriptors()
    try:
        anyio.run(_serve, config)
    except ExceptionGroup as group:  # not `except*`: Python 3.11.2 wraps what is raised in one
        error = _first(group)
        if isinstance(error, GatewayError):
            raise error from None
        raise


def _make_room_for_descriptors() -> None:
    """Allow as many open files as the machine lets us, and grow their table to some thousands.

    Later, with several threads, the kernel would stop this process for some milliseconds at each
    doubling of the table.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    last = min(DESCRIPTORS, most) - 1
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted, not a file
        os.dup2(nothing.fileno(), last, inheritable=False)
    os.close(last)


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
                tasks.start_soon(_stop_when_cut_off, app)
                tasks.start_soon(_announce, app, server, listener)
                tasks.start_soon(_warm, app.gateway, server, config)
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
    trusted = app.gateway.config.server.trusted_proxies
    return uvicorn.Config(
        application(app.gateway),
        http="h11",  # httptools fails a check of the MCP conformance suite
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted),
        forwarded_allow_ips=trusted,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )


async def _announce(app: App, server: _Server, listener: socket.socket) -> None:
    await server.listening.wait()
    host, port = listener.getsockname()[:2]
    for note in app.sandbox.notes:
        log.warning(note)
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(
        f"model {app.model}\nsandbox {app.sandbox.isolation}\nready http://{shown}:{port}\n"
    )
    sys.stdout.flush()


async def _warm(gateway: Gateway, server: _Server, config: Config) -> None:
    """Import the SDK and build what needs it, once requests can wait in the queue for it."""
    await server.listening.wait()
    strict = config.server.strict_bodies
    await anyio.to_thread.run_sync(partial(requests.warm, strict=strict))
    await anyio.to_thread.run_sync(responses.warm)
    if isinstance(gateway.model, MessagesClient):
        await gateway.model.warm()


async def _stop_when_cut_off(app: App) -> None:
    """Without proof that it lives, another gateway may run its sessions: it must not go on."""
    await app.gateway.store.leases.lost.wait()
    raise StartError("lost the database connection that proves this gateway alive; start it again")


async def _stop_on_signal(app: App, server: _Server, seconds: float) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("draining", signal=signal.Signals(number).name)
            left = await app.gateway.wake.drain(seconds)
            if left:
                log.warning("turns left for the next start", sessions=left)
            server.should_exit = True
            return
