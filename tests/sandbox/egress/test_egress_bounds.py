"""What one owner of the egress proxy may use, and when its connections end."""

import threading
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
    OWNER,
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
    tunnel,
)
from tests.sandbox.places import IS_ROOT, PLAIN_USER


async def bounded(tasks: TaskGroup, directory: Path, **bounds: float) -> tuple[Proxy, Path]:
    proxy = make_proxy(tasks, bounds=replace(BOUNDS, **bounds))  # pyright: ignore[reportArgumentType] - by the field's name
    return proxy, await open_door(proxy, directory)


async def echo(stream: SocketStream) -> None:
    while True:
        await stream.send(await stream.receive())


async def silence(stream: SocketStream) -> None:
    while True:
        await stream.receive()


async def test_slow_clients_cannot_take_more_than_their_share(tasks: TaskGroup, tmp_path: Path):
    proxy, door = await bounded(tasks, tmp_path, connections=3, handshake_seconds=60)
    with anyio.fail_after(DEADLINE):
        slow = [dial(door) for _ in range(3)]
        for stream in slow:
            await stream.send(b"CONNECT h")
        answer = await say(door, connect("h.test:443"))
        assert (status(answer), rule(answer)) == (503, "limit:connections")
        await slow[0].aclose()
        while status(answer) == 503:
            answer = await say(door, get("http://h.test:1/"))
        for stream in slow[1:]:
            await stream.aclose()
    await proxy.egress.aclose()


async def test_a_head_that_does_not_come_is_not_waited_for(tasks: TaskGroup, tmp_path: Path):
    proxy, door = await bounded(tasks, tmp_path, handshake_seconds=0.1)
    with anyio.fail_after(DEADLINE):
        async with dial(door) as stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:  # until it is closed
                    await stream.send(b"x")
                    with anyio.move_on_after(0.01):
                        await stream.receive()
    assert proxy.last == "limit:seconds"
    await proxy.egress.aclose()


async def test_a_silent_tunnel_is_closed(tasks: TaskGroup, tmp_path: Path):
    proxy, door = await bounded(tasks, tmp_path, idle_seconds=0.1)
    with anyio.fail_after(DEADLINE), listening(silence, tasks) as port:
        async with await tunnel(door, f"h.test:{port}") as stream:
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
    await proxy.egress.aclose()


async def test_a_tunnel_that_talks_for_ever_is_closed(tasks: TaskGroup, tmp_path: Path):
    proxy, door = await bounded(tasks, tmp_path, seconds=0.3)
    with anyio.fail_after(DEADLINE), listening(echo, tasks) as port:
        async with await tunnel(door, f"h.test:{port}") as stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:  # until it is closed
                    await stream.send(b"x")
                    await stream.receive()
    assert proxy.last == "limit:seconds"
    await proxy.egress.aclose()


async def test_a_tunnel_carries_so_many_bytes_and_no_more(tasks: TaskGroup, tmp_path: Path):
    proxy, door = await bounded(tasks, tmp_path, bytes=300_000)
    received = 0
    with anyio.fail_after(DEADLINE), listening(echo, tasks) as port:
        async with await tunnel(door, f"h.test:{port}") as stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:  # until it is closed
                    await stream.send(b"x" * 1000)
                    received += len(await stream.receive())
    assert proxy.last == "limit:bytes"
    assert received <= 150_000
    await proxy.egress.aclose()


async def test_a_lookup_that_hangs_is_given_up(tasks: TaskGroup, tmp_path: Path):
    release = threading.Event()

    def hang(host: str) -> list[str]:
        release.wait(DEADLINE)
        return []

    proxy = make_proxy(tasks, look_up=hang, bounds=replace(BOUNDS, connect_seconds=0.1, lookups=1))
    door = await open_door(proxy, tmp_path)
    answers = [await say(door, connect("h.test:443")) for _ in range(6)]
    release.set()
    assert [status(answer) for answer in answers] == [504, 504, 504, 504, 503, 503]
    assert rule(answers[-1]) == "limit:lookups"
    await proxy.egress.aclose()


# Doors.


async def test_a_tightened_policy_closes_what_is_open_and_denies_the_next(
    proxy: Proxy, door: Path, tasks: TaskGroup
):
    with anyio.fail_after(DEADLINE), listening(echo, tasks) as port:
        async with await tunnel(door, f"h.test:{port}") as stream:
            await stream.send(b"x")
            assert await stream.receive() == b"x"
            proxy.rules.usual = Verdict(False, "network:not_allowed")
            await proxy.egress.revoke(OWNER)
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        assert proxy.last == "revoked"
        assert status(await say(door, connect(f"h.test:{port}"))) == 403


async def test_revoking_one_owner_does_not_concern_another(
    proxy: Proxy, door: Path, tasks: TaskGroup, tmp_path: Path
):
    (tmp_path / "other").mkdir()
    other = await open_door(proxy, tmp_path / "other", "other")
    with anyio.fail_after(DEADLINE), listening(echo, tasks) as port:
        async with await tunnel(other, f"h.test:{port}") as stream:
            await proxy.egress.revoke(OWNER)
            await proxy.egress.close(OWNER)
            await stream.send(b"x")
            assert await stream.receive() == b"x"
    assert not await anyio.Path(door).exists()


async def test_closing_the_proxy_breaks_off_what_is_under_way(
    proxy: Proxy, door: Path, tasks: TaskGroup
):
    with anyio.fail_after(DEADLINE), listening(echo, tasks) as port:
        async with await tunnel(door, f"h.test:{port}") as stream:
            await proxy.egress.aclose()
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        assert not await anyio.Path(door).exists()


async def test_an_owner_that_opens_again_gets_a_new_door(proxy: Proxy, door: Path, server: Web):
    again = await open_door(proxy, door.parent)
    assert again == door
    assert status(await say(door, get(f"http://h.test:{server.port}/"))) == 200


async def test_closing_what_is_not_open_is_no_error(proxy: Proxy):
    await proxy.egress.close("nobody")
    await proxy.egress.revoke("nobody")


@pytest.mark.skipif(not IS_ROOT, reason="only root can have sandboxes with users of their own")
async def test_a_connection_of_another_user_is_not_served(proxy: Proxy, data_dir: Path):
    await anyio.Path(data_dir).chmod(0o711)
    door = await proxy.egress.open(OWNER, data_dir, PLAIN_USER)
    with anyio.fail_after(DEADLINE):
        async with dial(door) as stream:
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
    assert proxy.reported == []
    found = await anyio.Path(door).stat()
    assert (found.st_uid, found.st_mode & 0o777) == (PLAIN_USER, 0o600)


async def test_a_client_that_goes_away_leaves_nothing_behind(tasks: TaskGroup, tmp_path: Path):
    proxy, door = await bounded(tasks, tmp_path, connections=1)
    with anyio.fail_after(DEADLINE), listening(silence, tasks) as port:
        for _ in range(5):
            stream = dial(door)
            await stream.send(connect(f"h.test:{port}"))
            while status(answer := await stream.receive()) == 503:
                await stream.aclose()
                stream = dial(door)
                await stream.send(connect(f"h.test:{port}"))
            assert status(answer) == 200
            await stream.aclose()
    await proxy.egress.aclose()
