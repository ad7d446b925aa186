"""What a sandbox is: the promises every driver keeps, and nothing about how.

A driver makes places to run programs. The gateway asks for one, claims it for a session, and opens
byte channels into it; what travels over a channel is not the sandbox's business. Everything that
comes out of a sandbox is hostile.

How a channel is made. The driver listens on a Unix socket that it owns and that the sandbox can
only dial. The program inside (``toolservers.init``) dials it and sends one line,
``{"token": TOKEN}``: that connection is the control line. To open a channel the driver writes
``{"open": CHANNEL_ID, "target": "tools"}`` or ``{"open": CHANNEL_ID, "target": "spawn",
"argv": [...], "env": {...}}`` on the control line; the program inside dials the same socket again
with ``{"token": TOKEN, "channel": CHANNEL_ID}`` and from the next byte on that connection is the
channel: newline-delimited JSON-RPC for ``tools``, the child's standard input and output for
``spawn``. Other control lines: ``{"pull": CHANNEL_ID, "path": ...}``, ``{"push": CHANNEL_ID,
"path": ..., "mode": ...}`` (file bytes on the channel, end of file ends it; after a push the
program answers one line ``{"ok": true}`` or ``{"error": TEXT}``, a pull begins with such a line),
``{"claim": {"env": {...}}}`` answered by ``{"claimed": true}``, and ``{"exit": true}``. The program
inside says ``{"ready": true, "pid": N}`` first, ``{"failed": CHANNEL_ID, "error": TEXT}`` when a
channel could not be opened, and ``{"exited": CHANNEL_ID, "status": N}`` when a spawned child ends.

How a sandbox reaches the network. It has no interface but its own loopback. What it may reach it
reaches through an egress proxy of the gateway, which listens on a Unix socket named `EGRESS_NAME`
in `Sandbox.sockets`: that directory is the gateway's and shows read-only inside, so the socket can
be made after the start, when it is known whose sandbox it is, and no other sandbox can see it. The
program inside relays ``127.0.0.1:RELAY_PORT`` to it, from the moment of the claim, if it is there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

EGRESS_NAME = "egress"
UPLOADS = "/mnt/session/uploads"
RELAY_PORT = 3128

Enforcement: TypeAlias = Literal[
    "cgroup-v2", "cgroup-v1", "rlimit", "watchdog", "tmpfs", "tool server", "none"
]

Requirement: TypeAlias = Literal[
    "own_uid", "memory", "processes", "cpu", "disk", "kernel_isolation"
]


Suspension: TypeAlias = Literal["freeze", "layer", "archive", "mount"]
"""A way to rest: processes stopped in memory; files kept in place; files in one archive; and an
archive that is used where it lies instead of being unpacked."""

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many entries are there already, and of how many; in any thread."""


class SandboxError(Exception):
    """The root of everything a driver raises."""


class Unavailable(SandboxError):
    """This driver cannot work on this machine; the message says what to do about it."""


class Unsupported(SandboxError):
    """The driver cannot do what was asked, or cannot honour a requirement of the spec."""


class SandboxGone(SandboxError):
    """The sandbox died or was destroyed; make another one."""


class TooLarge(SandboxError):
    """The files do not fit into an archive of the size that is allowed; nothing was lost."""


class Damaged(SandboxError):
    """An archive is not what was recorded of it, or another sandbox's; nothing came of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one sandbox. Bytes, counts, and CPUs as a fraction of one core."""

    memory: int = 2 * 1024**3
    processes: int = 512
    cpus: float = 2.0
    open_files: int = 4096
    file_size: int = 4 * 1024**3
    tmp: int = 512 * 1024**2
    """Bytes of each in-memory directory such as /tmp."""
    disk: int = 10 * 1024**3
    """Bytes of the writable layer, as they are allocated: holes in files cost nothing."""
    files: int = 1_000_000
    """Files and directories of the writable layer."""
    output: int = 100 * 1024
    """Bytes of what one shell command writes that its caller is shown: the last ones."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file of the host that shows inside."""

    source: Path
    """On the host, and ours: nothing inside ever decides what is there."""
    target: str
    """Inside: an absolute path below ``/opt`` or ``/mnt``, but not below `UPLOADS`."""
    writable: bool = False
    """Programs inside may change it; then it has to belong to the sandbox's user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """A place to run programs, before it belongs to anyone."""

    id: str
    """Names the sandbox and its layer; safe as a file name."""
    limits: Limits = field(default_factory=Limits)
    root: Path | None = None
    """The system that programs see, a Debian root made by `sandbox.image`; None is the driver's."""
    mounts: tuple[Mount, ...] = ()
    arguments: tuple[str, ...] = ()
    """More arguments of the program inside."""
    require: frozenset[Requirement] = frozenset()
    """What must be enforced; a driver that cannot raises `Unsupported`."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that was reached."""

    limit: str
    """The field of `Limits`."""
    text: str
    """For whoever works inside: which limit, what was done about it, what to do now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What has to be remembered of an archive to trust it again."""

    size: int
    """Bytes of the file."""
    entries: int
    """Files, directories and links in it."""
    digest: str
    """SHA-256 of the file, in hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a driver can do on this machine, found by trying it."""

    driver: str
    isolation: str
    """One line for people: what stands between a program inside and this machine."""
    own_uid: bool
    """Each sandbox runs under a host user id of its own."""
    limits: Mapping[str, Enforcement]
    """For each field of `Limits`: what enforces it here."""
    suspend: tuple[Suspension, ...] = ()
    notes: tuple[str, ...] = ()
    """What is not enforced here, each with the remedy."""


