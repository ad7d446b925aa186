"""Sandboxes: what makes them, what bounds them, how they reach the network."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.settings.section import Bytes, Section

MOST_OUTPUT = 4 * 1024**2
"""It travels as one message."""


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
    output: Annotated[Bytes, Field(le=MOST_OUTPUT)] | None = None
    """What one shell command writes that the model is shown: the end of it."""


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
    output: Annotated[Bytes, Field(le=MOST_OUTPUT)] = 100 * 1024
    """What one shell command writes that the model is shown: the end of it."""
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
