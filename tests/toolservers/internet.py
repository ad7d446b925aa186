"""A small internet: sites by name, over http and https, and the proxy that leads to them.

The sites are real servers on the loopback interface, and say what a test has them say. The proxy
keeps the protocol of `sandbox.egress.proxy`, but knows where every name is.
"""

import select
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.sandbox.outside import Authority, serving

SECONDS = 30.0


@dataclass(frozen=True)
class Page:
    """What a site answers."""

    body: bytes | str = b""
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Visit:
    """A request that reached a site."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Write = Callable[[bytes], object]
Answer = Page | Callable[[Visit, Write], None]
"""A page, or something that writes an answer byte by byte until nobody listens any more."""


def moved(to: str, status: int = 302) -> Page:
    return Page(status=status, headers={"Location": to})


class Internet:
    """Sites and the way to them; a context. Certificates are for ``*.secure.example``."""

    def __init__(self, folder: Path) -> None:
        self.pages: dict[str, Answer] = {}
        """By URL without the scheme, and without the query if the query is not there."""
        self.refused: set[str] = set()
        """Hosts the proxy does not let anybody reach."""
        self.visits: list[Visit] = []
        self.asked: list[str] = []
        """The request lines that reached the proxy."""
        self._authority = Authority(folder)
        self._open = ExitStack()
        self.http = self.https = self.proxy = 0
        """Ports on loopback."""

    @property
    def authority(self) -> Path:
        """The certificate to trust."""
        return self._authority.file

    @property
    def env(self) -> dict[str, str]:
        """What a tool server needs to get out."""
        return {
            "http_proxy": f"http://127.0.0.1:{self.proxy}",
            "SSL_CERT_FILE": str(self.authority),
        }

    def paths(self) -> list[str]:
        """What was asked for, without the robots.txt of the sites."""
        visited = [f"{visit.host}{visit.path}" for visit in self.visits]
        return [path for path in visited if not path.endswith("/robots.txt")]

    def find(self, visit: Visit) -> Answer:
        self.visits.append(visit)
        place = f"{visit.host}{visit.path}"
        known = place if place in self.pages else place.partition("?")[0]
        return self.pages.get(known, Page("not here", status=404))

    def __enter__(self) -> Self:
        tls = self._authority.server("*.secure.example")
        self.http = self._open.enter_context(serving(_site(self)))
        self.https = self._open.enter_context(serving(_site(self), tls))
        self.proxy = self._open.enter_context(serving(_proxy(self)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()


class _Peer(BaseHTTPRequestHandler):
    timeout = SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            return  # the client went away, as some tests have it

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))


def _site(internet: Internet) -> type[_Peer]:
    class Site(_Peer):
        def answer(self) -> None:
            host = self.headers["host"]
            visit = Visit(self.command, host, self.path, dict(self.headers), self.body())
            found = internet.find(visit)
            if not isinstance(found, Page):
                found(visit, self.wfile.write)
                return
            body = found.body.encode() if isinstance(found.body, str) else found.body
            self.send_response(found.status)
            if found.kind:
                self.send_header("Content-Type", found.kind)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the library looks for these names

    return Site


def _proxy(internet: Internet) -> type[_Peer]:
    class Proxy(_Peer):
        def tunnel(self) -> None:
            internet.asked.append(self.requestline)
            if self.admits(self.path.rpartition(":")[0]):
                with socket.create_connection(("127.0.0.1", internet.https)) as site:
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    _join(self.connection, site)

        def pass_on(self) -> None:
            internet.asked.append(self.requestline)
            parts = urlsplit(self.path)
            if not self.admits(parts.hostname or ""):
                return
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            lines = [f"{self.command} {target} HTTP/1.0"]
            lines += [f"{name}: {value}" for name, value in self.headers.items()]
            with socket.create_connection(("127.0.0.1", internet.http)) as site:
                site.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + self.body())
                _join(self.connection, site)

        def admits(self, host: str) -> bool:
            if host not in internet.refused:
                return True
            text = f"wharfkeep: {host} is at an address of this kind (address:private)\n".encode()
            self.send_response_only(403)
            self.send_header("X-Wharfkeep-Egress", "address:private")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return False

        do_CONNECT = tunnel  # noqa: N815 - as above
        do_GET = do_POST = pass_on  # noqa: N815 - as above

    return Proxy


def _join(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side has no more."""
    ways = {one: other, other: one}
    while ready := select.select(list(ways), [], [], SECONDS)[0]:
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            ways[source].sendall(data)
