"""What an operator can set, section by section; `gateway.config` reads it."""

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)


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


class EnvironmentLimits(Section):
    """Limits of one environment's sandboxes; what is not set is as in ``sandbox``."""

    memory: Bytes | None = None
    """Memory of one sandbox."""
    processes: Annotated[int, Field(gt=0)] | None = None
    """Processes and threads of one sandbox."""
    cpus: Annotated[float, Field(gt=0)] | None = None
    """Processor time of one sandbox, in cores."""
    open_files: Annotated[int, Field(gt=0)] | None = None
    """Open files of one process."""
    file_size: Bytes | None = None
    """The largest file."""
    tmp: Bytes | None = None
    """The size of each in-memory directory."""
    disk: Bytes | None = None
    """What one sandbox may write to disk."""
    files: Annotated[int, Field(gt=0)] | None = None
    """Files and directories that one sandbox may make."""


class DockerSettings(Section):
    """Sandboxes that are containers, made by an engine on this host."""

    address: str = ""
    """``unix:///PATH`` of the engine's socket; empty means ``DOCKER_HOST``, or the usual place."""
    image: str = ""
    """What programs see; empty means an image that the gateway makes from packages, once."""
    runtime: Literal["auto", "runc", "runsc"] = "auto"
    """``auto`` is gVisor's runsc, which isolates the kernel, if the engine lists it, else runc."""
    idle: Annotated[int, Field(ge=0, le=64)] = 1
    """Containers started ahead, for each of the last kinds that sessions asked for."""


class SandboxSettings(Section):
    """Where tools run."""

    driver: Literal["bubblewrap", "docker"] = "bubblewrap"
    """What makes the sandboxes: this program alone, or the container engine of this host."""
    docker: DockerSettings = DockerSettings()
    require: list[Literal["own_uid", "memory", "processes", "cpu", "disk", "kernel_isolation"]] = []
    """Refuse to start a sandbox unless these are enforced."""
    uid_range: tuple[int, int] = (210_000, 275_535)
    """Host user ids for sandboxes, one each, when the gateway runs as root."""
    memory: Bytes = 2 * 1024**3
    """Memory of one sandbox."""
    processes: Annotated[int, Field(gt=0)] = 512
    """Processes and threads of one sandbox."""
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
    files: Annotated[int, Field(gt=0)] = 1_000_000
    """Files and directories that one sandbox may make."""
    environments: dict[str, EnvironmentLimits] = {}
    """Other limits for the sandboxes of an environment, by its id or its name."""
    keep_free: Bytes = 1024**3
    """What sandboxes leave free on the disk of the data directory."""
    start_seconds: Annotated[float, Field(gt=0)] = 20.0
    """How long a sandbox may take to start."""
    call_seconds: Annotated[float, Field(gt=0)] = 600.0
    """The longest a single tool call may take, whatever it asks for itself."""
    clone_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How long cloning one repository of a session may take."""
    freeze_seconds: Annotated[float, Field(ge=0)] = 15.0
    """After how long an idle session's processes stop where they are, until they are needed."""
    idle_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How long an idle session keeps its processes; its files stay."""
    archive_seconds: Annotated[float, Field(ge=0)] = 3600.0
    """After how long without processes a sandbox's files become one archive."""
    archive_size: Bytes = 12 * 1024**3
    """The largest archive; a sandbox with more files than fit stays as it is."""
    expire_days: Annotated[float, Field(gt=0)] = 30.0
    """How long after its start from nothing an idle sandbox loses its files."""


class Files(Section):
    """Files: where their bytes are, and how many there may be."""

    url: str = ""
    """``s3://BUCKET/PREFIX`` for an S3-compatible store; empty means the data directory."""
    endpoint: str | None = None
    """The address of the S3-compatible store; AWS if there is none."""
    region: str | None = None
    """The region of the bucket."""
    virtual_hosted: bool = False
    """Put the bucket into the host name of requests and not into their path."""
    access_key_id: str | None = None
    """The key's name; without one the SDK's usual places are searched."""
    secret_access_key: SecretStr | None = None
    """The key itself."""
    secret_access_key_file: Path | None = None
    """A file that holds the key."""
    max_file: Bytes = 500 * 1024**2
    """The largest file."""
    quota: Bytes = 1024**4
    """What all files may take together; copies in sessions do not count."""
    upload_seconds: Annotated[float, Field(gt=0, le=43_200)] = 3600.0
    """The longest an upload may take."""
    calls_per_minute: Annotated[int, Field(ge=0)] = 0
    """Requests to the Files API a minute, for each workspace; 0 sets no limit."""
    download_uploads: bool = False
    """Uploaded files can be downloaded; else only what sessions made."""
    expired_days: Annotated[int, Field(ge=0)] = 30
    """How long an expired file is still listed; its bytes are gone at once."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How often expired and deleted files are cleaned up."""
    inline: Bytes = 24 * 1024**2
    """The bytes of files that one model request may carry; older ones are left out."""
    output_files: Annotated[int, Field(ge=0)] = 1000
    """Files of one session's outputs that are kept."""
    output_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How often a running session's outputs are looked at; at the end of a turn they always are."""


