"""What an operator can set, section by section; `gateway.config` reads it."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema


class Section(BaseModel):
    """A table of the file: unknown keys are refused, nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _size(value: object) -> object:
    """Read ``"2 GiB"`` and the like as bytes; leave anything else to the validator."""
    units = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
    if isinstance(value, str):
        number, _, unit = value.strip().partition(" ")
        if unit in units and number.isdigit():
            return int(number) * units[unit]
    return value


Bytes: TypeAlias = Annotated[
    int,
    BeforeValidator(_size),
    Field(gt=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "exclusiveMinimum": 0},
                {"type": "string", "pattern": "^[0-9]+ ([KMGT]i)?B$"},
            ]
        }
    ),
]


class Server(Section):
    """Where the API listens and how strict it is."""

    listen: str = "127.0.0.1:8400"
    """``HOST:PORT``; port 0 takes a free one and prints it."""
    strict_betas: bool = False
    """Answer 404 to requests without the endpoint's ``anthropic-beta`` value."""
    strict_bodies: bool = True
    """Refuse unknown request fields; when false they are ignored."""
    drain_seconds: Annotated[float, Field(ge=0)] = 20.0
    """After SIGTERM: how long running turns may finish before they are left to recovery."""
    ping_seconds: Annotated[float, Field(gt=0)] = 15.0
    """The longest silence on an event stream."""
    max_body: Bytes = 32 * 1024**2
    """The largest JSON request body."""


class StoreSettings(Section):
    """Where sessions live."""

    url: str = ""
    """``postgresql://...`` for PostgreSQL; empty means SQLite in the data directory."""
    url_file: Path | None = None
    """A file that holds `url`, when it has a password."""
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    """SQLite: NORMAL survives a killed process, FULL also a power cut."""
    pool: Annotated[int, Field(ge=2, le=200)] = 16
    """PostgreSQL: connections of one gateway."""


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


class Loop(Section):
    """Bounds of a turn."""

    max_running: Annotated[int, Field(ge=1)] = 256
    """Sessions that may run at the same time in this process; others wait their turn."""
    max_tool_rounds: Annotated[int, Field(ge=1)] = 200
    """Model requests in one turn before ``tool_use_limit_reached_error``."""
    max_compactions: Annotated[int, Field(ge=1)] = 3
    """Compactions in a row before ``compaction_limit_reached_error``."""
    compact_at: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """The share of the model's input window at which the context is compacted."""
    parallel_calls: Annotated[int, Field(ge=1)] = 16
    """Tool calls of one session that run at the same time."""


class SandboxSettings(Section):
    """Where tools run."""

    driver: Literal["bubblewrap"] = "bubblewrap"
    """What makes the sandboxes."""
    require: list[Literal["own_uid", "memory", "processes", "cpu", "disk", "kernel_isolation"]] = []
    """Refuse to start a sandbox unless these are enforced."""
    uid_range: tuple[int, int] = (210_000, 275_535)
    """Host user ids for sandboxes, one each, when the gateway runs as root."""
    memory: Bytes = 2 * 1024**3
    """Memory of one sandbox."""
    processes: Annotated[int, Field(gt=0)] = 512
    """Processes of one sandbox."""
    cpus: Annotated[float, Field(gt=0)] = 2.0
    """Processor time of one sandbox, in cores."""
    open_files: Annotated[int, Field(gt=0)] = 4096
    """Open files of one process."""
    file_size: Bytes = 4 * 1024**3
    """The largest file."""
    tmp: Bytes = 512 * 1024**2
    """The size of each in-memory directory, such as ``/tmp``."""
    disk: Bytes = 10 * 1024**3
    """What one sandbox may write to disk."""
    start_seconds: Annotated[float, Field(gt=0)] = 20.0
    """How long a sandbox may take to start."""
    call_seconds: Annotated[float, Field(gt=0)] = 600.0
    """The longest a single tool call may take, whatever it asks for itself."""
    idle_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How long an idle session keeps its processes; its files stay."""


class Log(Section):
    """What the gateway writes on standard error."""

    format: Literal["auto", "console", "json"] = "auto"
    """``auto`` is ``console`` on a terminal, else ``json``."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious lines that are written."""
