"""What a session's log comes to: the state a runner works on, made by `gateway.loop.fold`.

Nothing here does anything. The state can be written down (`dump`) and read back (`load`), which
is what a snapshot is; whatever is known only to a running process is left out.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from gateway.store.records import SessionStatus

VERSION = 2
"""Of the snapshot's shape; a snapshot of another version is ignored and the log is read."""

CallStage: TypeAlias = Literal["ready", "running", "confirm", "client"]


@dataclass(slots=True, kw_only=True)
class OpenCall:
    """A tool call of the last answer that has no result yet."""

    event: str
    """The id of its tool-use event."""
    type: str
    """Of that event: ``agent.tool_use``, ``agent.mcp_tool_use`` or ``agent.custom_tool_use``."""
    provider_id: str
    """What the model calls it (``toolu_...``)."""
    name: str
    input: dict[str, Any]
    place: Literal["sandbox", "web", "server", "client"]
    permission: Literal["allow", "ask", "deny"] = "allow"
    broken: bool = False
    evaluation: dict[str, Any] | None = None
    """What policy was evaluated when it was made, as its event shows it."""
    labels: list[str] = field(default_factory=list[str])
    """What is true of the session once this has come back (`Conduct.labels`)."""
    cents: int = 0
    """What it spends if it runs."""
    answer: Literal["allow", "deny"] | None = None
    reason: str | None = None
    running: bool = False
    """A task of this process works on it. Never written down."""

    @property
    def stage(self) -> CallStage:
        """Who must act next: we (``ready``), a task of ours, or the client."""
        if self.running:
            return "running"
        if self.permission == "ask" and self.answer is None:
            return "confirm"
        if self.place == "client" and self.permission != "deny":
            return "client"
        return "ready"

    @property
    def awaits(self) -> str | None:
        """The type of client event that moves this call on, if only a client can."""
        match self.stage:
            case "confirm":
                return "user.tool_confirmation"
            case "client" if self.type == "agent.custom_tool_use":
                return "user.custom_tool_result"
            case "client":
                return "user.tool_result"
            case _:
                return None


@dataclass(slots=True, kw_only=True)
class ThreadState:
    """One thread: its conversation, its open calls, and what it owes."""

    id: str
    status: SessionStatus = "idle"
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The model's context, in Messages form, from the last compaction on."""
    calls: dict[str, OpenCall] = field(default_factory=dict[str, OpenCall])
    order: list[str] = field(default_factory=list[str])
    """Provider ids of the calls of the last answer, in its order."""
    results: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Finished ``tool_result`` blocks of that answer by provider id."""
    owes_answer: bool = False
    """The model has something to answer."""
    span: str | None = None
    """The open ``span.model_request_start``."""
    rounds: int = 0
    """Model answers in this turn."""
    attempts: int = 0
    """Failed model requests since the last good one."""
    compactions: int = 0
    """Compactions since the last good answer."""
    context_tokens: int = 0
    """What the last request read and wrote: the size of the context so far."""
    stop: str = "end_turn"
    """Why the thread will rest, once nothing is left to do."""
    stop_details: dict[str, Any] | None = None
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    active_micros: int = 0
    running_since: int | None = None
    created_at: int = 0


@dataclass(slots=True, kw_only=True)
class Conduct:
    """What a session has done so far that policies look at. Nothing in here is ever taken back."""

    labels: list[str] = field(default_factory=list[str])
    """``private`` and ``untrusted``: what it has read; ``data:CLASS``: of what classes. Sorted."""
    cents: int = 0
    """What its calls have spent; what those under way will spend is theirs (`OpenCall.cents`)."""
    calls: list[int] = field(default_factory=list[int])
    """When it made its last calls, of the last minute and no more than `MAX_CALLS`."""
    source_ip: str | None = None
    """Where the last message of a client came from."""


MAX_CALLS = 1000


@dataclass(slots=True, kw_only=True)
class State:
    """A whole session."""

    primary: str
    threads: dict[str, ThreadState]
    status: SessionStatus = "idle"
    shown_waiting: list[str] = field(default_factory=list[str])
    """The event ids of the last ``requires_action``."""
    stop_reason: str | None = None
    """``stop_reason.type`` of the last idle."""
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    active_micros: int = 0
    running_since: int | None = None
    last_event_at: int = 0
    cost: str = "0"
    outcomes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rubrics: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """The ``user.define_outcome`` of each outcome, by outcome id."""
    evaluation: str | None = None
    """The open ``span.outcome_evaluation_start``."""
    conduct: Conduct = field(default_factory=Conduct)

    @property
    def main(self) -> ThreadState:
        return self.threads[self.primary]

    def waiting(self) -> dict[str, str]:
        """Open calls only a client can move on: event id -> the event type that does."""
        return {
            call.event: call.awaits
            for thread in self.threads.values()
            for call in thread.calls.values()
            if call.awaits is not None
        }

    def active_outcome(self) -> dict[str, Any] | None:
        """The outcome the agent is working towards, if there is one (spec/core 5.10)."""
        for entry in self.outcomes:
            if entry["result"] in ("pending", "running", "evaluating"):
                return entry
        return None


def fresh(primary: str, created_at: int) -> State:
    """The state of a session before its first event."""
    return State(primary=primary, threads={primary: ThreadState(id=primary, created_at=created_at)})


def dump(state: State) -> bytes:
    """Write a state down as a snapshot."""
    document = asdict(state)
    for thread in document["threads"].values():
        for call in thread["calls"].values():
            call["running"] = False
    return json.dumps({"version": VERSION, "state": document}, separators=(",", ":")).encode()


def load(snapshot: bytes) -> State | None:
    """Read a snapshot back; None when another version wrote it."""
    document: dict[str, Any] = json.loads(snapshot)
    if document["version"] != VERSION:
        return None
    body: dict[str, Any] = document["state"]
    threads: dict[str, ThreadState] = {}
    for key, thread in body.pop("threads").items():
        calls = {event: OpenCall(**call) for event, call in thread.pop("calls").items()}
        threads[key] = ThreadState(calls=calls, **thread)
    conduct = Conduct(**body.pop("conduct"))
    return State(threads=threads, conduct=conduct, **body)
