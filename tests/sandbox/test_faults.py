"""What happens when things go wrong, by accident or because somebody inside wants them to."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import psutil
import pytest

from sandbox.bubblewrap import BubblewrapDriver
from sandbox.cell import Cell
from sandbox.contract import Limits, SandboxError, SandboxGone, SandboxSpec, Unavailable
from sandbox.layer import Layer, enterable
from sandbox.orphans import find_inside
from sandbox.premises import prepare
from sandbox.spawn import Process
from tests.sandbox import hostile
from tests.sandbox.outpost import detach
from tests.sandbox.places import IS_ROOT, environment

DEADLINE = 30.0
NO_PYTHON = Path("/usr/no/python")
Make = Callable[..., BubblewrapDriver]


@pytest.fixture
def run_inside(make_bubblewrap: Make, bubblewrap: BubblewrapDriver, data_dir: Path) -> Make:
    """Make a driver whose sandboxes run a hostile program."""
    del bubblewrap  # asked for, so that the test is skipped where nothing works

    def make(program: str, **settings: object) -> BubblewrapDriver:
        file = hostile.pack(program, data_dir / "program.pyz")
        return make_bubblewrap(program=file, **settings)

    return make


def layers(data_dir: Path) -> Path:
    return data_dir / "sandboxes/layers"


def nothing_is_left(data_dir: Path) -> bool:
    root = data_dir / "sandboxes"
    return not any([*(root / name).iterdir()] for name in ("layers", "sockets", "trash"))


async def wait_dead(cell: Cell) -> None:
    with anyio.fail_after(DEADLINE):
        await cell.wait_gone()
    assert not cell.alive


async def ended(processes: list[Process]) -> bool:
    with anyio.move_on_after(DEADLINE):
        for process in processes:
            await process.wait()
    gone = all(process.exited for process in processes)
    for process in processes:
        process.close()
    return gone


def held(pids: list[int]) -> list[Process]:
    """Those of the processes that still live."""
    processes: list[Process] = []
    for pid in pids:
        with suppress(ProcessLookupError):
            processes.append(Process(pid, os.pidfd_open(pid)))
    return processes


def open_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


# Deaths


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


async def test_a_killed_gateway_leaves_no_process_and_its_layers_are_reaped(
    bubblewrap: BubblewrapDriver, make_bubblewrap: Make, data_dir: Path
):
    await bubblewrap.aclose()
    script = Path(__file__).with_name("outpost.py")
    gateway = await anyio.open_process(
        [sys.executable, str(script), "live", str(data_dir), "a", "b", "c"],
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    assert gateway.stdout is not None
    try:
        with anyio.fail_after(DEADLINE):
            pids: list[int] = json.loads(await gateway.stdout.receive())
        processes = held(pids)
        assert len(processes) >= 6  # the first process of each sandbox, and the one that detached
    finally:
        gateway.send_signal(signal.SIGKILL)
        await gateway.aclose()
    assert await ended(processes)
    driver = make_bubblewrap()
    assert await driver.reap(frozenset({"b"})) == ["a", "c"]
    assert [place.name for place in layers(data_dir).iterdir()] == ["b"]
    cgroups = prepare(
        data_dir=data_dir, program=None, bwrap="bwrap", python=Path("/usr/bin/python3")
    ).cgroups
    assert cgroups is None or cgroups.names() == []
    adopted = await driver.adopt("b", SandboxSpec(id="b"))
    assert await adopted.pull("/workspace/file", max_bytes=10) == b"b"


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


# Programs that mean harm


@pytest.mark.parametrize(
    "program",
    [
        hostile.GARBAGE,
        hostile.DEEP,
        hostile.ENDLESS_LINE,
        hostile.CHATTER,
        hostile.STRANGE_LINES,
        hostile.HANGS_UP,
        hostile.DIALS,
        hostile.KEEPS_DIALLING,
    ],
)
async def test_a_program_that_breaks_the_protocol_loses_its_sandbox(
    run_inside: Make, bubblewrap: BubblewrapDriver, data_dir: Path, program: str
):
    other = await bubblewrap.create(SandboxSpec(id="other"))
    before = open_descriptors()
    driver = run_inside(program)
    try:
        cell = await driver.create(SandboxSpec(id="one"))
    except Unavailable:  # it was faster
        pass
    else:
        await wait_dead(cell)
        await cell.destroy()
    assert other.alive
    await driver.aclose()
    assert open_descriptors() <= before


async def test_orders_that_are_ignored_time_out_and_the_sandbox_lives(run_inside: Make):
    driver = run_inside(hostile.IGNORES_ORDERS, call_seconds=0.2)
    cell = await driver.create(SandboxSpec(id="one"))
    with anyio.fail_after(DEADLINE):
        for _ in range(3):
            with pytest.raises(SandboxError, match="did not answer"):
                await cell.open("tools")
    assert cell.alive


async def test_a_refusal_is_told_in_its_own_words_but_not_all_of_them(run_inside: Make):
    driver = run_inside(hostile.REFUSES)
    cell = await driver.create(SandboxSpec(id="one"))
    with anyio.fail_after(DEADLINE), pytest.raises(SandboxError) as raised:
        await cell.open("tools")
    assert len(str(raised.value)) <= 4096


async def test_descriptors_that_are_sent_along_are_not_taken(run_inside: Make):
    cell = await run_inside(hostile.SENDS_DESCRIPTORS).create(SandboxSpec(id="one"))
    before = open_descriptors()
    await cell.claim(env={})
    with anyio.fail_after(DEADLINE):
        for _ in range(3):
            channel = await cell.open("tools")
            received = b""
            while data := await channel.receive():
                received += data
                assert open_descriptors() <= before + 1
            assert received == b"x" * 20
            await channel.aclose()
    assert open_descriptors() == before


async def test_a_flood_of_errors_is_not_kept(run_inside: Make):
    cell = await run_inside(hostile.WRITES_ERRORS).create(SandboxSpec(id="one"))
    with anyio.fail_after(DEADLINE):
        await cell.claim(env={})
        await cell.destroy()
    assert 0 < len(cell.complaints) <= 8192


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("endless", "larger than"),
        ("short", "whole"),
        ("nonsense", "nonsense"),
        ("long", "nonsense"),
        ("nothing", "gone"),
        ("waits", "did not answer"),
    ],
)
async def test_a_file_that_does_not_come_as_agreed_is_an_error(
    run_inside: Make, path: str, told: str
):
    cell = await run_inside(hostile.FILES, call_seconds=1.0).create(SandboxSpec(id="one"))
    with anyio.fail_after(DEADLINE), pytest.raises(SandboxError, match=told):
        await cell.pull(path, max_bytes=1_000_000)


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