class Web(Section):
    """The tools web_fetch and web_search."""

    search: Literal["", "brave", "tavily", "searxng"] = ""
    """What searches the web; empty: web_search says that there is none."""
    search_url: Annotated[str, Field(pattern=r"^(https?://[!-~]+)?$")] = ""
    """Where it is, if not at the engine's own address; SearXNG needs it. May be private."""
    search_key: SecretStr | None = None
    """The key it is called with."""
    search_key_file: Path | None = None
    """A file that holds the key."""
    search_price: Annotated[float, Field(ge=0)] = 0.0
    """US dollars for a thousand searches, as part of a session's list cost."""
    search_results: Annotated[int, Field(ge=1, le=20)] = 10
    """Results of one search, at most."""
    max_content_tokens: Annotated[int, Field(ge=1)] = 25_000
    """Text of one web_fetch, at four characters a token, when the agent does not say."""
    user_agent: Annotated[str, Field(pattern=r"^[!-~][ -~]*$")] = (
        "Wharfkeep/0.1 (+https://github.com/wharfkeep/wharfkeep)"
    )
    """How web_fetch presents itself; ``robots.txt`` is read for the part before the slash."""
    robots: bool = True
    """web_fetch respects ``robots.txt``."""
    private_hosts: list[str] = []
    """Hosts that web_fetch may reach although their addresses are private."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.search == "searxng" and not self.search_url:
            raise ValueError("search_url is needed when search is 'searxng'")
        keyed = self.search_key is not None or self.search_key_file is not None
        if self.search in ("brave", "tavily") and not keyed:
            raise ValueError(f"search_key or search_key_file is needed for {self.search!r}")
        return self


class Egress(Section):
    """How programs in sandboxes reach the network: through the gateway's proxy alone."""

    allowed_private_hosts: list[str] = []
    """Hosts that may be, or resolve to, private addresses: names, ``*.NAME``, addresses, and
    ``package-registries`` for the hosts in this machine's package managers' configuration."""
    ca_file: Path | None = None
    """Certificates that programs inside trust, in PEM; this machine's own by default."""
    connections: Annotated[int, Field(ge=1)] = 128
    """Connections of one session at the same time."""
    connect_seconds: Annotated[float, Field(gt=0)] = 10.0
    """To resolve a name and reach one of its addresses."""
    handshake_seconds: Annotated[float, Field(gt=0)] = 10.0
    """For the head of a request, and for the first bytes of TLS."""
    idle_seconds: Annotated[float, Field(gt=0)] = 300.0
    """The longest silence on a connection."""
    max_seconds: Annotated[float, Field(gt=0)] = 4 * 3600.0
    """The longest a connection may take."""
    max_bytes: Bytes = 16 * 1024**3
    """What one connection may carry, both directions together."""


class Packages(Section):
    """Packages of environments: installed once, before a session needs them."""

    always: list[str] = ["curl", "git", "procps", "unzip", "xz-utils"]
    """What every Debian root has, besides Python and what an environment names."""
    apt_sources: list[Path] = []
    """Files in apt's format to take Debian packages from, instead of this machine's own."""
    build_seconds: Annotated[float, Field(gt=0)] = 1800.0
    """The longest that installing the packages of one environment may take."""
    wait_seconds: Annotated[float, Field(ge=0)] = 300.0
    """How long a tool call waits for an installation before it says that one is going on."""
    retry_seconds: Annotated[float, Field(ge=0)] = 300.0
    """After a failure: how long calls are told of it before it is tried again."""
    parallel: Annotated[int, Field(ge=1)] = 2
    """Installations at the same time."""
    disk: Bytes = 8 * 1024**3
    """What the packages of one environment may take, and as much again while they are built."""
    keep_seconds: Annotated[float, Field(ge=0)] = 24 * 3600.0
    """How long installed packages are kept that no environment wants any more."""


class Log(Section):
    """What the gateway writes on standard error."""

    format: Literal["auto", "console", "json"] = "auto"
    """``auto`` is ``console`` on a terminal, else ``json``."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious lines that are written."""
