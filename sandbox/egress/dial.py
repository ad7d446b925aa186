"""From a host to a connection: one lookup, every address judged, and one of these dialled."""

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

import anyio
import anyio.to_thread
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream

from sandbox.egress import address
from sandbox.egress.line import SocketStream
from sandbox.egress.rules import Bounds, Target

Address: TypeAlias = IPv4Address | IPv6Address
LookUp: TypeAlias = Callable[[str], Sequence[str]]
"""The addresses of a name, as text. Blocks; raises `OSError` if there are none."""

IPV6 = 6

_MAX_ADDRESSES = 8
_FRESH_SECONDS = 5.0
_MAX_KNOWN = 256
"""Names whose addresses are kept while they are fresh, for clients that connect many times."""
_ABANDONED = 4
"""Lookups that nobody waits for any more, for each one that somebody may wait for."""


class Refusal(Exception):
    """A request comes to nothing; the proxy answers `status` and names the rule."""

    def __init__(self, status: int, rule: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.rule = rule


def look_up(host: str) -> Sequence[str]:
    """Ask the system's resolver."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Dialler:
    """Reaches hosts for one owner."""

    def __init__(self, bounds: Bounds, look_up: LookUp, tls: ssl.SSLContext) -> None:
        self._bounds = bounds
        self._look_up = look_up
        self._tls = tls
        self._slots = anyio.CapacityLimiter(bounds.lookups)
        self._threads = 0
        self._known: dict[str, tuple[float, Sequence[str]]] = {}

    async def resolve(self, host: str, *, private: bool) -> Sequence[Address]:
        """The addresses of a host, all of which may be dialled; `private` exempts it.

        Raises:
            Refusal: It has none, or one of them is never dialled.
        """
        if address.is_address(host):
            found = [_literal(host, private=private)]
        else:
            found = [address.parse(text) for text in await self._ask(host)]
        for each in found:
            reason = address.refusal(each) or ("own" if _is_own(each) else None)
            if reason and not (private and address.exemptible(reason)):
                raise Refusal(403, f"address:{reason}", f"{host} is at an address of this kind")
        return found[:_MAX_ADDRESSES]

    async def connect(self, target: Target, addresses: Sequence[Address]) -> ByteStream:
        """Connect to the first of the addresses that answers.

        Raises:
            Refusal: None does.
        """
        patience = self._bounds.connect_seconds / len(addresses)
        refusal = Refusal(502, "unreachable:connect", f"cannot connect to {target}")
        for each in addresses:
            try:
                with anyio.fail_after(patience):
                    return await _connect(each, target.port)
            except TimeoutError:
                refusal = Refusal(504, "unreachable:timeout", f"{target} does not answer")
            except OSError:
                continue
        raise refusal

    async def encrypt(self, stream: ByteStream, target: Target) -> ByteStream:
        """Speak TLS on a connection, as a client that trusts what this machine trusts.

        Raises:
            Refusal: The other end does not, or is not who it should be.
        """
        try:
            with anyio.fail_after(self._bounds.handshake_seconds):
                return await TLSStream.wrap(
                    stream,
                    server_side=False,
                    hostname=target.host,
                    ssl_context=self._tls,
                    standard_compatible=False,
                )
        except TimeoutError as error:
            raise Refusal(504, "unreachable:timeout", f"no TLS with {target}") from error
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
            raise Refusal(502, "unreachable:tls", f"no TLS with {target}: {error}") from error

    async def _ask(self, host: str) -> Sequence[str]:
        """Look a name up in a thread, which goes on by itself if it takes too long."""
        until, known = self._known.get(host, (0.0, ()))
        if anyio.current_time() < until:
            return known
        if self._threads >= self._bounds.lookups * _ABANDONED:
            raise Refusal(503, "limit:lookups", "too many names are being looked up")
        try:
            with anyio.fail_after(self._bounds.connect_seconds):
                found = await anyio.to_thread.run_sync(
                    self._look_up_counted, host, abandon_on_cancel=True, limiter=self._slots
                )
        except TimeoutError as error:
            raise Refusal(504, "unreachable:timeout", f"no answer about {host}") from error
        except (OSError, UnicodeError) as error:
            raise Refusal(502, "unreachable:name", f"{host} is not known") from error
        if not found:
            raise Refusal(502, "unreachable:name", f"{host} has no address")
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[host] = anyio.current_time() + _FRESH_SECONDS, found
        return found

    def _look_up_counted(self, host: str) -> Sequence[str]:
        self._threads += 1
        try:
            return self._look_up(host)
        finally:
            self._threads -= 1


async def _connect(each: Address, port: int) -> ByteStream:
    family = socket.AF_INET6 if each.version == IPV6 else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):
            connection.connect((str(each), port))
        await anyio.wait_writable(connection)
        connection.getpeername()  # fails, if to connect has failed
    except BaseException:
        connection.close()
        raise
    return SocketStream(connection)


def _literal(host: str, *, private: bool) -> Address:
    try:
        if private:
            return address.parse(host)
    except ValueError:
        pass
    raise Refusal(403, "address:literal", "hosts are reached by name")


def _is_own(each: Address) -> bool:
    """Whether it is this machine's: then packets to it would also come from it."""
    family = socket.AF_INET6 if each.version == IPV6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(each), 9))  # sends nothing
            return address.parse(probe.getsockname()[0]) == each
        except OSError:
            return False
