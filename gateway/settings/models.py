"""Models: who answers, and what it costs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from gateway.settings.section import Section


class Endpoint(Section):
    """A server that speaks the Messages API."""

    base_url: str
    """Its address, without ``/v1``."""
    api_key: SecretStr | None = None
    """The key it is called with."""
    api_key_file: Path | None = None
    """A file that holds the key."""
    auth_header: Literal["bearer", "x-api-key"] = "bearer"
    """How the key is sent."""
    headers: dict[str, str] = {}
    """More headers of every request."""
    models: list[str] = []
    """Model ids this endpoint serves; ``prefix*`` matches. Empty: every id not named elsewhere."""
    thinking: bool = True
    """It takes and gives thinking blocks."""
    cache_control: bool = True
    """It takes prompt cache marks."""
    count_tokens: bool = True
    """It counts the tokens of a request before it is made."""
    images: bool = True
    """The model reads images."""
    documents: bool = True
    """The model reads PDF documents."""
    system_turns: bool = True
    """The model takes ``role: system`` turns inside the conversation."""
    max_input_tokens: Annotated[int, Field(gt=0)] = 200_000
    """The model's input window."""
    max_tokens: Annotated[int, Field(gt=0)] = 32_000
    """The longest answer asked for."""


class Price(Section):
    """US dollars for a million tokens."""

    input: Annotated[float, Field(ge=0)]
    """Input that neither came from the cache nor went into it."""
    output: Annotated[float, Field(ge=0)]
    """Output, thinking included."""
    cache_read: Annotated[float, Field(ge=0)] = 0.0
    """Input read from the prompt cache."""
    cache_write_5m: Annotated[float, Field(ge=0)] = 0.0
    """Input written to the prompt cache for five minutes."""
    cache_write_1h: Annotated[float, Field(ge=0)] = 0.0
    """Input written to the prompt cache for an hour."""


class Models(Section):
    """Which language models there are and how patient the gateway is with them."""

    script: Path | None = None
    """A `FakeModel` script; when set it answers every request and no endpoint is called."""
    endpoints: dict[str, Endpoint] = {}
    """Where models are, by a name of your own."""
    prices: dict[str, Price] = {}
    """List prices by model id, for cost and budgets; unlisted ids use the built-in table."""
    runtime_price_hour: Annotated[float, Field(ge=0)] = 0.0
    """US dollars for an hour of ``usage.active_seconds``."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 4
    """How often one request is tried before the turn ends as ``retries_exhausted``."""
    backoff_seconds: Annotated[float, Field(ge=0)] = 0.5
    """The first wait between tries; doubles up to sixteen times itself."""
    connect_seconds: Annotated[float, Field(gt=0)] = 10.0
    """The longest wait for a connection to an endpoint."""
    silence_seconds: Annotated[float, Field(gt=0)] = 300.0
    """The longest wait for the next byte of an answer."""
