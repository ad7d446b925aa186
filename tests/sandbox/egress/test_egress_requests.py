"""Plain requests through the egress proxy, as programs make them and as no program does."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream, TaskGroup

from sandbox.egress.rules import Verdict
from tests.sandbox.outside import (
    BOUNDS,
    DEADLINE,
    Proxy,
    Web,
    connect,
    dial,
    get,
    listening,
    make_proxy,
    open_door,
    rule,
    say,
    status,
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_request_is_passed_on_with_its_path(
    proxy: Proxy, door: Path, server: Web, method: str
):
    url = f"http://host.test:{server.port}/a/b?c=%20d"
    answer = await say(door, get(url).replace(b"GET", method.encode(), 1))
    assert status(answer) == 200
    assert [(each.method, each.path) for each in server.heard] == [(method, "/a/b?c=%20d")]
    assert proxy.verdicts == [("host.test", True, "usual")]


@pytest.mark.parametrize(("written", "path"), [("", "/"), ("?a", "/?a"), ("/", "/")])
async def test_a_url_without_a_path_means_the_root(
    door: Path, server: Web, written: str, path: str
):
    await say(
        door, get(f"http://host.test:{server.port}{written}", host=f"host.test:{server.port}")
    )
    assert server.heard[0].path == path


async def test_a_body_with_a_length_is_passed_on(door: Path, server: Web):
    head = f"POST http://h.test:{server.port}/ HTTP/1.1\r\nHost: h.test:{server.port}\r\n"
    answer = await say(
        door, head.encode() + b"Content-Length: 6\r\nConnection: close\r\n\r\nabc", b"def"
    )
    assert status(answer) == 200
    assert server.heard[0].body == b"abcdef"


async def test_a_body_in_chunks_is_passed_on(door: Path, server: Web):
    head = f"POST http://h.test:{server.port}/ HTTP/1.1\r\nHost: h.test:{server.port}\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"3;x=y\r\ndef\r\n0\r\n\r\n"
    await say(door, head.encode() + b"Connection: close\r\n" + chunks[0], chunks[1])
    assert server.heard[0].body == b"abcdef"


async def test_a_client_that_waits_for_permission_to_send_gets_it(door: Path, server: Web):
    head = f"PUT http://h.test:{server.port}/ HTTP/1.1\r\nHost: h.test:{server.port}\r\n"
    with anyio.fail_after(DEADLINE):
        async with dial(door) as stream:
            await stream.send(head.encode() + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert status(await stream.receive()) == 100
            await stream.send(b"abc")
            assert status(await stream.receive()) == 200
    assert server.heard[0].body == b"abc"
    assert "Expect" not in {name.title() for name in server.heard[0].headers}


async def test_requests_one_behind_the_other_are_each_decided_and_answered(
    proxy: Proxy, door: Path, server: Web
):
    proxy.rules.hosts["denied.test"] = Verdict(False, "no")
    first = get(f"http://h.test:{server.port}/1").replace(b"Connection: close\r\n", b"")
    answer = await say(
        door,
        first + first.replace(b"/1 ", b"/2 ") + get("http://denied.test/3") + get("http://h.test/"),
    )
    assert [each.path for each in server.heard] == ["/1", "/2"]
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"HTTP/1.1 403") == 1
    assert proxy.verdicts[-1] == ("denied.test", False, "no")


async def test_what_concerns_one_connection_only_is_not_passed_on(door: Path, server: Web):
    await say(
        door,
        get(
            f"http://h.test:{server.port}/",
            "Proxy-Authorization: Basic eA==",
            "Proxy-Connection: keep-alive",
            "Keep-Alive: 5",
            "TE: trailers",
            "Upgrade: h2c",
            "Connection: x-private, host",
            "X-Private: 1",
            "X-Public: 2",
        ),
    )
    headers = {name.lower(): value for name, value in server.heard[0].headers.items()}
    assert headers == {"host": f"h.test:{server.port}", "x-public": "2", "connection": "close"}


SMUGGLED = {
    "two lengths": ("Content-Length: 3", "Content-Length: 3"),
    "different lengths": ("Content-Length: 3", "Content-Length: 4"),
    "a list of lengths": ("Content-Length: 3, 4",),
    "a length with a sign": ("Content-Length: +3",),
    "a length and chunks": ("Content-Length: 3", "Transfer-Encoding: chunked"),
    "chunks and a length": ("Transfer-Encoding: chunked", "Content-Length: 3"),
    "another encoding": ("Transfer-Encoding: gzip, chunked",),
    "an unknown encoding": ("Transfer-Encoding: xchunked",),
    "two encodings": ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "a folded header": ("X-A: 1\r\n  Transfer-Encoding: chunked",),
    "a folded length": ("Content-Length:\r\n 3",),
    "a bare line feed": ("X-A: 1\nX-B: 2",),
    "a bare carriage return": ("X-A: 1\rX-B: 2",),
    "an early end by line feeds": ("X-A: 1\n\nGET http://h.test/ HTTP/1.1\r\nHost: h.test",),
    "a space before the colon": ("Content-Length : 3",),
    "a header without a name": (": 3",),
    "a zero byte": ("X-A: a\0b",),
    "a second host": ("Host: evil.test",),
    "WebSockets": ("Upgrade: websocket",),
}


@pytest.mark.parametrize("headers", SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_what_two_servers_could_read_differently_is_refused(
    door: Path, server: Web, headers: tuple[str, ...]
):
    answer = await say(door, get(f"http://h.test:{server.port}/", *headers) + b"abc")
    assert status(answer) == 400
    assert rule(answer).startswith("request:")
    assert answer.count(b"HTTP/1.1") == 1
    assert server.heard == []


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1",
        "GET https://h.test/ HTTP/1.1",
        "GET ftp://h.test/ HTTP/1.1",
        "GET http:///path HTTP/1.1",
        "GET http://h.test:x/ HTTP/1.1",
        "GET http://h.test/#part HTTP/1.1",
        "GET http://h.test@evil.test/ HTTP/1.1",
        "GET http://h.test\\@evil.test/ HTTP/1.1",
        "GET http://evil.test?h.test HTTP/1.1",
        "GET  http://h.test/ HTTP/1.1",
        "GET http://h.test/ HTTP/2.0",
        "GET http://h.test/ HTTP/1.1 ",
        "CONNECT h.test HTTP/1.1",
        "CONNECT h.test: HTTP/1.1",
        "CONNECT http://h.test:443 HTTP/1.1",
        "CONNECT h.test:443/ HTTP/1.1",
        "CONNECT u:p@h.test:443 HTTP/1.1",
        "CONNECT evil.test:443 HTTP/1.1",
        "nonsense",
    ],
)
async def test_a_request_line_that_is_not_for_a_proxy_is_refused(
    proxy: Proxy, door: Path, line: str
):
    answer = await say(door, f"{line}\r\nHost: h.test\r\n\r\n".encode())
    assert status(answer) == 400
    assert proxy.rules.asked == []


async def test_a_request_that_would_be_echoed_is_refused(door: Path):
    assert status(await say(door, get("http://h.test/").replace(b"GET", b"TRACE"))) == 405


async def test_a_head_that_is_too_long_is_refused(door: Path):
    assert status(await say(door, get("http://h.test/", "X: " + "x" * BOUNDS.head))) == 431


async def test_a_host_header_of_another_host_is_refused(proxy: Proxy, door: Path):
    for host in ("evil.test", "h.test:81", "h.test, evil.test", ""):
        answer = await say(door, get("http://h.test/", host=host))
        assert (status(answer), rule(answer)) == (400, "request:host_mismatch")
    assert proxy.rules.asked == []


async def test_spellings_of_a_host_are_one_host(proxy: Proxy, door: Path, server: Web):
    proxy.rules.usual = Verdict(False, "other")
    proxy.rules.hosts["allowed.test"] = Verdict(True, "listed", private=True)
    for host in ("allowed.test", "ALLOWED.test", "allowed.test."):
        assert status(await say(door, get(f"http://{host}:{server.port}/"))) == 200
    for host in (
        "allowed.test.evil.test",
        "evil-allowed.test",
        "a.allowed.test",
        "xn--allowed.test",
    ):
        assert status(await say(door, get(f"http://{host}:{server.port}/"))) == 403
    for host in ("allowed.test@evil.test", "allowed.test..", "allowed.test%00.evil.test", "*.test"):
        assert status(await say(door, get(f"http://{host}/"))) == 400
    assert {target.host for target in proxy.rules.asked} & {"evil.test", "allowed"} == set()


async def test_a_denied_host_is_answered_with_the_rule_in_a_header(proxy: Proxy, door: Path):
    proxy.rules.usual = Verdict(False, "network:not_allowed")
    for request in (get("http://h.test/"), connect("h.test:443")):
        answer = await say(door, request)
        assert (status(answer), rule(answer)) == (403, "network:not_allowed")
        assert b"network:not_allowed)\n" in answer
    assert [each.kind for each in proxy.reported] == ["request", "connect"]
    assert not any(each.allowed for each in proxy.reported)


LITERALS = [
    *("127.0.0.1", "127.1", "2130706433", "017700000001", "0x7f000001", "0.0.0.0", "0"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254", "8.8.8.8"),
]


@pytest.mark.parametrize("host", LITERALS)
async def test_an_address_in_any_spelling_is_no_host(proxy: Proxy, door: Path, host: str):
    proxy.rules.usual = Verdict(True, "network:unrestricted")
    for request in (get(f"http://{host}/"), connect(f"{host}:443")):
        answer = await say(door, request)
        assert (status(answer), rule(answer)) == (403, "address:literal")


async def test_an_address_that_is_exempted_is_one(proxy: Proxy, door: Path, server: Web):
    proxy.rules.usual = Verdict(True, "network:unrestricted")
    proxy.rules.hosts["127.0.0.1"] = Verdict(True, "network:unrestricted", private=True)
    assert status(await say(door, get(f"http://127.0.0.1:{server.port}/"))) == 200
    assert rule(await say(door, get(f"http://127.1:{server.port}/"))) == "address:literal"


@pytest.mark.parametrize(
    ("found", "kind", "exempt"),
    [
        (["127.0.0.1"], "loopback", False),
        (["10.0.0.1"], "private", False),
        (["8.8.8.8", "192.168.1.1"], "private", False),
        (["100.64.0.1"], "shared", False),
        (["::ffff:8.8.8.8"], "embedded", False),
        (["169.254.169.254"], "metadata", False),
        (["169.254.169.254"], "metadata", True),
        (["fd00:ec2::254"], "metadata", True),
        (["0.0.0.0"], "unspecified", True),
        (["::"], "embedded", True),
        (["::ffff:127.0.0.1"], "embedded", True),
        (["127.0.0.1", "224.0.0.1"], "multicast", True),
    ],
)
async def test_a_name_at_an_address_that_is_not_public_is_refused(
    tasks: TaskGroup, tmp_path: Path, found: list[str], kind: str, exempt: bool
):
    proxy = make_proxy(tasks, names={"name.test": found})
    proxy.rules.usual = Verdict(True, "any", private=exempt)
    door = await open_door(proxy, tmp_path)
    for request in (get("http://name.test/"), connect("name.test:443")):
        answer = await say(door, request)
        assert (status(answer), rule(answer)) == (403, f"address:{kind}")
    assert {(each.allowed, each.rule) for each in proxy.reported} == {(False, f"address:{kind}")}
    await proxy.egress.aclose()


async def test_the_address_that_was_judged_is_the_one_that_is_dialled(
    tasks: TaskGroup, tmp_path: Path, server: Web
):
    looked_up: list[str] = []

    def rebind(host: str) -> list[str]:
        looked_up.append(host)
        return ["192.0.2.1"] if len(looked_up) == 1 else ["127.0.0.1"]

    bounds = replace(BOUNDS, connect_seconds=0.2)
    proxy = make_proxy(tasks, look_up=rebind, bounds=bounds)
    door = await open_door(proxy, tmp_path)
    answer = await say(door, get(f"http://rebinding.test:{server.port}/"))
    assert status(answer) in (502, 504)  # nobody is at the first address
    assert looked_up == ["rebinding.test"]
    assert server.heard == []
    await proxy.egress.aclose()


async def test_every_address_of_a_name_is_tried(tasks: TaskGroup, tmp_path: Path, server: Web):
    proxy = make_proxy(tasks, names={"two.test": ["127.0.0.2", "127.0.0.1"]})
    door = await open_door(proxy, tmp_path)
    assert status(await say(door, get(f"http://two.test:{server.port}/"))) == 200
    await proxy.egress.aclose()


async def test_a_name_that_nobody_knows_is_a_bad_gateway(tasks: TaskGroup, tmp_path: Path):
    def fail(host: str) -> list[str]:
        raise OSError("no such name")

    proxy = make_proxy(tasks, look_up=fail)
    door = await open_door(proxy, tmp_path)
    answer = await say(door, connect("nowhere.test:443"))
    assert (status(answer), rule(answer)) == (502, "unreachable:name")
    await proxy.egress.aclose()


async def test_a_host_that_does_not_listen_is_a_bad_gateway(door: Path):
    answer = await say(door, get("http://h.test:1/"))
    assert (status(answer), rule(answer)) == (502, "unreachable:connect")


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-server\r\n\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"]
)
async def test_a_server_that_does_not_speak_http_is_a_bad_gateway(
    door: Path, tasks: TaskGroup, said: bytes
):
    async def answer(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(said)

    with listening(answer, tasks) as port:
        found = await say(door, get(f"http://h.test:{port}/"))
    assert (status(found), rule(found)) == (502, "unreachable:answer")


async def test_an_answer_that_breaks_off_does_not_look_complete(door: Path, tasks: TaskGroup):
    async def answer(stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    with listening(answer, tasks) as port:
        found = await say(door, get(f"http://h.test:{port}/"))
    assert found.endswith(b"3\r\nabc\r\n")


async def test_a_body_that_breaks_off_does_not_look_complete(door: Path, tasks: TaskGroup):
    got = anyio.Event()
    data = b""

    async def answer(stream: SocketStream) -> None:
        nonlocal data
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                data += await stream.receive()
        got.set()

    with listening(answer, tasks) as port:
        head = f"POST http://h.test:{port}/ HTTP/1.1\r\nHost: h.test:{port}\r\n"
        await say(door, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nz\r\n")
        with anyio.fail_after(DEADLINE):
            await got.wait()
    assert data.endswith(b"3\r\nabc\r\n")
