"""Event streams: a reader of the log that also hears what is not stored.

A stream shows what happens from its first byte on. The log is what it follows: frames from the bus
only make it prompt, and a stream that fell behind reads what it missed. If nobody has watched the
session since the last event a client sent, the stream begins there, so that a client that sends
first and streams afterwards never misses the end of its turn (spec/core 6.10).
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio

from gateway.api.context import ApiCall, Gateway, Stream
from gateway.api.sessions import find_session
from gateway.api.threads import find_thread
from gateway.loop.frame import Frame, of_event, of_input
from gateway.store.bus import Delivery, Subscription
from gateway.store.records import Event
from gateway.wire import queries, sse

PAGE = 500
"""Log rows read at a time while catching up."""

_LAST_OF_SESSION = frozenset({"session.status_terminated"})
"""Nothing can happen after these, so the stream ends (spec/core 6.10)."""
_LAST_OF_THREAD = _LAST_OF_SESSION | {"session.thread_status_terminated"}


async def session(gateway: Gateway, call: ApiCall) -> Stream:
    """``GET /v1/sessions/{id}/events/stream``."""
    row = await find_session(gateway, call)
    deltas = queries.EVENT_STREAM.parse(call.query)["event_deltas"]
    reader = _Reader(gateway, row.id, None, frozenset(deltas), after=row.seq)
    return Stream(reader.read())


async def thread(gateway: Gateway, call: ApiCall) -> Stream:
    """``GET /v1/sessions/{id}/threads/{thread}/stream``."""
    row = await find_session(gateway, call)
    found = await find_thread(gateway, call)
    deltas = queries.EVENT_STREAM.parse(call.query)["event_deltas"]
    reader = _Reader(gateway, row.id, found.id, frozenset(deltas), after=row.seq)
    return Stream(reader.read())


class _Reader:
    """One open stream."""

    def __init__(
        self,
        gateway: Gateway,
        session: str,
        thread: str | None,
        deltas: frozenset[str],
        *,
        after: int,
    ) -> None:
        self._gateway = gateway
        self._session = session
        self._thread = thread
        self._deltas = deltas
        self._after = after
        self._last = _LAST_OF_SESSION if thread is None else _LAST_OF_THREAD
        self._started: set[str] = set()
        """Previews announced on this connection and not yet finished."""
        self._read: set[str] = set()
        """Events shown from the log; what the bus still has of how they came about is old."""
        self._ended = False

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The bytes of the stream, until the client goes or the session ends.

        The first of them, which may be none, come at once: from then on nothing is missed.
        """
        with self._gateway.bus.subscribe(self._session) as subscription:
            async with aclosing(self._missed()) as missed:
                async for data in missed:
                    yield data
            while not self._ended:
                yield await self._next(subscription)

    async def _missed(self) -> AsyncGenerator[bytes, None]:
        """What came before the subscription: since the request or, unwatched, since the send."""
        log = self._gateway.store.log
        unwatched_since = await log.take_replay(session=self._session)
        if unwatched_since is not None:
            self._after = min(self._after, unwatched_since)
        async with aclosing(self._catch_up()) as events:
            async for data in events:
                yield data
        if unwatched_since is not None:
            for item in await log.inputs(session=self._session):
                yield of_input(item, "").data

    async def _catch_up(self) -> AsyncGenerator[bytes, None]:
        """Log rows that this stream has not shown, page by page, of which one may be empty."""
        log = self._gateway.store.log
        while True:
            rows = await log.read(
                session=self._session, after=self._after, limit=PAGE, thread=self._thread
            )
            yield b"".join([self._take(row) for row in rows])
            if len(rows) < PAGE:
                return

    def _take(self, row: Event) -> bytes:
        self._after = row.seq
        self._read.add(row.id)
        self._ended = self._ended or row.type in self._last
        return of_event(row).data

    async def _next(self, subscription: Subscription[Frame]) -> bytes:
        """The next bytes: as many events as are there, or a ping after a silence."""
        with anyio.move_on_after(self._gateway.config.server.ping_seconds):
            while True:
                delivery = await subscription.receive()
                data = b"".join([part async for part in self._show(delivery)])
                if data or self._ended:
                    return data
        return sse.PING

    async def _show(self, delivery: Delivery[Frame]) -> AsyncGenerator[bytes, None]:
        if delivery.lagged:
            # Frames were lost: previews cannot be continued, events are in the log.
            self._started.clear()
            async with aclosing(self._catch_up()) as events:
                async for data in events:
                    yield data
        for frame in delivery.frames:
            if self._wanted(frame):
                yield frame.data

    def _wanted(self, frame: Frame) -> bool:
        match frame.kind:
            case "deleted":
                self._ended = True
                return True
            case "event":
                return self._wants_event(frame)
            case "queued":
                return self._thread in (None, frame.thread) and frame.id not in self._read
            case "start":
                return self._wants_start(frame)
            case "delta":
                return frame.id in self._started
        return False

    def _wants_event(self, frame: Frame) -> bool:
        if frame.seq <= self._after:
            return False
        if frame.on_primary if self._thread is None else frame.thread == self._thread:
            self._after = frame.seq
            self._started.discard(frame.id)
            self._ended = frame.type in self._last
            return True
        return False

    def _wants_start(self, frame: Frame) -> bool:
        if frame.type not in self._deltas or self._other_thread(frame) or frame.id in self._read:
            return False
        self._started.add(frame.id)
        return True

    def _other_thread(self, frame: Frame) -> bool:
        return not frame.on_primary if self._thread is None else frame.thread != self._thread
