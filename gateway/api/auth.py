"""Who is calling: an API key becomes a workspace, an actor and what they may do.

Keys are looked up by their SHA-256, so comparing them takes the same time whatever was sent. What
is found is remembered for less than a second: that is how long a revoked key can still work.
"""

import hmac
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from gateway.api.exchange import Exchange
from gateway.clock import Clock
from gateway.config import Config
from gateway.errors import ConfigError, Forbidden, NotFound, Unauthenticated
from gateway.keys import digest
from gateway.store.keys import Bearer
from gateway.store.store import Store

K = TypeVar("K")
T = TypeVar("T")

REMEMBERED = 0.8
"""Seconds a key is believed without asking the store again."""

MOST_REMEMBERED = 1024

CONFIGURED = "apikey_configured"
"""The id of the key that comes from the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """On whose behalf a request is answered, and how far that goes."""

    workspace: str
    key: str
    actor: str
    """The id of the user or service account; of the key itself when it acts for nobody."""
    kind: Literal["user", "service_account", "api_key"]
    email: str | None = None
    """Of the user."""
    scopes: frozenset[str] | None = None
    """What the key may do (`gateway.api.scopes`); None for everything."""
    organization: bool = False
    """The key is the organization's: it may name any workspace."""


NOBODY = Principal(workspace="", key="", actor="", kind="api_key", scopes=frozenset())
"""Who asks for what is public."""


class Keyring:
    """The keys that open this gateway.

    Raises:
        ConfigError: The file that should hold the configured key cannot be read.
    """

    def __init__(self, config: Config, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._configured = configured_digest(config)
        self._default_workspace = ""
        self._principals = _Recent[bytes, Principal](clock)
        self._workspaces = _Recent[str, bool](clock)

    async def admit(self, exchange: Exchange) -> Principal:
        """Find out who sent the request; what the answer tells of it is written on the exchange.

        ``Authorization: Bearer`` wins over ``x-api-key`` (spec/core 1.1). A key of the
        organization works in the workspace that the request names, or in its own.

        Raises:
            Unauthenticated: There is no key, or it opens nothing, or not any more.
            Forbidden: The request names a workspace that is not the key's (spec/resources E-9).
        """
        principal = await self._find(digest(_presented(exchange)))
        exchange.organization = organization_of(await self.default_workspace())
        exchange.key, exchange.actor = principal.key, principal.actor
        exchange.workspace = principal.workspace
        asked = exchange.header(b"anthropic-workspace-id")
        if asked and asked != principal.workspace:
            if not principal.organization:
                raise Forbidden("anthropic-workspace-id: this key belongs to another workspace.")
            if not await self._open(asked):
                raise Forbidden("anthropic-workspace-id: there is no such workspace.")
            principal = replace(principal, workspace=asked)
            exchange.workspace = asked
        return principal

    async def default_workspace(self) -> str:
        if not self._default_workspace:
            self._default_workspace = await self._store.keys.default_workspace()
        return self._default_workspace

    async def _find(self, hashed: bytes) -> Principal:
        if self._configured is not None and hmac.compare_digest(hashed, self._configured):
            return Principal(
                workspace=await self.default_workspace(),
                key=CONFIGURED,
                actor=CONFIGURED,
                kind="api_key",
                organization=True,
            )
        known = self._principals.get(hashed)
        if known is not None:
            return known
        bearer = await self._store.keys.bearer(sha256=hashed)
        if bearer is None:
            raise Unauthenticated("The API key is unknown.")
        _check(bearer, self._clock.now())
        principal = await self._principal(bearer)
        self._principals.put(hashed, principal)
        return principal

    async def _principal(self, bearer: Bearer) -> Principal:
        key = bearer.key
        return Principal(
            workspace=await self.default_workspace() if key.organization else key.workspace,
            key=key.id,
            actor=key.principal or key.id,
            kind=bearer.kind,
            email=bearer.email,
            scopes=key.scopes,
            organization=key.organization,
        )

    async def _open(self, workspace: str) -> bool:
        """Whether there is such a workspace, and it is not archived."""
        known = self._workspaces.get(workspace)
        if known is None:
            try:
                row = await self._store.workspaces.get(id=workspace)
                known = row.archived_at is None
            except NotFound:
                known = False
            self._workspaces.put(workspace, known)
        return known


class _Recent(Generic[K, T]):
    """What was found a moment ago, for `REMEMBERED` seconds; never more than so many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._found: dict[K, tuple[T, float]] = {}

    def get(self, key: K) -> T | None:
        found, until = self._found.get(key, (None, 0.0))
        return found if until > self._clock.monotonic() else None

    def put(self, key: K, found: T) -> None:
        if len(self._found) >= MOST_REMEMBERED:
            self._found.clear()
        self._found[key] = (found, self._clock.monotonic() + REMEMBERED)


def organization_of(default_workspace: str) -> str:
    """The id of the one organization a gateway serves, named after its first workspace."""
    return "org_" + default_workspace.removeprefix("wrkspc_")


def configured_digest(config: Config) -> bytes | None:
    """The digest of the key that the operator set; None if there is none.

    Raises:
        ConfigError: The file that should hold it cannot be read, or is empty.
    """
    if config.api_key is not None:
        return digest(config.api_key.get_secret_value())
    if config.api_key_file is None:
        return None
    try:
        key = config.api_key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"api_key_file: cannot read {config.api_key_file}: {error}") from error
    if not key:
        raise ConfigError(f"api_key_file: {config.api_key_file} is empty")
    return digest(key)


def _check(bearer: Bearer, now: int) -> None:
    """Refuse a key that opens nothing; whoever holds it may know why."""
    status = bearer.key.status(now)
    if bearer.closed:
        raise Unauthenticated("The API key's workspace is archived.")
    if status == "archived":
        raise Unauthenticated("The API key is revoked.")
    if status != "active":
        raise Unauthenticated(f"The API key is {status}.")
    if bearer.gone:
        raise Unauthenticated("Whoever the API key acts for is not in its workspace any more.")


def _presented(exchange: Exchange) -> str:
    authorization = exchange.header(b"authorization")
    if authorization:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthenticated("The Authorization header must be 'Bearer' and an API key.")
        return key.strip()
    key = exchange.header(b"x-api-key").strip()
    if not key:
        raise Unauthenticated("Send an API key as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.")
    return key
