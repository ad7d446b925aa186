"""The first message of a TLS client, read just far enough to know which host it names.

Nothing is decrypted: the name (SNI) is sent in the clear. With Encrypted Client Hello the name
read here is the outer one. What comes behind the first message is not looked at.
"""

from dataclasses import dataclass

HANDSHAKE = 0x16
"""The first byte of a TLS connection; no text begins with it."""
MAX_HELLO = 64 * 1024
"""Bytes of the message; real ones have one or two thousand."""
MAX_RECORD = 16 * 1024 + 5
"""Bytes of a record with its header, as TLS allows."""

_CLIENT_HELLO = 1
_RECORD_HEADER = 5
_HEADER = 4
_SERVER_NAME = 0
_HOST_NAME = 0


class NotTls(ValueError):
    """These are not the first bytes of a TLS client."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client says first."""

    name: str | None
    """The host it wants to speak to; None if it does not say."""


class Listener:
    """Takes the beginning of a connection as it comes, each byte once."""

    def __init__(self) -> None:
        self._record = bytearray()
        self._message = bytearray()

    def feed(self, data: bytes) -> ClientHello | None:
        """Take some more bytes; None as long as they are too few to tell.

        Raises:
            NotTls: No more bytes would make it a client's hello.
        """
        self._record += data
        while (content := self._take_record()) is not None:
            self._message += content
            if self._message[0] != _CLIENT_HELLO:
                raise NotTls("not a client's hello")
            size = int.from_bytes(self._message[1:_HEADER], "big")
            if size > MAX_HELLO:
                raise NotTls("a hello that is too long")
            if len(self._message) > _HEADER and len(self._message) >= _HEADER + size:
                return _read(bytes(self._message[_HEADER : _HEADER + size]))
        return None

    def _take_record(self) -> bytes | None:
        """The content of the next record, once it is there as a whole."""
        head = self._record[:_RECORD_HEADER]
        if not b"\x16\x03".startswith(head[:2]):
            raise NotTls("not a handshake")
        if len(head) < _RECORD_HEADER:
            return None
        end = _RECORD_HEADER + int.from_bytes(head[3:], "big")
        if not _RECORD_HEADER < end <= MAX_RECORD:
            raise NotTls("an empty record, or one that is too long")
        if len(self._record) < end:
            return None
        content = bytes(self._record[_RECORD_HEADER:end])
        del self._record[:end]
        return content


def parse(data: bytes) -> ClientHello | None:
    """Read the beginning of a connection at once; see `Listener.feed`."""
    return Listener().feed(data)


class _Reader:
    """Fields from the front of some bytes; `IndexError` where there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def empty(self) -> bool:
        return not self._data

    def take(self, size: int) -> bytes:
        if size > len(self._data):
            raise IndexError
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def field(self, size_of_length: int) -> bytes:
        """Bytes that their length stands before."""
        return self.take(self.number(size_of_length))


def _read(message: bytes) -> ClientHello:
    try:
        return ClientHello(_server_name(_Reader(message)))
    except IndexError as error:
        raise NotTls("a broken hello") from error


def _server_name(hello: _Reader) -> str | None:
    hello.take(2 + 32)  # version, random
    hello.field(1)  # session id
    hello.field(2)  # cipher suites
    hello.field(1)  # compression
    if hello.empty:
        return None
    extensions = _Reader(hello.field(2))
    names: list[bytes] = []
    while not extensions.empty:
        kind, content = extensions.number(2), extensions.field(2)
        if kind == _SERVER_NAME:
            names += _names(_Reader(_Reader(content).field(2)))
    if len(names) > 1:
        raise NotTls("more than one name")
    return names[0].decode("ascii", errors="replace") if names else None


def _names(entries: _Reader) -> list[bytes]:
    found: list[bytes] = []
    while not entries.empty:
        if entries.number(1) != _HOST_NAME:
            raise NotTls("a name of an unknown kind")
        found.append(entries.field(2))
    return found
