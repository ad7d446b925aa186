"""What happens when things go wrong, by accident or because somebody inside wants them to."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import psutil
import pytest

from sandbox.bubblewrap import BubblewrapDriver
from sandbox.cell import Cell
from sandbox.contract import Limits, SandboxError, SandboxGone, SandboxSpec, Unavailable
from sandbox.layer import Layer, enterable
from sandbox.orphans import find_inside
from tests.sandbox.abuse import hostile
from tests.sandbox.outpost import detach
from tests.sandbox.places import IS_ROOT
from tests.sandbox.watching import DEADLINE, ended, wait_dead

NO_PYTHON = Path("/usr/no/python")
Make = Callable[..., BubblewrapDriver]


def layers(data_dir: Path) -> Path:
    return data_dir / "sandboxes/layers"


def nothing_is_left(data_dir: Path) -> bool:
    root = data_dir / "sandboxes"
    return not any([*(root / name).iterdir()] for name in ("layers", "sockets", "uploads", "trash"))


# Deaths


@pytest.mark.probe(117)
async def test_a_sandbox_whose_first_process_dies_is_gone(
    bubblewrap: BubblewrapDriver, data_dir: Path
):
    cell = await bubblewrap.create(SandboxSpec(id="one"))
    await cell.claim(env={})
    channel = await cell.open("spawn", argv=["/bin/cat"])
    [first, *_] = find_inside([Layer(layers(data_dir) / "one", os.geteuid())])
    first.kill()
    first.close()
    with anyio.fail_after(DEADLINE):
        assert await channel.receive() == b""
    await channel.aclose()
    await wait_dead(cell)
    with pytest.raises(SandboxGone):
        await cell.open("tools")
    with pytest.raises(SandboxGone):
        await cell.pull("/workspace/x", max_bytes=1)
    await cell.destroy()


async def test_a_call_that_waits_ends_when_the_sandbox_dies(run_inside: Make):
    driver = run_inside(hostile.IGNORES_ORDERS)
    cell = await driver.create(SandboxSpec(id="one"))
    raised: list[type[Exception]] = []

    async def call(action: Callable[[], object]) -> None:
        try:
            await action()  # pyright: ignore[reportGeneralTypeIssues] - every action is awaitable
        except SandboxError as error:
            raised.append(type(error))

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, lambda: cell.claim(env={}))
            tasks.start_soon(call, lambda: cell.open("tools"))
            tasks.start_soon(call, lambda: cell.pull("/x", max_bytes=1))
            await anyio.wait_all_tasks_blocked()
            await cell.destroy()
    assert raised == [SandboxGone] * 3


@pytest.mark.probe(117)
async def test_a_sandbox_whose_bwrap_dies_is_gone_and_its_files_are_not(
    bubblewrap: BubblewrapDriver,
):
    cell = await bubblewrap.create(SandboxSpec(id="one"))
    await cell.push("/workspace/file", b"kept")
    started = psutil.Process().children(recursive=True)
    monitors = [child for child in started if child.name() == "bwrap"]
    assert monitors
    for monitor in monitors:  # one of an earlier test may still be dying
        monitor.kill()
    await wait_dead(cell)
    again = await bubblewrap.adopt(cell.ref, SandboxSpec(id="one"))
    assert await again.pull("/workspace/file", max_bytes=10) == b"kept"


async def test_after_a_death_the_layer_is_adopted_by_a_new_sandbox(
    bubblewrap: BubblewrapDriver, data_dir: Path
):
    cell = await bubblewrap.create(SandboxSpec(id="one"))
    await cell.push("/workspace/file", b"kept")
    [first, *_] = find_inside([Layer(layers(data_dir) / "one", os.geteuid())])
    first.kill()
    first.close()
    await wait_dead(cell)
    again = await bubblewrap.adopt(cell.ref, SandboxSpec(id="one"))
    assert await again.pull("/workspace/file", max_bytes=10) == b"kept"
    await cell.destroy()  # the old one no longer owns the layer
    assert await again.pull("/workspace/file", max_bytes=10) == b"kept"


@pytest.mark.probe(53)
async def test_destroying_kills_what_detached_itself_and_ignores_signals(
    bubblewrap: BubblewrapDriver, data_dir: Path
):
    cell = await bubblewrap.create(SandboxSpec(id="one"))
    await cell.claim(env={})
    await detach(cell)
    layer = Layer(layers(data_dir) / "one", os.geteuid())
    found = find_inside([layer])
    assert len(found) >= 2
    with anyio.fail_after(DEADLINE):
        await cell.destroy(keep_layer=True)
    assert await ended(found)
    assert find_inside([layer]) == []


@pytest.mark.probe(117)
async def test_when_the_launcher_dies_its_sandboxes_die_and_the_next_one_starts(
    bubblewrap: BubblewrapDriver,
):
    cell = await bubblewrap.create(SandboxSpec(id="one"))
    [launcher] = [
        child for child in psutil.Process().children() if "launcher.py" in str(child.cmdline())
    ]
    launcher.kill()
    await wait_dead(cell)
    assert (await bubblewrap.create(SandboxSpec(id="two"))).alive


# Starts that fail


@pytest.mark.parametrize(
    "program", [hostile.SILENT, hostile.DEAF, hostile.IMPOSTOR, hostile.LATE_TOKEN]
)
async def test_a_program_that_is_never_ready_is_given_up(
    run_inside: Make, data_dir: Path, program: str
):
    driver = run_inside(program, start_seconds=1.0)
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable):
        await driver.create(SandboxSpec(id="one"))
    assert nothing_is_left(data_dir)


async def test_a_greeting_without_end_is_cut_off(run_inside: Make, data_dir: Path):
    driver = run_inside(hostile.LONG_GREETING, start_seconds=1.0)
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable):
        await driver.create(SandboxSpec(id="one"))
    assert nothing_is_left(data_dir)


async def test_a_program_that_fails_says_why(run_inside: Make, data_dir: Path):
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable, match="out of cheese"):
        await run_inside(hostile.FAILING).create(SandboxSpec(id="one"))
    assert nothing_is_left(data_dir)


async def test_a_cancelled_start_leaves_nothing(run_inside: Make, data_dir: Path):
    driver = run_inside(hostile.DEAF)
    for delay in (0.0, 0.001, 0.003, 0.01, 0.03, 0.1):
        with anyio.move_on_after(delay):
            await driver.create(SandboxSpec(id="one"))
        assert nothing_is_left(data_dir)
    assert find_inside([Layer(layers(data_dir) / "one", 0)]) == []


async def test_without_bubblewrap_the_message_says_what_to_install(make_bubblewrap: Make):
    with pytest.raises(Unavailable, match="install the package bubblewrap"):
        await make_bubblewrap(bwrap="/no/such/bwrap").probe()


@pytest.mark.parametrize(
    ("version", "complaint", "remedy"),
    [
        ("bubblewrap 0.4.1", "", "too old; install"),
        ("bubblewrap 0.9.0", "bwrap: No permissions to create new namespace", "namespaces"),
        ("bubblewrap 0.9.0", "bwrap: execvp /usr/bin/python3: No such file", "install python3"),
    ],
)
async def test_a_bubblewrap_that_cannot_work_is_explained(
    make_bubblewrap: Make, data_dir: Path, version: str, complaint: str, remedy: str
):
    fake = data_dir / "bwrap"
    fake.write_text(
        f"#!/bin/sh\n[ \"$1\" = --version ] && echo '{version}' && exit\n"
        f"echo '{complaint}' >&2; exit 1\n"
    )
    fake.chmod(0o755)
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable, match=remedy) as raised:
        await make_bubblewrap(bwrap=str(fake)).probe()
    assert len(str(raised.value).splitlines()) == 1


async def test_a_data_directory_that_is_none_is_explained(make_bubblewrap: Make, data_dir: Path):
    (data_dir / "file").touch()
    with pytest.raises(Unavailable, match="cannot prepare"):
        await make_bubblewrap(data_dir=data_dir / "file").probe()


@pytest.mark.skipif(not IS_ROOT, reason="a user without rights has one user id for all sandboxes")
async def test_when_no_user_id_is_left_the_message_says_so(make_bubblewrap: Make):
    driver = make_bubblewrap(uids=range(230_000, 230_001))
    cell = await driver.create(SandboxSpec(id="one"))
    with pytest.raises(SandboxError, match="uid_range"):
        await driver.create(SandboxSpec(id="two"))
    await cell.destroy()
    assert (await driver.create(SandboxSpec(id="two"))).alive


async def test_without_a_python_of_the_system_the_gateway_s_own_is_shown(make_bubblewrap: Make):
    driver = make_bubblewrap(python=NO_PYTHON)
    if IS_ROOT and not enterable(Path(sys.base_prefix)):
        with pytest.raises(Unavailable, match="install python3"):
            await driver.probe()
        return
    cell = await driver.create(SandboxSpec(id="one"))
    await cell.push("/workspace/file", b"works")
    assert await cell.pull("/workspace/file", max_bytes=10) == b"works"


# Channels


async def test_a_channel_closed_while_somebody_reads_just_ends(bubblewrap: BubblewrapDriver):
    cell = await bubblewrap.create(SandboxSpec(id="one"))
    await cell.claim(env={})
    channel = await cell.open("spawn", argv=["/bin/cat"])
    received: list[bytes] = []

    async def read() -> None:
        received.append(await channel.receive())

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await channel.aclose()
    assert received == [b""]


async def test_a_program_that_does_not_read_holds_up_its_writer_only(
    bubblewrap: BubblewrapDriver,
):
    cell = await bubblewrap.create(SandboxSpec(id="one"))
    await cell.claim(env={})
    channel = await cell.open("spawn", argv=["/bin/sh", "-c", "exec sleep 1000"])
    with anyio.move_on_after(0.2) as patience:
        await channel.send(b"x" * 10_000_000)
    assert patience.cancelled_caught
    await channel.aclose()
    await (await cell.open("tools")).aclose()


# Limits


@pytest.mark.skipif(not IS_ROOT, reason="memory is limited by control groups, which need rights")
async def test_who_eats_too_much_memory_dies_and_the_sandbox_lives(bubblewrap: BubblewrapDriver):
    if (await bubblewrap.probe()).limits["memory"] == "none":
        pytest.skip("this machine lets us make no control group")
    cell = await bubblewrap.create(SandboxSpec(id="one", limits=Limits(memory=128 * 1024**2)))
    await cell.claim(env={})
    hog = "x = bytearray(2**29); print(len(x))"
    channel = await cell.open("spawn", argv=["/usr/bin/python3", "-c", hog])
    with anyio.fail_after(DEADLINE):
        assert await channel.receive() == b""
    await channel.aclose()
    assert cell.alive


async def test_fifty_sandboxes_live_at_once(bubblewrap: BubblewrapDriver, data_dir: Path):
    cells: list[Cell] = []

    async def live(number: int) -> None:
        cell = await bubblewrap.create(SandboxSpec(id=f"s{number}"))
        await cell.push("/workspace/name", cell.id.encode())
        cells.append(cell)

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(live, number)
    assert all(cell.alive for cell in cells)
    for cell in cells:
        assert await cell.pull("/workspace/name", max_bytes=10) == cell.id.encode()
    async with anyio.create_task_group() as tasks:
        for cell in cells:
            tasks.start_soon(cell.destroy)
    assert nothing_is_left(data_dir)
