"""The relay inside a sandbox: bytes in both directions, ends told apart, nothing left over."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.toolservers.driver import Driver
from tests.toolservers.peer import PATIENCE
from toolservers import relay
from toolservers.relay import MAX_CONNECTIONS, Relay

MEGABYTES = b"0123456789abcdef" * (4 * 65536)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "egress"))
        listener.listen(MAX_CONNECTIONS)
        listener.settimeout(PATIENCE)
        yield listener


@pytest.fixture
def port(proxy: socket.socket, tmp_path: Path) -> int:
    """Where a relay listens; it ends with the process, as it does in a sandbox."""
    listener = socket.create_server(("127.0.0.1", 0))
    made = Relay(listener, str(tmp_path / "egress"))
    threading.Thread(target=made.run, daemon=True).start()
    return listener.getsockname()[1]


def pair(port: int, proxy: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A program's connection, and what comes out of it."""
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    server, _ = proxy.accept()
    server.settimeout(PATIENCE)
    return client, server


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def read_all(source: socket.socket) -> bytes:
    data = b""
    while more := source.recv(1 << 20):
        data += more
    return data


def test_bytes_go_both_ways(port: int, proxy: socket.socket):
    client, server = pair(port, proxy)
    with client, server:
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        server.sendall(b"answer")
        assert client.recv(100) == b"answer"


def test_an_end_in_one_direction_leaves_the_other_open(port: int, proxy: socket.socket):
    client, server = pair(port, proxy)
    with client, server:
        client.sendall(b"all of it")
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b"all of it"
        server.sendall(b"answer")
        server.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"answer"


def test_what_was_sent_before_an_end_arrives(port: int, proxy: socket.socket):
    client, server = pair(port, proxy)
    with client:
        with server:
            server.sendall(b"last words")
        assert read_all(client) == b"last words"


def test_an_answer_to_an_unread_question_arrives(port: int, proxy: socket.socket):
    client, server = pair(port, proxy)
    with client:
        client.sendall(b"a question that is not read")
        with server:
            server.sendall(b"403")
            server.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"403"


@pytest.mark.parametrize("gone", ["program", "proxy"])
def test_where_one_end_is_gone_the_other_ends(port: int, proxy: socket.socket, gone: str):
    client, server = pair(port, proxy)
    with client, server:
        (client if gone == "program" else server).close()
        assert (server if gone == "program" else client).recv(100) == b""


def test_much_arrives_whole_at_a_slow_reader_in_both_directions(port: int, proxy: socket.socket):
    client, server = pair(port, proxy)
    with client, server:

        def send(sink: socket.socket) -> None:
            sink.sendall(MEGABYTES)
            sink.shutdown(socket.SHUT_WR)

        senders = [threading.Thread(target=send, args=(end,)) for end in (client, server)]
        for sender in senders:
            sender.start()
        assert read_all(server) == MEGABYTES
        assert read_all(client) == MEGABYTES
        for sender in senders:
            sender.join(PATIENCE)


def test_a_reader_that_stopped_holds_nobody_else_up(port: int, proxy: socket.socket):
    stuck, flood = pair(port, proxy)
    client, server = pair(port, proxy)
    with stuck, flood, client, server:
        flood.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                flood.send(MEGABYTES)
        client.sendall(b"still there")
        assert server.recv(100) == b"still there"


def test_connections_beyond_the_limit_wait_until_there_is_room(port: int, proxy: socket.socket):
    pairs = [pair(port, proxy) for _ in range(MAX_CONNECTIONS)]
    late = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    late.sendall(b"late")
    proxy.setblocking(False)
    with pytest.raises(BlockingIOError):
        proxy.accept()
    proxy.settimeout(PATIENCE)
    for end in pairs.pop():
        end.close()
    server, _ = proxy.accept()
    server.settimeout(PATIENCE)
    assert server.recv(100) == b"late"
    for end in (late, server, *(end for both in pairs for end in both)):
        end.close()


def test_descriptors_are_given_back(port: int, proxy: socket.socket):
    first = pair(port, proxy)
    before = descriptors()
    for _ in range(50):
        client, server = pair(port, proxy)
        client.close()
        assert server.recv(1) == b""
        server.close()
    last = pair(port, proxy)  # most of what came before is done when this is
    assert descriptors() < before + 50
    for end in (*first, *last):
        end.close()


def test_without_a_proxy_a_connection_is_closed(port: int, proxy: socket.socket):
    proxy.close()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        assert client.recv(1) == b""


def test_nothing_listens_where_there_is_no_proxy(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    relay.start(str(tmp_path / "egress"), port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_port_that_is_taken_is_no_reason_to_fail(tmp_path: Path):
    (tmp_path / "egress").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        relay.start(str(tmp_path / "egress"), taken.getsockname()[1])


def test_a_claim_is_answered_though_there_is_no_proxy(tmp_path: Path):
    with Driver(tmp_path) as driver:
        assert driver.order({"claim": {"env": {}}}) == {"claimed": True}
