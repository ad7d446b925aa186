"""What travels from a runner, or from the API, to the streams that are open on a session.

A frame is finished bytes: they are made once, however many streams carry them. Frames are a
courtesy; the log is the truth, and a stream that missed some reads them there.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.store.records import Event, Input
from gateway.wire import sse

Kind: TypeAlias = Literal["event", "queued", "start", "delta", "deleted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One server-sent event for one session.

    `seq` is the log position of an ``event`` and 0 otherwise. `id` is the event's own id, which
    previews share with the event they announce; `type` is the type of that event.
    """

    kind: Kind
    id: str
    type: str
    data: bytes
    thread: str
    seq: int = 0
    on_primary: bool = True


def of_event(event: Event) -> Frame:
    """The frame of a log row."""
    return Frame(
        kind="event",
        id=event.id,
        type=event.type,
        data=sse.frame(event.type, event.wire),
        thread=event.thread,
        seq=event.seq,
        on_primary=event.on_primary,
    )


def of_input(item: Input, thread: str) -> Frame:
    """The frame of a client's event that was just accepted."""
    return Frame(
        kind="queued",
        id=item.id,
        type=item.type,
        data=sse.frame(item.type, item.wire),
        thread=thread,
    )