class Channel(Protocol):
    """A byte stream into a sandbox, in both directions."""

    async def send(self, data: bytes) -> None:
        """Write all of `data`.

        Raises:
            SandboxGone: The other side is gone.
        """
        ...

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Read what is there, at least one byte; ``b""`` at the end of the stream."""
        ...

    async def aclose(self) -> None: ...


class Sandbox(Protocol):
    """One isolated process tree and its writable layer."""

    @property
    def id(self) -> str: ...

    @property
    def ref(self) -> str:
        """What `Driver.adopt` needs to find this sandbox, or its layer, after a restart."""
        ...

    @property
    def uid(self) -> int:
        """The host user that programs inside are; connections from elsewhere are not its own."""
        ...

    @property
    def sockets(self) -> Path:
        """A directory of the host, only this sandbox's to enter, that shows read-only inside."""
        ...

    @property
    def uploads(self) -> Path:
        """A directory of the host, the gateway's to fill, that shows read-only at `UPLOADS` inside.

        It is empty at the start, whoever had the layer before, and goes with the processes. What
        is in it everybody inside may read as far as its modes say so.
        """
        ...

    @property
    def limits(self) -> Limits: ...

    @property
    def layer(self) -> Path:
        """The host directory that holds its files; what is in there an enemy wrote."""
        ...

    @property
    def alive(self) -> bool: ...

    async def claim(self, *, env: Mapping[str, str]) -> None:
        """Give the sandbox to a session: its identity and environment arrive only now."""
        ...

    async def open(
        self,
        target: Literal["tools", "spawn"],
        *,
        argv: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Channel:
        """Open a channel to the tool server, or to a new program.

        Raises:
            SandboxGone: The sandbox is dead; every later call raises it too.
        """
        ...

    async def pull(self, path: str, *, max_bytes: int) -> bytes:
        """Read a file as the program inside sees it; the host never follows the path.

        Raises:
            FileNotFoundError: There is no such file inside.
            SandboxError: It is not a regular file, or larger than `max_bytes`.
        """
        ...

    async def push(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file as the program inside would, parents included."""
        ...

    async def freeze(self) -> None:
        """Stop every process inside where it is, so that it takes memory and nothing else.

        What is asked of a frozen sandbox waits for the thaw, but for `destroy`. Idempotent.

        Raises:
            SandboxError: Something inside does not stop; everything runs on.
            SandboxGone: The sandbox is dead.
        """
        ...

    async def thaw(self) -> None:
        """Let everything inside go on, within milliseconds. Idempotent.

        Raises:
            SandboxGone: The sandbox is dead.
        """
        ...

    async def breaches(self) -> Sequence[Breach]:
        """The limits that were reached since this was last asked, one entry for each limit.

        Asked after a call, it also makes room for the next one: where processes still fill their
        limit, all but the program that serves the gateway are killed. A dead sandbox can be asked
        too, and tells what it died of, if that was a limit.
        """
        ...

    async def count_processes(self) -> int:
        """How many processes there are inside, besides the program that serves the gateway."""
        ...

    async def destroy(self, *, keep_layer: bool = False) -> None:
        """Kill the whole process tree and, unless kept, remove the layer. Idempotent."""
        ...


class Driver(Protocol):
    """Makes sandboxes of one kind."""

    async def probe(self) -> Capabilities:
        """Try the real thing once.

        Raises:
            Unavailable: It does not work here; the message names the remedy.
        """
        ...

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Start a sandbox; returns when the program inside said that it is ready.

        Raises:
            Unsupported: A requirement of the spec cannot be enforced here.
            Unavailable: It did not start.
        """
        ...

    async def adopt(self, ref: str, spec: SandboxSpec) -> Sandbox:
        """Start again on the layer that an earlier process left behind; processes are lost.

        Raises:
            SandboxGone: The layer is not there any more.
        """
        ...

    async def archive(self, ref: str, destination: Path, *, max_bytes: int) -> Archive:
        """Write a kept layer, on which nothing runs, to the new file `destination`.

        The file is on the disk when this returns; after an error there is none. The layer stays
        (`forget` removes it). What an archive holds, and how: `sandbox.archive.archive`.

        Raises:
            SandboxGone: There is no such layer.
            TooLarge: The file would have more than `max_bytes`, or its entries claim to.
            SandboxError: The sandbox is running, or the disk failed.
        """
        ...

    async def restore(
        self, spec: SandboxSpec, source: Path, archive: Archive, *, progress: Progress | None = None
    ) -> Sandbox:
        """Make a sandbox whose layer is what `archive` recorded of the sandbox `spec.id`.

        Before it returns every file is there. `source` may be removed afterwards, and must not
        change. A layer of that name must not be there any more.

        Raises:
            Damaged: `source` is not that archive, or not one of `spec.id`; no layer was made.
            Unsupported, Unavailable: As for `create`; no layer was made.
        """
        ...

    async def forget(self, ref: str) -> None:
        """Remove a kept layer, if it is there.

        Raises:
            SandboxError: The sandbox is running.
        """
        ...

    async def reap(self, keep: frozenset[str] = frozenset()) -> list[str]:
        """Remove what earlier processes left, but for the refs to keep. Returns what went."""
        ...

    async def aclose(self) -> None:
        """Destroy every live sandbox, keeping layers, and release the machine's resources."""
        ...
