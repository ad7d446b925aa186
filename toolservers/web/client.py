"""HTTP through the egress proxy, within bounds: of bytes, of time, and of what comes compressed.

TLS reaches from here to the server. Only a request that the proxy has to add something to goes
to it in the clear (`attached`), and the proxy makes it an ``https`` one.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import zlib

from toolservers.call import Cancelled, ToolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from toolservers.call import Call
    from toolservers.web.address import Address

PROXY = ("127.0.0.1", 3128)
"""Where the sandbox's way out is, unless ``http_proxy`` says otherwise."""

REASON_HEADER = "x-wharfkeep-egress"
"""By which the proxy's own answers are known."""

NO_ACCESS = "url_not_accessible"
NOT_ALLOWED = "url_not_allowed"

_CHUNK = 65536
_EXPLANATION = 300
_FORBIDDEN = 403


class Request:
    """What to ask of a server."""

    def __init__(
        self,
        method: str,
        url: Address,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        attached: bool = False,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.attached = attached
        """The proxy adds to it, so it has to read it."""

    @property
    def tunnelled(self) -> bool:
        return self.url.scheme == "https" and not self.attached

    @property
    def target(self) -> str:
        """What stands in the request line."""
        url = self.url
        return url.target if self.tunnelled else f"http://{url.authority}{url.target}"

    def all_headers(self) -> dict[str, str]:
        own = {"Host": self.url.authority, "Accept-Encoding": "gzip", "Connection": "close"}
        length = {} if self.body is None else {"Content-Length": str(len(self.body))}
        return {**own, **self.headers, **length}


class Response:
    """An answer, its body decompressed."""

    def __init__(self, status: int, reason: str, headers: http.client.HTTPMessage) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = b""
        self.cut = False
        """There was more than the limit."""


class Client:
    """Sends requests for one call. Use it as a context: at its end nothing is left open."""

    def __init__(self, call: Call, env: Mapping[str, str], *, seconds: float) -> None:
        """All requests together may take `seconds`."""
        self._call = call
        self._proxy = _proxy(env)
        self._certificates = env.get("SSL_CERT_FILE")
        self._seconds = call.seconds(seconds)
        self._ends = time.monotonic() + self._seconds
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._over = False
        self._timer = threading.Timer(self._seconds, self._hang_up)
        self._timer.daemon = True
        self._tls: ssl.SSLContext | None = None

    def __enter__(self) -> Client:  # noqa: PYI034 - Python 3.9 has no `Self`
        self._timer.start()
        self._call.wake_with(self._hang_up)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call.wake_with(None)
        self._timer.cancel()

    def send(self, request: Request, *, limit: int) -> Response:
        """Send one request and read at most `limit` bytes of the answer; follows no redirect.

        Raises:
            ToolError: There was no answer, the proxy refused, or the time is over.
            Cancelled: The call was cancelled.
        """
        try:
            with socket.create_connection(self._proxy, timeout=self._seconds) as line:
                self._hold(line)
                try:
                    return self._exchange(line, request, limit)
                finally:
                    self._hold(None)
        except (OSError, http.client.HTTPException, zlib.error) as error:
            if self._call.cancelled:
                raise Cancelled from None
            if self._over:
                raise ToolError(f"timed out after {self._seconds:g}s") from None
            raise ToolError(f"{NO_ACCESS}: {request.url.host}: {_reason(error)}") from None

    def _exchange(self, line: socket.socket, request: Request, limit: int) -> Response:
        url = request.url
        if request.tunnelled:
            _connect(line, url)
            line = self._secure(line, url.host)
        with line:
            connection = http.client.HTTPConnection(url.host, url.port)
            connection.sock = line
            connection.putrequest(
                request.method, request.target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.all_headers().items():
                connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            response = Response(answer.status, answer.reason, answer.headers)
            if REASON_HEADER in answer.headers:
                raise _refusal(url, answer)
            response.body, response.cut = _read(answer, limit)
            return response

    def _secure(self, line: socket.socket, host: str) -> ssl.SSLSocket:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._certificates)
        return self._tls.wrap_socket(line, server_hostname=host)

    def _hold(self, line: socket.socket | None) -> None:
        """Remember what to hang up, under a descriptor of its own that TLS does not know of."""
        with self._lock:
            if self._line is not None:
                self._line.close()
            self._line = line.dup() if line is not None else None
        if self._over or self._call.cancelled:
            self._hang_up()

    def _hang_up(self) -> None:
        """From any thread: whoever waits for the server waits no longer."""
        with self._lock:
            self._over = self._over or time.monotonic() >= self._ends
            if self._line is not None:
                try:
                    self._line.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return


def _proxy(env: Mapping[str, str]) -> tuple[str, int]:
    value = env.get("http_proxy", "").partition("://")[2].rstrip("/")
    host, _, port = value.rpartition(":")
    return (host, int(port)) if host and port.isdigit() else PROXY


def _connect(line: socket.socket, url: Address) -> None:
    """Have the proxy make a tunnel."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    request = f"CONNECT {host}:{url.port} HTTP/1.1\r\nHost: {host}:{url.port}\r\n\r\n"
    line.sendall(request.encode("ascii"))
    answer = http.client.HTTPResponse(line, method="CONNECT")
    answer.begin()
    if answer.status != http.client.OK:
        raise _refusal(url, answer)


def _read(answer: http.client.HTTPResponse, limit: int) -> tuple[bytes, bool]:
    """The body, decompressed, and whether there was more of it."""
    encoding = (answer.headers.get("content-encoding") or "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", "deflate"):
        raise http.client.HTTPException(f"it answers in the encoding {encoding[:40]!r}")
    opened = None if encoding == "identity" else zlib.decompressobj(zlib.MAX_WBITS | 32)
    body = bytearray()
    while len(body) <= limit:
        chunk = answer.read1(_CHUNK)
        if not chunk:
            return bytes(body), False
        if opened is not None:
            # Never more than is wanted: some kilobytes can unfold to gigabytes.
            chunk = opened.decompress(chunk, limit - len(body) + 1)
        body += chunk
    return bytes(body[:limit]), True


def _refusal(url: Address, answer: http.client.HTTPResponse) -> ToolError:
    """The proxy's answer, in our words and its own."""
    code = NOT_ALLOWED if answer.status == _FORBIDDEN else NO_ACCESS
    return ToolError(f"{code}: {url.host}: {_explanation(answer) or answer.reason}")


def _explanation(answer: http.client.HTTPResponse) -> str:
    """What the proxy says of itself, on one line."""
    try:
        text = answer.read1(_EXPLANATION)
    except (OSError, http.client.HTTPException):
        return ""
    return " ".join(text.decode("utf-8", "replace").split())


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer broke off"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server hung up without an answer"
    if isinstance(error, zlib.error):
        return "the answer is not compressed as it says"
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error)[:200] or "no answer"
