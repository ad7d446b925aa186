"""Reading which host a TLS client names, from what real clients send and from what none does."""

import ssl

import pytest

from sandbox.egress import clienthello
from sandbox.egress.clienthello import ClientHello, NotTls


def hello(name: str | None, **settings: object) -> bytes:
    """What Python's own client says first."""
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    for key, value in settings.items():
        setattr(context, key, value)
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def in_records(data: bytes, size: int) -> bytes:
    """The same message in records of `size` bytes."""
    body = data[5:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_name_is_found(version: ssl.TLSVersion):
    data = hello("host.example", maximum_version=version, minimum_version=version)
    assert clienthello.parse(data) == ClientHello("host.example")


def test_a_client_may_name_nobody():
    assert clienthello.parse(hello(None)) == ClientHello(None)


def test_what_follows_the_hello_does_not_matter():
    assert clienthello.parse(hello("host.example") + b"anything") == ClientHello("host.example")


def test_every_part_of_a_hello_asks_for_more():
    data = hello("host.example")
    assert {clienthello.parse(data[:size]) for size in range(len(data))} == {None}


@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_a_hello_may_come_in_several_records(size: int):
    assert clienthello.parse(in_records(hello("host.example"), size)) == ClientHello("host.example")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-client\r\n",
        b"\x80\x2e\x01\x03\x01",
        b"\x16\x02\x00\x00\x01\x01",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03",
        b"\x15\x03\x01\x00\x02\x01\x00",
    ],
)
def test_what_is_no_hello_is_told_apart(data: bytes):
    with pytest.raises(NotTls):
        clienthello.parse(data)


def test_two_names_are_refused():
    name = b"\x00\x00\x01a"
    names = (2 * len(name)).to_bytes(2, "big") + 2 * name
    extension = b"\x00\x00" + len(names).to_bytes(2, "big") + names
    with pytest.raises(NotTls, match="more than one"):
        clienthello.parse(made(extension))


def test_two_extensions_with_a_name_are_refused():
    name = b"\x00\x04\x00\x00\x01a"
    extension = b"\x00\x00" + len(name).to_bytes(2, "big") + name
    with pytest.raises(NotTls, match="more than one"):
        clienthello.parse(made(2 * extension))


def test_any_change_of_a_hello_is_read_or_refused_and_nothing_else():
    data = hello("host.example")
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        try:
            clienthello.parse(changed)
        except NotTls:
            continue


def made(extensions: bytes) -> bytes:
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message
