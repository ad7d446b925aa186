"""What the store gives and takes: frozen rows, no SQL.

Instants are microseconds (`gateway.clock`). ``body`` is always the JSON object clients see, minus
what is computed at read time; ``wire`` is the exact bytes of one event as clients see it, made
once. ``private`` is what only the loop needs and is never served.
"""

from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

Order: TypeAlias = Literal["asc", "desc"]
SessionStatus: TypeAlias = Literal["idle", "running", "rescheduling", "terminated"]
BuildStatus: TypeAlias = Literal["queued", "running", "ready", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of a session's log.

    A row to append has no `seq` yet. `processed_at` is when it happened.
    """

    id: str
    type: str
    thread: str
    processed_at: int
    wire: bytes
    private: bytes | None = None
    on_primary: bool = True
    """Listed on the session's own log: true for the primary thread and for cross-posts."""
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A client's event that was accepted and not yet consumed into the log.

    `wire` shows ``processed_at: null`` while queued, but for the types that are processed on
    receipt (spec/core 6.1). `target` is the tool-use event a confirmation or result answers.
    """

    id: str
    type: str
    accepted_at: int
    wire: bytes
    target: str | None = None
    private: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The projections of a session: a summary of its log, kept equal to the fold of it."""

    status: SessionStatus = "idle"
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    """Open calls that only a client can answer: tool-use event id -> the event type that
    answers it (``user.tool_confirmation``, ``user.custom_tool_result``, ``user.tool_result``)."""
    stop_reason: str | None = None
    """``stop_reason.type`` of the last idle."""
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    """Token counters as on the wire, and ``active_micros`` up to the last idle."""
    running_since: int | None = None
    outcomes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    cost: str = "0"
    """Exact list cost in US cents, a decimal string."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    id: str
    workspace: str
    version: int
    body: dict[str, Any]
    created_at: int
    updated_at: int
    archived_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentRow:
    id: str
    workspace: str
    name: str
    body: dict[str, Any]
    created_at: int
    updated_at: int
    archived_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session; what its log decides is in `head`.

    `body` holds agent, environment_id, title, metadata, resources, vault_ids,
    deployment_id and budget.
    """

    id: str
    workspace: str
    environment: str
    agent: str
    agent_version: int
    deployment: str | None
    primary_thread: str
    body: dict[str, Any]
    head: Head
    seq: int
    """The last sequence number of the log; 0 before the first event."""
    created_at: int
    updated_at: int
    archived_at: int | None
    actor: str | None = None
    """For whom its agent acts: a principal, or the key that made it. Never served."""
    queued: bool = False
    """Inputs are waiting to be taken: the session is as good as running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadRow:
    """`body` holds agent, stats, usage, workflow_run_id."""

    id: str
    session: str
    parent: str | None
    status: SessionStatus
    body: dict[str, Any]
    created_at: int
    updated_at: int
    archived_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRow:
    """Which sandbox holds an owner's files. `owner` is a session id."""

    owner: str
    driver: str
    host: str
    ref: str
    uid: int | None
    generation: int
    created_at: int | None = None
    """When it was made, from nothing; its files expire some time after this."""
    idle_at: int | None = None
    """Since when its layer has been kept without processes; None while it runs or has none."""
    lost: int | None = None
    """Processes that ended when it was stopped; None if nobody counted."""
    archived: int | None = None
    """The generation of the archive that is the same as its layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRow:
    """What is known of an archive of a sandbox; its bytes are elsewhere (`key`)."""

    owner: str
    generation: int
    host: str
    """Who wrote it, and deletes it."""
    created_at: int
    size: int
    entries: int
    digest: str | None
    """SHA-256 in hex; None while it is being written."""

    @property
    def key(self) -> str:
        """Where its bytes are (`gateway.store.blobs`)."""
        return f"archives/{self.owner}/{self.generation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """How far a host is with the packages that one or more environments want."""

    host: str
    digest: str
    status: BuildStatus
    reason: str | None = None
    """Why it failed, for people."""
    lines: int = 0
    """How many lines were logged, also those that were too many to keep."""
    queued_at: int
    started_at: int | None = None
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class BuildLine:
    """One line of a build's log."""

    seq: int
    at: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """What is known of a file; its bytes are elsewhere (`gateway.store.blobs`)."""

    id: str
    workspace: str
    filename: str
    mime_type: str
    size: int
    sha256: str
    """Of the bytes, in hex."""
    blob: str | None
    """The key of its bytes, which several files may share; None once they are gone for good."""
    downloadable: bool
    counted: bool
    """It counts towards the quota; copies made for a session do not (spec/resources F-21)."""
    scope: str | None
    """The session it belongs to and is deleted with."""
    created_at: int
    expires_at: int | None

    def readable(self, now: int) -> bool:
        """Whether its bytes can still be had (spec/resources F-14)."""
        return self.blob is not None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Everything a runner needs to go on with a session, read under a fresh lease."""

    epoch: int
    session: SessionRow
    threads: list[ThreadRow]
    snapshot: bytes | None
    """The folded state at `snapshot_seq`, as the loop wrote it."""
    snapshot_seq: int
    tail: list[Event]
    """The log after the snapshot, in order, all threads."""
    inputs: list[Input]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What came of an append."""

    first_seq: int
    inputs: list[Input]
    """What was accepted meanwhile and is still queued."""
    idle: bool = True
    """False: `only_if_quiet` was asked, inputs were waiting, and nothing was written."""


class Cursor(NamedTuple):
    """A position in a list: the creation time and id of the last row shown."""

    order: Order
    at: int
    id: str
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    rows: list[T]
    next: Cursor | None = None
    prev: Cursor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bounds on an instant, as the wire's ``created_at[gt]`` and its siblings."""

    gt: int | None = None
    gte: int | None = None
    lt: int | None = None
    lte: int | None = None


class LogCursor(NamedTuple):
    """A position in a session's listed events.

    The log comes first and what is still queued comes after it; `seq` and `position` say how much
    of each was shown. Going down (`order` "desc") None means that part has not begun.
    """

    order: Order
    seq: int | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Events of a session in the order asked for; an `Input` is a client's event still queued."""

    rows: list[Event | Input]
    next: LogCursor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A session as it is while nobody else can change it."""

    session: SessionRow
    threads: list[ThreadRow]
    inputs: list[Input]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the API changes of a session by itself: its new row, events for the log, thread rows.

    Of `session` only body, head and archived_at are written.
    """

    session: SessionRow
    events: list[Event] = field(default_factory=list[Event])
    threads: list[ThreadRow] = field(default_factory=list[ThreadRow])
