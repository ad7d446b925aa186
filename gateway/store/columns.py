"""How records become columns and come back. Not what any statement says."""

import json
from collections.abc import Sequence
from typing import Any

from gateway.store import schema
from gateway.store.records import Event, Head, Input, SessionRow, ThreadRow

_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.loads

SESSION = [
    schema.sessions.c.id,
    schema.sessions.c.workspace,
    schema.sessions.c.environment,
    schema.sessions.c.agent,
    schema.sessions.c.agent_version,
    schema.sessions.c.deployment,
    schema.sessions.c.primary_thread,
    schema.sessions.c.body,
    schema.heads.c.status,
    schema.heads.c.head,
    schema.heads.c.seq,
    schema.sessions.c.created_at,
    schema.heads.c.updated_at,
    schema.sessions.c.archived_at,
    schema.sessions.c.actor,
]
"""What `read_session` reads, in its order."""

THREAD = list(schema.threads.c)
EVENT = [column for column in schema.events.c if column.name != "session"]
INPUT = [column for column in schema.inbox.c if column.name not in ("session", "position")]


def to_json(value: Any) -> str:
    """Compact JSON in ASCII only, which every database can hold as text."""
    return _encode(value)


def from_json(text: str) -> Any:
    return _decode(text)


def read_session(row: Sequence[Any], *, queued: bool) -> SessionRow:
    return SessionRow(
        id=row[0],
        workspace=row[1],
        environment=row[2],
        agent=row[3],
        agent_version=row[4],
        deployment=row[5],
        primary_thread=row[6],
        body=_decode(row[7]),
        head=Head(status=row[8], **_decode(row[9])),
        seq=row[10],
        created_at=row[11],
        updated_at=row[12],
        archived_at=row[13],
        actor=row[14],
        queued=queued,
    )


def head_json(head: Head) -> str:
    """The head without its status, which has a column of its own."""
    return _encode(
        {
            "waiting": head.waiting,
            "stop_reason": head.stop_reason,
            "usage": head.usage,
            "running_since": head.running_since,
            "outcomes": head.outcomes,
            "cost": head.cost,
        }
    )


def read_thread(row: Sequence[Any]) -> ThreadRow:
    return ThreadRow(
        id=row[0],
        session=row[1],
        parent=row[2],
        status=row[3],
        body=_decode(row[4]),
        created_at=row[5],
        updated_at=row[6],
        archived_at=row[7],
    )


def thread_params(thread: ThreadRow) -> dict[str, Any]:
    return {
        "id": thread.id,
        "session": thread.session,
        "parent": thread.parent,
        "status": thread.status,
        "body": _encode(thread.body),
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "archived_at": thread.archived_at,
    }


def read_event(row: Sequence[Any]) -> Event:
    return Event(
        seq=row[0],
        id=row[1],
        type=row[2],
        thread=row[3],
        on_primary=bool(row[4]),
        processed_at=row[5],
        wire=row[6],
        private=row[7],
    )


def event_params(session: str, seq: int, event: Event) -> dict[str, Any]:
    return {
        "session": session,
        "seq": seq,
        "id": event.id,
        "type": event.type,
        "thread": event.thread,
        "on_primary": int(event.on_primary),
        "processed_at": event.processed_at,
        "wire": event.wire,
        "private": event.private,
    }


def read_input(row: Sequence[Any]) -> Input:
    return Input(
        id=row[0],
        type=row[1],
        accepted_at=row[2],
        wire=row[3],
        target=row[4],
        private=row[5],
    )


def input_params(session: str, position: int, entry: Input) -> dict[str, Any]:
    return {
        "session": session,
        "position": position,
        "id": entry.id,
        "type": entry.type,
        "accepted_at": entry.accepted_at,
        "wire": entry.wire,
        "target": entry.target,
        "private": entry.private,
    }
