"""One answer as it streams in: received whole, and shown as previews while it is being written.

Previews go to open streams only and are never stored; the events they announce are made once,
when the answer is complete (spec/core 6.5). What the events are is `gateway.loop.scribe`.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

from gateway.loop import frame
from gateway.loop.journal import Journal
from gateway.model.contract import Answer, Model, ModelError, Request, TextDelta, Thinking
from gateway.wire import events, sse


class Previews:
    """Announces an answer while it is being written, to streams that are open.

    The ids it gives out are the ids of the events that follow, if any do.
    """

    def __init__(self, journal: Journal, thread: str) -> None:
        self._journal = journal
        self._thread = thread
        self.message: str | None = None
        self.thinking: list[str] = []

    def show(self, part: TextDelta | Thinking) -> None:
        if isinstance(part, Thinking):
            self.thinking.append(self._journal.new_id("sevt"))
            self._start("agent.thinking", self.thinking[-1])
            return
        if self.message is None:
            self.message = self._journal.new_id("sevt")
            self._start("agent.message", self.message)
        if self._journal.watched:
            self._delta(part)

    def _start(self, kind: str, event: str) -> None:
        if self._journal.watched:
            self._publish("start", event, kind, events.start_preview(kind, event))

    def _delta(self, part: TextDelta) -> None:
        assert self.message is not None
        data = events.text_delta(self.message, part.index, part.text)
        self._publish("delta", self.message, "agent.message", data)

    def _publish(self, kind: frame.Kind, event: str, type_: str, data: bytes) -> None:
        framed = sse.frame(f"event_{kind}", data)
        self._journal.preview(
            frame.Frame(kind=kind, id=event, type=type_, data=framed, thread=self._thread)
        )


async def receive(model: Model, request: Request, previews: Previews | None) -> Answer:
    """Stream one answer to its end.

    Raises:
        ModelError: There is no answer; says whether trying again may help.
    """
    stream: AsyncIterator[object] = model.stream(request)
    async with aclosing(stream) as parts:  # pyright: ignore[reportArgumentType] - a generator
        async for part in parts:
            if isinstance(part, Answer):
                return part
            if previews is not None and isinstance(part, TextDelta | Thinking):
                previews.show(part)
    raise ModelError("request_failed", "the model's stream ended without an answer", retryable=True)
