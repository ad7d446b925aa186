"""Who is calling: an API key becomes a workspace.

Keys are looked up by their SHA-256, so comparing them takes the same time whatever was sent. What
is found is remembered for less than a second: that is how long a revoked key can still work.
"""

import hmac
from dataclasses import dataclass

from gateway.api.exchange import Exchange
from gateway.clock import Clock
from gateway.config import Config
from gateway.errors import ConfigError, Forbidden, Unauthenticated
from gateway.keys import digest
from gateway.store.keys import Keys

REMEMBERED = 0.8
"""Seconds a key is believed without asking the store again."""

MOST_REMEMBERED = 1024

CONFIGURED = "apikey_configured"
"""The id of the key that comes from the configuration."""


@dataclass(frozen=True, slots=True)
class Principal:
    """On whose behalf a request is answered."""

    workspace: str
    key: str


@dataclass(slots=True)
class _Memory:
    principal: Principal
    until: float


class Keyring:
    """The keys that open this gateway.

    Raises:
        ConfigError: The file that should hold the configured key cannot be read.
    """

    def __init__(self, config: Config, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._configured = configured_digest(config)
        self._default_workspace = ""
        self._known: dict[bytes, _Memory] = {}

    async def admit(self, exchange: Exchange) -> None:
        """Find out who sent the request and write it on the exchange.

        ``Authorization: Bearer`` wins over ``x-api-key`` (spec/core 1.1).

        Raises:
            Unauthenticated: There is no key, or it is unknown or revoked.
            Forbidden: The request names a workspace that is not the key's (spec/resources E-9).
        """
        workspace = await self.default_workspace()
        principal = await self._find(digest(_presented(exchange)))
        exchange.organization = organization_of(workspace)
        exchange.workspace = principal.workspace
        exchange.key = principal.key
        asked = exchange.header(b"anthropic-workspace-id")
        if asked and asked != principal.workspace:
            raise Forbidden("anthropic-workspace-id: this key belongs to another workspace.")

    async def default_workspace(self) -> str:
        if not self._default_workspace:
            self._default_workspace = await self._keys.default_workspace()
        return self._default_workspace

    async def _find(self, hashed: bytes) -> Principal:
        if self._configured is not None and hmac.compare_digest(hashed, self._configured):
            return Principal(await self.default_workspace(), CONFIGURED)
        now = self._clock.monotonic()
        known = self._known.get(hashed)
        if known is not None and known.until > now:
            return known.principal
        row = await self._keys.by_hash(sha256=hashed)
        if row is None or row.revoked_at is not None:
            self._known.pop(hashed, None)
            raise Unauthenticated("The API key is unknown or revoked.")
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        principal = Principal(row.workspace, row.id)
        self._known[hashed] = _Memory(principal, now + REMEMBERED)
        return principal


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
