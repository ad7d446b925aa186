"""What a handler is given and what it gives back. Nothing of HTTP servers is in here."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from gateway.clock import Clock
from gateway.config import Config
from gateway.loop.intake import Intake
from gateway.loop.wake import Wake
from gateway.model.catalogue import Catalogue
from gateway.model.contract import Model
from gateway.model.price import Prices
from gateway.rulebook import Rulebook
from gateway.store.bus import Bus
from gateway.store.records import SandboxRow
from gateway.store.shelf import Shelf
from gateway.store.store import Store
from gateway.tools.build import Builder
from gateway.vault.seal import Seal
from gateway.wire.requests import Request


class Mounts(Protocol):
    """The file resources of sessions, as their sandboxes see them."""

    async def sync(self, session: str) -> None:
        """The session's resources have changed: its sandbox here, if it has one, shows that."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Everything handlers work with; the same for all requests."""

    config: Config
    store: Store
    bus: Bus[Any]
    clock: Clock
    model: Model
    catalogue: Catalogue
    prices: Prices
    wake: Wake
    shelf: Shelf
    seal: Seal
    mounts: Mounts
    builder: Builder
    rulebook: Rulebook
    discard: Callable[[str, SandboxRow | None], Awaitable[None]]
    """Removes the sandbox of a deleted session, and its files; the row says which one it was."""
    groups_of: Callable[[str], frozenset[str]] = lambda _: frozenset()
    """Names of the groups that list an actor by this id or e-mail address."""

    @property
    def intake(self) -> Intake:
        """Where events go into sessions."""
        return Intake(
            store=self.store,
            bus=self.bus,
            clock=self.clock,
            wake=self.wake.wake,
            system_turns=lambda model: self.model.capabilities(model).system_turns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCall:
    """One authenticated request, matched to its endpoint."""

    workspace: str
    key: str
    """The id of the API key it came with."""
    actor: str
    """For whom the key acts: a user or service account, or the key itself."""
    email: str | None = None
    """Of the user."""
    scopes: frozenset[str] | None = None
    """What the key may do (`gateway.api.scopes`); None for everything."""
    everywhere: bool = False
    """The key is the organization's, not one workspace's."""
    organization: str
    path: Mapping[str, str]
    """The parameters of the path, by name."""
    query: bytes
    """The query string as it came."""
    body: Callable[[], Awaitable[bytes]]
    """Reads the whole body, decoded; raises `TooLarge` and `InvalidRequest`. Call it once."""
    pieces: Callable[[int, float], AsyncGenerator[bytes, None]]
    """Reads the body as it comes, up to a number of bytes and of seconds, instead of `body`."""
    content_type: str
    """Of the body, as it came."""
    betas: tuple[str, ...]
    """The values of ``anthropic-beta``."""
    ip: str | None = None
    """The address the request came from; None when it came from none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished JSON answer, always with status 200 (spec/resources E-25)."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """Server-sent events, until the generator ends or the client goes."""

    chunks: AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """The bytes of a file. It is closed by whoever sends it."""

    chunks: AsyncGenerator[bytes, None]
    size: int
    """How many bytes there are."""
    mime_type: str
    filename: str


@dataclass(frozen=True, slots=True)
class Page:
    """HTML for a browser: no script, no frame, nothing from elsewhere."""

    body: bytes
    status: int = 200


Answer: TypeAlias = Reply | Stream | Download | Page


class Handle(Protocol):
    """What stands behind an endpoint."""

    async def __call__(self, gateway: Gateway, call: ApiCall, /) -> Answer: ...


async def parsed(gateway: Gateway, call: ApiCall, request: Request) -> dict[str, Any]:
    """Read and validate the body of a call.

    Raises:
        InvalidRequest: The message names the fields and the rules they break.
    """
    return request.parse(await call.body(), strict=gateway.config.server.strict_bodies)
