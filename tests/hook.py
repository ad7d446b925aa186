"""A real HTTP server on loopback that takes what is posted to it, and answers as it is told."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import anyio
import anyio.to_thread

SECONDS = 20.0


class Receiver:
    """What was posted, in order, and what is answered: a status, or None to say nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int | None] = []
        """Used up in order; after them everything is answered 204."""
        self.done = threading.Event()
        self._taken: Queue[Any] = Queue()

    def take(self, body: bytes) -> int | None:
        self._taken.put(json.loads(body))
        return self.statuses.pop(0) if self.statuses else 204

    async def next(self) -> Any:
        """The next thing posted; waits for it, but not for ever."""
        return await anyio.to_thread.run_sync(lambda: self._taken.get(timeout=SECONDS))

    @property
    def empty(self) -> bool:
        return self._taken.empty()


@contextmanager
def receiving() -> Generator[Receiver]:
    """A receiver on a free port until the exit."""
    receiver = Receiver()

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = receiver.take(self.rfile.read(int(self.headers["content-length"])))
            if status is None:
                receiver.done.wait(SECONDS)
                return
            self.send_response(status)
            self.send_header("location", receiver.url)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - the base's name

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.done.set()
            server.shutdown()
            thread.join()
