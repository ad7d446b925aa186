"""A receiver of audit records on a loopback port: keeps what it took, and refuses when told to."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`replies` are statuses and bodies, in order; after them everything is taken."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replies: list[tuple[int, bytes]] = []
        self.hold = threading.Event()
        """While it is not set, no request is answered."""
        self.hold.set()
        self.taken: list[Any] = []
        self.offered = 0
        self.headers: dict[str, str] = {}

    @property
    def ids(self) -> list[str]:
        """Of the events that were taken as arrays, in order."""
        return [event["metadata"]["uid"] for batch in self.taken for event in batch]


@contextmanager
def receiving(port: int = 0) -> Generator[Receiver]:
    """Listen until the exit."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.offered += 1
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            receiver.hold.wait(30)
            status, answer = receiver.replies.pop(0) if receiver.replies else (200, b"{}")
            if status == 200:
                receiver.taken.append(body)
                receiver.headers = {k.lower(): v for k, v in self.headers.items()}
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's word
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Answering)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/audit")
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        thread.join(10)
        server.server_close()
