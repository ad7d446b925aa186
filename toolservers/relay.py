"""The way out: connections to a local port, passed on to the egress proxy's socket.

Programs know how to use a proxy that has a port, not one that has a Unix socket. One thread
carries the bytes of all connections; nothing is read or decided here. A sandbox without the socket
has no way out, and nothing listens.
"""

from __future__ import annotations

import os
import socket
import threading
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, epoll

EGRESS_NAME = "egress"
"""The proxy's socket, next to the driver's; both names as in ``sandbox/contract.py``."""
PORT = 3128
MAX_CONNECTIONS = 256

_CHUNK = 256 * 1024
_READABLE = EPOLLIN | EPOLLHUP | EPOLLERR


def start(path: str, port: int = PORT) -> None:
    """Listen on 127.0.0.1 and relay from now on, if there is a proxy's socket at `path`."""
    if not os.path.exists(path):
        return
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        relay = Relay(listener, path)
        threading.Thread(target=relay.run, name="relay", daemon=True).start()
    except (OSError, RuntimeError):
        return  # what is not there cannot be reached, as without a proxy


class _Flow:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.waiting = b""
        """Read but not yet written; nothing more is read before it is."""
        self.ended = False
        """Nothing more will be read."""

    def move(self) -> None:
        """Carry what can be carried without waiting."""
        try:
            if not self.waiting and not self.ended:
                self.waiting = self.source.recv(_CHUNK)
                self.ended = not self.waiting
                if self.ended:
                    _shut(self.sink)
            while self.waiting:
                self.waiting = self.waiting[self.sink.send(self.waiting) :]
        except BlockingIOError:
            pass
        except OSError:
            self.give_up()

    def give_up(self) -> None:
        """There is nobody to read from, or to write to."""
        self.waiting = b""
        if not self.ended:
            self.ended = True
            _shut(self.sink)


class _Pair:
    """A program's connection and the one to the proxy that goes with it."""

    def __init__(self, client: socket.socket, proxy: socket.socket) -> None:
        self.ends = (client, proxy)
        self.flows = (_Flow(client, proxy), _Flow(proxy, client))

    @property
    def over(self) -> bool:
        return all(flow.ended and not flow.waiting for flow in self.flows)

    def act(self, fd: int, events: int) -> None:
        """Do what has become possible at one of the ends."""
        for flow in self.flows:
            if flow.sink.fileno() == fd and events & (EPOLLHUP | EPOLLERR):
                flow.give_up()
            elif events & (EPOLLOUT if flow.sink.fileno() == fd else _READABLE):
                flow.move()

    def interest(self, end: socket.socket) -> int:
        """What to wait for at an end; nothing, if it is the other one's turn."""
        wanted = 0
        for flow in self.flows:
            if flow.source is end and not flow.ended and not flow.waiting:
                wanted |= EPOLLIN
            if flow.sink is end and flow.waiting:
                wanted |= EPOLLOUT
        return wanted


class Relay:
    """Carries the connections of a listening socket to a Unix socket."""

    def __init__(self, listener: socket.socket, path: str) -> None:
        listener.setblocking(False)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
        self._listener = listener
        self._path = path
        self._poll = epoll()
        self._watched: dict[int, int] = {}
        self._pairs: dict[int, _Pair] = {}
        """By the descriptors of both ends."""

    def run(self) -> None:
        """Relay for ever."""
        while True:
            full = len(self._pairs) >= 2 * MAX_CONNECTIONS
            self._watch(self._listener.fileno(), 0 if full else EPOLLIN)
            for fd, events in self._poll.poll():
                if fd == self._listener.fileno():
                    self._take()
                elif fd in self._pairs:
                    pair = self._pairs[fd]
                    pair.act(fd, events)
                    self._update(pair)

    def _take(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        client.setblocking(False)
        proxy = socket.socket(socket.AF_UNIX)
        try:
            proxy.connect(self._path)
        except OSError:
            client.close()
            proxy.close()
            return
        proxy.setblocking(False)
        pair = _Pair(client, proxy)
        for end in pair.ends:
            self._pairs[end.fileno()] = pair
        self._update(pair)

    def _update(self, pair: _Pair) -> None:
        for end in pair.ends:
            fd = end.fileno()
            self._watch(fd, pair.interest(end))
            if pair.over:
                del self._pairs[fd]
                end.close()

    def _watch(self, fd: int, wanted: int) -> None:
        """An end that nothing is wanted of is not watched: its hang-up would be news for ever."""
        known = self._watched.get(fd, 0)
        if wanted == known:
            return
        if not wanted:
            self._poll.unregister(fd)
            del self._watched[fd]
        elif not known:
            self._poll.register(fd, wanted)
        else:
            self._poll.modify(fd, wanted)
        if wanted:
            self._watched[fd] = wanted


def _shut(sink: socket.socket) -> None:
    """Say to whoever reads it that nothing more comes."""
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return  # it is gone
