"""Which endpoint answers for which model: the configured ones, then the SDK's own environment.

Decides only; nothing is sent from here. The environment (``ANTHROPIC_BASE_URL``,
``ANTHROPIC_API_KEY``, ``ANTHROPIC_AUTH_TOKEN``, ``ANTHROPIC_CUSTOM_HEADERS``) makes one endpoint
for every model that no configured endpoint serves, so that what works with the SDK works here.
"""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from gateway.errors import ConfigError
from gateway.model.catalogue import claude, named_by
from gateway.model.contract import Capabilities
from gateway.settings import Endpoint, Models

FROM_ENVIRONMENT = "environment"
"""The name of the endpoint that the environment describes."""

Credential: TypeAlias = Literal["bearer", "x-api-key", "sdk"]

_ANTHROPIC = "https://api.anthropic.com"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a request goes and what goes with it."""

    name: str
    base_url: str
    flags: Endpoint
    headers: Mapping[str, str]
    key: str | None = field(repr=False)
    credential: Credential
    """How the key is shown: as a bearer token, as ``x-api-key``, or as the SDK likes."""

    @property
    def secrets(self) -> list[str]:
        """Everything that must never be seen in a message or a log."""
        return [value for value in (self.key, *self.headers.values()) if value]


class Endpoints:
    """All endpoints of one gateway.

    Raises:
        ConfigError: An endpoint is this gateway itself, its URL is not HTTP, or its key file
            cannot be read.
    """

    def __init__(self, models: Models, *, listen: str, environ: Mapping[str, str]) -> None:
        routes = [_configured(name, endpoint) for name, endpoint in models.endpoints.items()]
        self._named = [route for route in routes if route.flags.models]
        self._rest = [route for route in routes if not route.flags.models]
        from_environment = _environment(environ)
        if from_environment is not None:
            self._rest.append(from_environment)
        for route in (*self._named, *self._rest):
            _check(route, listen)

    def __bool__(self) -> bool:
        return bool(self._named or self._rest)

    def route(self, model: str) -> Route | None:
        """The endpoint for a model: by its whole id, else the longest prefix, else a catch-all."""
        best = max(self._named, key=lambda r: named_by(r.flags.models, model), default=None)
        if best is not None and named_by(best.flags.models, model):
            return best
        return self._rest[0] if self._rest else None

    def capabilities(self, model: str) -> Capabilities:
        """What the model's endpoint takes; sizes it does not state come from the catalogue."""
        route = self.route(model)
        if route is None:
            return Capabilities()
        flags, known = route.flags, claude(model)
        sizes = {"max_input_tokens": flags.max_input_tokens, "max_tokens": flags.max_tokens}
        if known is not None:
            public = {"max_input_tokens": known.max_input_tokens, "max_tokens": known.max_tokens}
            sizes = {
                key: sizes[key] if key in flags.model_fields_set else public[key] for key in sizes
            }
        return Capabilities(
            endpoint=route.name,
            thinking=flags.thinking,
            cache_control=flags.cache_control,
            count_tokens=flags.count_tokens,
            images=flags.images,
            documents=flags.documents,
            system_turns=flags.system_turns,
            **sizes,
        )


def is_self(url: str, listen: str) -> bool:
    """Whether `url` leads to the gateway that listens on `listen` (``HOST:PORT``).

    Names are compared, not resolved: every spelling of this machine that needs no look-up counts.
    """
    parts = urlsplit(url)
    host, _, port = listen.rpartition(":")
    if _port(parts) != int(port) or parts.hostname is None:
        return False
    target, own = parts.hostname, host.strip("[]").lower()
    if target == own:
        return True
    return _local(target) and (_local(own) or _wildcard(own))


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None


def _local(host: str) -> bool:
    if host in ("localhost", socket.gethostname().lower()) or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


def _configured(name: str, endpoint: Endpoint) -> Route:
    key = endpoint.api_key.get_secret_value() if endpoint.api_key else None
    if key is None and endpoint.api_key_file is not None:
        key = _read(name, endpoint.api_key_file)
    return Route(
        name=name,
        base_url=endpoint.base_url,
        flags=endpoint,
        headers=endpoint.headers,
        key=key,
        credential=endpoint.auth_header,
    )


def _read(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"models.endpoints.{name}.api_key_file: {path}: {reason}") from error


def _environment(environ: Mapping[str, str]) -> Route | None:
    """The endpoint the SDK would use by itself; None when nothing in the environment names one."""
    url, key = environ.get("ANTHROPIC_BASE_URL"), environ.get("ANTHROPIC_API_KEY")
    token = environ.get("ANTHROPIC_AUTH_TOKEN")
    headers = custom_headers(environ)
    if not (url or key or token or headers):
        return None
    secret = key or token
    base_url = url or _ANTHROPIC
    return Route(
        name=FROM_ENVIRONMENT,
        base_url=base_url,
        flags=Endpoint(base_url=base_url, api_key=SecretStr(secret) if secret else None),
        headers=headers,
        key=secret,
        credential="sdk" if key else "bearer",
    )


def custom_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``ANTHROPIC_CUSTOM_HEADERS``: one ``Name: value`` on each line."""
    pairs = (
        line.partition(":") for line in environ.get("ANTHROPIC_CUSTOM_HEADERS", "").splitlines()
    )
    return {name.strip(): value.strip() for name, colon, value in pairs if colon and name.strip()}


def _check(route: Route, listen: str) -> None:
    where = (
        "ANTHROPIC_BASE_URL"
        if route.name == FROM_ENVIRONMENT
        else f"models.endpoints.{route.name}.base_url"
    )
    parts = urlsplit(route.base_url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConfigError(f"{where} must be an http or https URL")
    if is_self(route.base_url, listen):
        raise ConfigError(
            f"{where} is this gateway's own address ({listen}): name the model's server"
        )
