"""What is outside: servers on loopback, an authority for their certificates, a proxy to them."""

import random
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import anyio
from anyio.abc import SocketStream, TaskGroup
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.egress.line import SocketStream as Stream
from sandbox.egress.proxy import Egress
from sandbox.egress.rules import Bounds, Decision, Request, Target, Verdict

DEADLINE = 20.0
OWNER = "session"
ANYWHERE = ("127.0.0.1", 0)
BOUNDS = Bounds(connect_seconds=5, handshake_seconds=5, idle_seconds=10)


def own_address() -> str:
    """An address of loopback whose well-known ports nobody else uses.

    Raises:
        PermissionError: This user may not listen on well-known ports.
    """
    address = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(2, 254)}"
    with socket.create_server((address, 443)):
        return address


class Authority:
    """A certificate authority that nobody trusts who was not told to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign("authority", self._key, self._key, ca=True)
        self.file = directory / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self.file.chmod(0o644)

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server of these names needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(names[0], key, self._key, names=names)
        place = self._directory / f"{names[0].replace('*', 'any')}.pem"
        place.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(place)
        return context

    def client(self) -> ssl.SSLContext:
        """What a client needs that trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.file))

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        by: ec.EllipticCurvePrivateKey,
        *,
        names: Sequence[str] = (),
        ca: bool = False,
    ) -> x509.Certificate:
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        today = datetime.now(UTC)
        alternatives = x509.SubjectAlternativeName(
            [_alternative(each) for each in names or (name,)]
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=1))
            .add_extension(alternatives, critical=False)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(by, hashes.SHA256())
        )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass(frozen=True)
class Heard:
    """A request as a server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """An HTTP server and what it has heard."""

    port: int
    heard: list[Heard] = field(default_factory=list[Heard])


@contextmanager
def web(
    tls: ssl.SSLContext | None = None, location: str = "", at: tuple[str, int] = ANYWHERE
) -> Generator[Web]:
    """A server that answers each request with its method and path, or sends it elsewhere."""
    heard: list[Heard] = []

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("transfer-encoding") == "chunked":
                body = self._chunks()
            heard.append(Heard(self.command, self.path, dict(self.headers.items()), body))
            text = f"{self.command} {self.path} {len(body)}\n".encode()
            self.send_response(302 if location else 200)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = answer  # noqa: N815 - the library's

        def _chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
            pass

    with serving(Answer, tls, at) as port:
        yield Web(port, heard)


@contextmanager
def serving(
    answer: type[BaseHTTPRequestHandler],
    tls: ssl.SSLContext | None = None,
    at: tuple[str, int] = ANYWHERE,
) -> Generator[int]:
    """Serve on loopback; says on which port."""
    server = ThreadingHTTPServer(at, answer)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Permit:
    """Rules: hosts in a table, everything else by one verdict."""

    def __init__(self, **hosts: Verdict) -> None:
        self.hosts = dict(hosts)
        self.usual = Verdict(True, "usual", private=True)
        self.upgrade: frozenset[str] = frozenset()
        self.attached: tuple[tuple[bytes, bytes], ...] = ()
        self.asked: list[Target] = []

    async def decide(self, owner: str, target: Target) -> Verdict:
        del owner
        self.asked.append(target)
        return self.hosts.get(target.host, self.usual)

    async def rewrite(self, owner: str, request: Request) -> Request:
        del owner
        if request.target.host in self.upgrade:
            return replace(request, scheme="https", headers=(*request.headers, *self.attached))
        return request


@dataclass
class Proxy:
    """An egress proxy, its rules, and what it reported."""

    egress: Egress
    rules: Permit
    reported: list[Decision]

    @property
    def verdicts(self) -> list[tuple[str, bool, str]]:
        return [(each.host, each.allowed, each.rule) for each in self.reported]

    @property
    def last(self) -> str:
        """The rule of the last report."""
        return self.reported[-1].rule


def make_proxy(
    tasks: TaskGroup,
    *,
    names: Mapping[str, Sequence[str]] | None = None,
    bounds: Bounds = BOUNDS,
    tls: ssl.SSLContext | None = None,
    look_up: Callable[[str], Sequence[str]] | None = None,
    rules: Permit | None = None,
) -> Proxy:
    """A proxy for which every name that is not in `names` is at 127.0.0.1."""

    def find(host: str) -> Sequence[str]:
        return (names or {}).get(host, ["127.0.0.1"])

    rules = rules or Permit()
    reported: list[Decision] = []
    egress = Egress(tasks, rules, bounds, report=reported.append, look_up=look_up or find, tls=tls)
    return Proxy(egress, rules, reported)


def dial(path: Path) -> Stream:
    """Connect to a Unix socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(DEADLINE)
    connection.connect(str(path))
    return Stream(connection)


async def say(path: Path, *parts: bytes) -> bytes:
    """Send some bytes to a Unix socket and return everything that comes until the end."""
    answer = b""
    with anyio.fail_after(DEADLINE):
        async with dial(path) as stream:
            try:
                for part in parts:
                    await stream.send(part)
                while True:
                    answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return answer


@contextmanager
def listening(
    answer: Callable[[SocketStream], Awaitable[None]],
    tasks: TaskGroup,
    at: tuple[str, int] = ANYWHERE,
) -> Generator[int]:
    """A server on loopback whose every connection is one call."""
    listener = socket.create_server(at)
    listener.setblocking(False)
    scope = anyio.CancelScope()

    async def attend() -> None:
        with scope:
            async with anyio.create_task_group() as connections:
                while True:
                    await anyio.wait_readable(listener)
                    connection, _ = listener.accept()
                    stream = await SocketStream.from_socket(connection)
                    connections.start_soon(serve, stream)

    async def serve(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await answer(stream)

    tasks.start_soon(attend)
    try:
        yield listener.getsockname()[1]
    finally:
        scope.cancel()
        listener.close()


def get(url: str, *headers: str, host: str | None = None) -> bytes:
    """The bytes of a request, well formed or not."""
    host = url.split("/")[2] if host is None else host
    lines = [f"GET {url} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode()


def connect(authority: str) -> bytes:
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def rule(answer: bytes) -> str:
    """The rule that an answer of the proxy's own names."""
    head = answer.partition(b"\r\n\r\n")[0].decode()
    found = [line for line in head.split("\r\n") if line.startswith("X-Wharfkeep-Egress: ")]
    return found[0].partition(": ")[2] if found else ""


async def tunnel(door: Path, authority: str) -> Stream:
    """A tunnel that is open; the caller closes it."""
    stream = dial(door)
    await stream.send(connect(authority))
    answer = await stream.receive()
    assert status(answer) == 200, answer
    return stream


async def open_door(proxy: Proxy, directory: Path, owner: str = OWNER) -> Path:
    found = await anyio.Path(directory).stat()
    return await proxy.egress.open(owner, directory, found.st_uid)
