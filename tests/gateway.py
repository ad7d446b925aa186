"""A gateway in this process: the real application on a real socket, in a thread of its own.

Everything is as in production but for the model, which follows a script, and the sandbox, which
there is none of: these tests are about the API. Each test works in a workspace of its own, so one
gateway can serve many of them.
"""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from anthropic import Anthropic, AsyncAnthropic
from anyio.from_thread import start_blocking_portal
from httpx2 import Client

from gateway.api.context import Gateway
from gateway.api.routes import application
from gateway.app import build
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.keys import digest, hint, new_key
from gateway.model.contract import Part, Request
from gateway.model.fake import FakeModel
from gateway.model.script import Script
from gateway.store.store import DATABASE
from gateway.tools.servers import Servers
from sandbox.contract import (
    Archive,
    Capabilities,
    Driver,
    Progress,
    Sandbox,
    SandboxSpec,
    Unavailable,
)

SECONDS = 20.0
"""The longest a test waits for anything."""

MODEL = "claude-opus-5-5"
"""A model that has a price."""

SLOW = "take your time"
ASK = "ask me"
TOOL: dict[str, Any] = {
    "type": "custom",
    "name": "choose",
    "description": "Asks the user to choose.",
    "input_schema": {"type": "object", "properties": {}},
}
"""What a user says to have the model think for ever, or call this tool; else it says Done."""

SCRIPT = Script.model_validate(
    {
        "turns": [
            {"when": SLOW, "steps": [{"text": "…", "delay_seconds": 3600}]},
            {"when": ASK, "steps": [{"tools": [{"name": "choose"}]}, {"text": "Chosen."}]},
            {"steps": [{"text": "Done."}]},
        ]
    }
)


class Attentive(FakeModel):
    """A scripted model that remembers which tools it was last told about."""

    told: Sequence[str] = ()

    async def stream(self, request: Request) -> AsyncGenerator[Part, None]:
        self.told = [tool["name"] for tool in request.tools]
        async for part in super().stream(request):
            yield part


class NoSandbox:
    """A driver for gateways whose sessions run no tools."""

    async def probe(self) -> Capabilities:
        return Capabilities(driver="none", isolation="nothing", own_uid=False, limits={})

    async def create(self, spec: SandboxSpec) -> Sandbox:
        raise Unavailable(f"no sandbox for {spec.id}")

    async def adopt(self, ref: str, spec: SandboxSpec) -> Sandbox:
        raise Unavailable(f"no sandbox for {spec.id} in {ref}")

    async def archive(self, ref: str, destination: Path, *, max_bytes: int) -> Archive:
        raise Unavailable(f"no {max_bytes} bytes of {ref} for {destination}")

    async def restore(
        self, spec: SandboxSpec, source: Path, archive: Archive, *, progress: Progress | None = None
    ) -> Sandbox:
        raise Unavailable(f"no sandbox for {spec.id} in {source}, {archive}, {progress}")

    async def forget(self, ref: str) -> None:
        pass

    async def reap(self, keep: frozenset[str] = frozenset()) -> list[str]:  # noqa: ARG002 - the protocol's
        return []

    async def aclose(self) -> None:
        pass


NO_SANDBOX = NoSandbox()


@dataclass(frozen=True)
class Tenant:
    """A workspace and a key to it."""

    url: str
    workspace: str
    key: str

    def client(self, **options: Any) -> Anthropic:
        return Anthropic(**self._options(options))

    def async_client(self, **options: Any) -> AsyncAnthropic:
        return AsyncAnthropic(**self._options(options))

    def raw(self, **headers: str) -> Client:
        """HTTP without the SDK, authenticated."""
        own = {"authorization": f"Bearer {self.key}", **headers}
        return Client(base_url=self.url, headers=own, timeout=SECONDS)

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "base_url": self.url,
            "api_key": self.key,
            "timeout": SECONDS,
            "max_retries": 0,
            "_strict_response_validation": True,
            **options,
        }


@dataclass(frozen=True)
class Running:
    """A gateway that serves."""

    url: str
    data_dir: Path
    gateway: Gateway
    call: Callable[..., Any]
    """Runs an async function in the gateway's own event loop."""

    def tenant(self) -> Tenant:
        """A new workspace with a key of its own."""
        clock = SystemClock()
        workspace = clock.new_id("wrkspc")
        with sqlite3.connect(self.data_dir / DATABASE, timeout=SECONDS) as database:
            row = (workspace, workspace, clock.now())
            database.execute("INSERT INTO workspaces (id, name, created_at) VALUES (?, ?, ?)", row)
        database.close()
        return self.key(workspace)

    def key(self, workspace: str, **fields: Any) -> Tenant:
        """Another key to a workspace; `fields` are those of `Keys.create`."""
        key = new_key()
        self.call(partial(self._add_key, workspace, key, **fields))
        return Tenant(self.url, workspace, key)

    def told(self) -> Sequence[str]:
        """Which tools the model was last told about."""
        model = self.gateway.model
        assert isinstance(model, Attentive)
        return model.told

    def administrator(self, **fields: Any) -> Tenant:
        """A key of the organization."""
        default = self.call(self.gateway.store.keys.default_workspace)
        return self.key(default, organization=True, **fields)

    async def _add_key(self, workspace: str, key: str, **fields: Any) -> None:
        await self.gateway.store.keys.create(
            workspace=workspace,
            name="test",
            sha256=digest(key),
            hint=hint(key),
            now=self.gateway.clock.now(),
            **fields,
        )


@contextmanager
def serve(
    data_dir: Path,
    config: Mapping[str, Any] | None = None,
    script: Script = SCRIPT,
    servers: Servers | None = None,
    *,
    driver: Driver | None = NO_SANDBOX,
) -> Generator[Running]:
    """Start a gateway on a free port of this machine, and stop it at the exit.

    With `driver` None its sandboxes are those of a gateway as people run it.
    """
    settings = Config(data_dir=data_dir, **(config or {}))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_serving(settings, script, servers, driver)) as serving,
    ):
        gateway, port = serving
        yield Running(f"http://127.0.0.1:{port}", data_dir, gateway, portal.call)


@asynccontextmanager
async def _serving(
    config: Config, script: Script, servers: Servers | None, driver: Driver | None
) -> AsyncGenerator[tuple[Gateway, int]]:
    async with _gateway(config, script, servers, driver) as gateway:
        server = uvicorn.Server(
            uvicorn.Config(
                application(gateway),
                port=0,
                http="h11",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            with anyio.fail_after(SECONDS):
                while not server.started:  # noqa: ASYNC110 - the server has no event to wait for
                    await anyio.sleep(0.001)
            yield gateway, server.servers[0].sockets[0].getsockname()[1]
            server.should_exit = True


@asynccontextmanager
async def _gateway(
    config: Config, script: Script, servers: Servers | None, driver: Driver | None
) -> AsyncGenerator[Gateway]:
    model = Attentive(script)
    async with build(config, driver=driver, model=model, servers=servers) as app:
        yield app.gateway
