"""A gateway among others on one PostgreSQL: that it lives, and what it tells the rest.

One connection holds an advisory lock for as long as the gateway lives: PostgreSQL lets go of it
when the connection ends, however it ends, and from then on the gateway's leases are void. The same
connection listens for the sessions that changed elsewhere. Notifications are sent in groups, since
one for every append would halve what the server can do.
"""

import secrets
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import anyio
import anyio.to_thread
import psycopg
from sqlalchemy import text

from gateway.clock import Clock
from gateway.store.engine import Database, Hot, Tx
from gateway.store.leases import unattended
from gateway.store.postgres import connect
from gateway.store.workers import current_loop

CHANNEL = "wharfkeep"
PING_SECONDS = 5.0
"""How often a silent connection is asked whether it is still there."""
GATHER_SECONDS = 0.005
"""How long topics are gathered before they are sent together."""
TOPICS = 200
"""Topics in one notification; its payload must stay below 8000 bytes."""

_IS_DEAD = Hot(
    # Whoever can share the lock proves that its owner no longer holds it alone.
    text("SELECT pg_try_advisory_xact_lock_shared(lock_key) FROM gateways WHERE id = :of")
)


_Connection: TypeAlias = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class SharedLeases:
    """The leases of one gateway among several."""

    _db: Database
    _clock: Clock
    owner: str
    lost: anyio.Event

    def lives(self, tx: Tx, owner: str) -> bool:
        if owner == self.owner:
            return True
        row = tx.run(_IS_DEAD, {"of": owner}).fetchone()
        return row is not None and not row[0]

    async def pending(self) -> list[str]:
        now = self._clock.now()
        return await self._db.read(lambda tx: unattended(tx, now, self.lives))


class SharedTurn:
    """Which gateway does a piece of work that only one has to do (`gateway.store.turn`).

    It holds an advisory lock on a connection of its own, so the work is free when that ends.

    Args:
        url: What libpq takes.
        key: The number of the work.
    """

    def __init__(self, url: str, key: int) -> None:
        self._url = url
        self._key = key
        self._connection: _Connection | None = None
        self._held = False
        self._lock = anyio.Lock()

    async def take(self) -> bool:
        async with self._lock:
            return await anyio.to_thread.run_sync(self._take)

    async def aclose(self) -> None:
        """Give the turn to somebody else."""
        async with self._lock:
            self._drop()

    def _take(self) -> bool:
        try:
            if self._connection is None:
                self._connection = connect(self._url)
                self._connection.autocommit = True
            if self._held:
                self._connection.execute("SELECT 1")
            else:
                row = self._connection.execute(
                    "SELECT pg_try_advisory_lock(%s)", [self._key]
                ).fetchone()
                self._held = row is not None and row[0]
        except psycopg.Error:
            self._drop()
        return self._held

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._held = None, False


class Presence:
    """This gateway's lock, its ear and its voice. Nothing happens before `start`.

    Args:
        url: What libpq takes.
        owner: The name the gateway holds its leases under.
        started_at: Microseconds, for people who look into the table.
    """

    def __init__(self, url: str, *, owner: str, started_at: int) -> None:
        self.lost = anyio.Event()
        self._url = url
        self._owner = owner
        self._started_at = started_at
        self._loop = current_loop()
        self._hear: Callable[[list[str]], None] = lambda _topics: None
        self._dirty: dict[str, None] = {}
        self._change = threading.Condition()
        self._closing = False
        self._alarm, self._bell = socket.socketpair()
        self._threads: list[threading.Thread] = []

    def hear(self, nudge: Callable[[list[str]], None]) -> None:
        """Call `nudge` on the event loop with the topics that changed on other gateways."""
        self._hear = nudge

    def relay(self, topic: str) -> None:
        """Tell the other gateways, a few milliseconds later, that this topic changed."""
        with self._change:
            self._dirty[topic] = None
            self._change.notify()

    async def start(self) -> None:
        """Take the lock, register, and begin to listen.

        Raises:
            psycopg.Error: The server does not let us.
        """
        connection = await anyio.to_thread.run_sync(self._register)
        listen = threading.Thread(target=self._listen, args=(connection,), daemon=True)
        self._threads = [listen, threading.Thread(target=self._speak, daemon=True)]
        for thread in self._threads:
            thread.start()

    async def aclose(self) -> None:
        """Send what is still to be sent, sign off, and let go of the lock."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._bell.send(b"!")
        for thread in self._threads:
            await anyio.to_thread.run_sync(thread.join)
        self._bell.close()
        self._alarm.close()

    def _register(self) -> _Connection:
        connection = connect(self._url)
        connection.autocommit = True
        key = secrets.randbits(62)
        connection.execute("SELECT pg_advisory_lock(%s)", [key])
        # Before our own row is there: a session can always share a lock with itself.
        connection.execute(
            "DELETE FROM gateways WHERE pg_try_advisory_xact_lock_shared(lock_key)",
        )
        connection.execute(
            "INSERT INTO gateways (id, lock_key, started_at) VALUES (%s, %s, %s)",
            [self._owner, key, self._started_at],
        )
        connection.execute(f"LISTEN {CHANNEL}")
        return connection

    def _listen(self, connection: _Connection) -> None:
        connection.add_notify_handler(lambda notify: self._heard(notify.payload))
        try:
            with connection, selectors.DefaultSelector() as selector:
                selector.register(connection.fileno(), selectors.EVENT_READ)
                selector.register(self._alarm, selectors.EVENT_READ)
                while not self._closing:
                    if selector.select(PING_SECONDS):
                        self._take_notifications(connection)
                    else:
                        connection.execute("SELECT 1")
                connection.execute("DELETE FROM gateways WHERE id = %s", [self._owner])
        except psycopg.Error:
            if not self._closing:
                self._loop.call_soon_threadsafe(self.lost.set)

    def _take_notifications(self, connection: _Connection) -> None:
        connection.pgconn.consume_input()
        while notify := connection.pgconn.notifies():
            self._heard(notify.extra.decode())

    def _heard(self, payload: str) -> None:
        sender, *topics = payload.split("\n")
        if sender != self._owner:
            self._loop.call_soon_threadsafe(self._hear, topics)

    def _speak(self) -> None:
        while not self._closing:
            try:
                with connect(self._url) as connection:
                    connection.autocommit = True
                    while topics := self._gather():
                        payload = "\n".join([self._owner, *topics])
                        connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])
            except psycopg.Error:
                # What was to be said is lost, as the bus allows; try again a little later.
                with self._change:
                    self._change.wait_for(lambda: self._closing, PING_SECONDS)

    def _gather(self) -> list[str]:
        """Wait for topics and then a moment for more; none when it is time to end."""
        with self._change:
            self._change.wait_for(lambda: self._dirty or self._closing)
            self._change.wait_for(lambda: self._closing, GATHER_SECONDS)
            topics = list(self._dirty)[:TOPICS]
            for topic in topics:
                del self._dirty[topic]
            return topics
