"""Frames from those who act on a topic to those who watch it: in memory, bounded, lossy.

A topic is a session's id. Nothing durable depends on a frame: a watcher that fell behind, or whose
topic changed on another gateway, is told that it lagged and reads the log again.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

import anyio

Frame = TypeVar("Frame")

BOUND = 1024
"""Frames kept for a watcher that does not read them."""


class Delivery(NamedTuple, Generic[Frame]):
    """What a watcher receives: the frames since last time, and whether some are missing."""

    frames: list[Frame]
    lagged: bool


class Subscription(Generic[Frame]):
    """One watcher's queue; made by `Bus.subscribe`."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._lagged = False
        self._arrived = anyio.Event()

    async def receive(self) -> Delivery[Frame]:
        """Wait until something happens, then take all of it."""
        await self._arrived.wait()
        return self.receive_nowait()

    def receive_nowait(self) -> Delivery[Frame]:
        """Take what is there, which may be nothing."""
        delivery = Delivery(list(self._frames), self._lagged)
        self._frames.clear()
        self._lagged = False
        self._arrived = anyio.Event()
        return delivery

    def put(self, frame: Frame) -> None:
        """Give the watcher a frame; when its queue is full, all of it is dropped for a lag."""
        if len(self._frames) >= BOUND:
            self._frames.clear()
            self._lagged = True
        self._frames.append(frame)
        self._arrived.set()

    def lag(self) -> None:
        """Tell the watcher that something happened which it was not given."""
        self._lagged = True
        self._arrived.set()


class Bus(Generic[Frame]):
    """The topics of one gateway. Everything here runs on the event loop.

    Args:
        relay: Tells other gateways that a topic changed; None when there are no others.
    """

    def __init__(self, relay: Callable[[str], None] | None = None) -> None:
        self._relay = relay
        self._watchers: dict[str, list[Subscription[Frame]]] = {}
        self._listeners: list[Callable[[str], None]] = []

    def publish(self, topic: str, frame: Frame, *, local: bool = False) -> None:
        """Give `frame` to everyone who watches `topic` here, and nudge other gateways.

        A `local` frame, such as a preview, leaves no trace in the log, so others are not nudged.
        """
        for watcher in self._watchers.get(topic, ()):
            watcher.put(frame)
        if self._relay is not None and not local:
            self._relay(topic)

    @contextmanager
    def subscribe(self, topic: str) -> Generator[Subscription[Frame]]:
        """Watch `topic` for as long as the context is open."""
        watcher = Subscription[Frame]()
        self._watchers.setdefault(topic, []).append(watcher)
        try:
            yield watcher
        finally:
            watchers = self._watchers[topic]
            watchers.remove(watcher)
            if not watchers:
                del self._watchers[topic]

    def live(self, topic: str) -> bool:
        """Whether anyone watches `topic` on this gateway."""
        return topic in self._watchers

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have `listener` called with every topic that changes on another gateway."""
        self._listeners.append(listener)

    def nudge(self, topics: Iterable[str]) -> None:
        """Tell watchers and listeners that topics changed on another gateway."""
        for topic in topics:
            for listener in self._listeners:
                listener(topic)
            for watcher in self._watchers.get(topic, ()):
                watcher.lag()
