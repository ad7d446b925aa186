"""Tunnels through the egress proxy, and what may be said in them."""

import ssl
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream, TaskGroup
from anyio.streams.tls import TLSStream

from sandbox.egress.rules import Denied, Request, Verdict
from tests.sandbox.outside import (
    DEADLINE,
    Authority,
    Permit,
    Proxy,
    Web,
    connect,
    get,
    listening,
    make_proxy,
    open_door,
    own_address,
    rule,
    say,
    status,
    tunnel,
    web,
)


async def ask_through(
    door: Path, authority: Authority, target: str, name: str
) -> tuple[bytes, TLSStream]:
    stream = await tunnel(door, target)
    try:
        tls = await TLSStream.wrap(
            stream, hostname=name, ssl_context=authority.client(), standard_compatible=False
        )
    except BaseException:
        await stream.aclose()
        raise
    await tls.send(f"GET /inside HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    return await tls.receive(), tls


@pytest.fixture
def https(authority: Authority) -> Iterator[Web]:
    with web(authority.server("host.test", "fronted.test")) as server:
        yield server


async def test_a_tunnel_carries_tls_that_names_its_host(
    proxy: Proxy, door: Path, authority: Authority, https: Web
):
    with anyio.fail_after(DEADLINE):
        answer, tls = await ask_through(door, authority, f"HOST.test:{https.port}", "host.test")
        assert status(answer) == 200
        await tls.aclose()
    assert proxy.verdicts == [("host.test", True, "usual")]


async def test_a_tunnel_in_which_another_host_is_named_is_closed(
    proxy: Proxy, door: Path, authority: Authority, https: Web
):
    with anyio.fail_after(DEADLINE):
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError)):
            await ask_through(door, authority, f"host.test:{https.port}", "fronted.test")
        await closed(proxy)
    assert proxy.last == "tls:sni_mismatch"
    assert https.heard == []


async def closed(proxy: Proxy) -> None:
    """Wait until a last decision is reported as denied."""
    while not proxy.reported or proxy.reported[-1].allowed:
        await anyio.lowlevel.checkpoint()


# Well-known ports, on an address of the test's own.


@pytest.fixture
def address() -> str:
    try:
        return own_address()
    except PermissionError:
        pytest.skip("only root may listen on the ports of the web here")


@pytest.fixture
async def well_known(
    tasks: TaskGroup, tmp_path: Path, address: str, authority: Authority
) -> AsyncGenerator[tuple[Proxy, Path]]:
    """A proxy that finds every host at that address, and its socket."""
    proxy = make_proxy(tasks, look_up=lambda _: [address], tls=authority.client())
    yield proxy, await open_door(proxy, tmp_path)
    await proxy.egress.aclose()


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-client\r\n", b"\x16\x03\x01", b"\x16\x03\x01\x00\x00"],
)
async def test_a_tunnel_to_the_port_of_https_carries_nothing_else(
    well_known: tuple[Proxy, Path], address: str, tasks: TaskGroup, said: bytes
):
    proxy, door = well_known
    received: list[bytes] = []

    async def answer(stream: SocketStream) -> None:
        received.append(await stream.receive())

    with anyio.fail_after(DEADLINE), listening(answer, tasks, (address, 443)):
        async with await tunnel(door, "host.test:443") as stream:
            await stream.send(said)
            await stream.send_eof()
            await closed(proxy)
    assert proxy.last == "tls:not_tls"
    assert received == []


async def test_a_client_that_names_nobody_is_let_through_only_where_there_is_no_name(
    well_known: tuple[Proxy, Path], address: str, authority: Authority
):
    proxy, door = well_known
    proxy.rules.hosts[address] = Verdict(True, "exempt", private=True)
    context = authority.client()
    context.check_hostname = False
    with anyio.fail_after(DEADLINE), web(authority.server("host.test"), at=(address, 443)):
        for host in (address, "single"):
            async with await tunnel(door, f"{host}:443") as stream:
                await TLSStream.wrap(stream, ssl_context=context, server_side=False)
        async with await tunnel(door, "host.test:443") as stream:
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError)):
                await TLSStream.wrap(stream, ssl_context=context, server_side=False)
        await closed(proxy)
    assert proxy.last == "tls:sni_mismatch"


async def test_a_tunnel_to_the_port_of_http_ends_in_the_proxy(
    well_known: tuple[Proxy, Path], address: str
):
    proxy, door = well_known
    inner = b"GET /inside HTTP/1.1\r\nHost: %s\r\n\r\n"
    with web(at=(address, 80)) as server:
        answer = await say(
            door, connect("host.test:80") + inner % b"host.test" + inner % b"evil.test"
        )
    assert [each.path for each in server.heard] == ["/inside"]
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert answer.count(b"HTTP/1.1 400") == 1
    assert [(each.kind, each.rule) for each in proxy.reported] == [
        ("connect", "usual"),
        ("request", "usual"),
        ("request", "request:host_mismatch"),
    ]


async def test_inside_a_tunnel_to_the_port_of_http_there_is_nothing_but_http(
    well_known: tuple[Proxy, Path], address: str
):
    _, door = well_known
    for said in (b"SSH-2.0-client\r\n\r\n", connect("evil.test:443"), get("http://host.test/")):
        answer = await say(door, connect("host.test:80") + said)
        assert status(answer.partition(b"\r\n\r\n")[2]) == 400


async def test_a_request_can_be_sent_on_as_a_tls_one_with_a_secret(
    well_known: tuple[Proxy, Path], address: str, authority: Authority
):
    proxy, door = well_known
    proxy.rules.upgrade = frozenset(["host.test"])
    proxy.rules.attached = ((b"authorization", b"Bearer secret"),)
    with web(authority.server("host.test"), at=(address, 443)) as server:
        answer = await say(door, get("http://host.test/repository"))
    assert status(answer) == 200
    headers = {name.lower(): value for name, value in server.heard[0].headers.items()}
    assert headers["authorization"] == "Bearer secret"
    assert headers["host"] == "host.test"
    assert b"secret" not in answer


async def test_a_server_that_cannot_prove_its_name_gets_nothing(
    well_known: tuple[Proxy, Path], address: str, authority: Authority
):
    proxy, door = well_known
    proxy.rules.upgrade = frozenset(["host.test"])
    with web(authority.server("other.test"), at=(address, 443)) as server:
        answer = await say(door, get("http://host.test/repository"))
    assert (status(answer), rule(answer)) == (502, "unreachable:tls")
    assert server.heard == []


async def test_rules_may_refuse_a_request_when_they_rewrite_it(tasks: TaskGroup, tmp_path: Path):
    class Refusing(Permit):
        async def rewrite(self, owner: str, request: Request) -> Request:
            del owner, request
            raise Denied("credential:other_host")

    proxy = make_proxy(tasks, rules=Refusing())
    answer = await say(await open_door(proxy, tmp_path), get("http://h.test/"))
    assert (status(answer), rule(answer)) == (403, "credential:other_host")
    await proxy.egress.aclose()


async def test_a_redirect_is_the_client_s_to_follow_and_decided_again(
    proxy: Proxy, door: Path, server: Web
):
    proxy.rules.hosts["denied.test"] = Verdict(False, "no")
    with web(location="http://denied.test/") as first:
        answer = await say(door, get(f"http://h.test:{first.port}/"))
    assert status(answer) == 302
    assert b"Location: http://denied.test/" in answer or b"location: http://denied.test/" in answer
    assert status(await say(door, get("http://denied.test/"))) == 403
