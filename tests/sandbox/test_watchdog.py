"""Programs that take too much are stopped from outside, told of it, and can go on with less."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from sandbox.contract import Breach, Channel, Driver, Limits, Sandbox, SandboxSpec
from sandbox.layer import Layer
from sandbox.limits import inmates
from sandbox.limits.breaches import Breaches
from sandbox.limits.group import Group
from sandbox.limits.quota import Meter
from sandbox.limits.watchdog import Ward, Watchdog
from sandbox.orphans import find_inside

pytestmark = pytest.mark.usefixtures("watchful")

DEADLINE = 60.0
MEBIBYTE = 1024**2
LIMITS = Limits(
    memory=128 * MEBIBYTE, processes=64, disk=32 * MEBIBYTE, files=3000, tmp=64 * MEBIBYTE
)

FILLS_THE_DISK = """
i=0
while :; do head -c 16M /dev/zero > "/workspace/file$i"; i=$((i + 1)); sleep 0.1; done
"""
MAKES_FILES = """
import itertools
from select import select
for number in itertools.count():
    open(f"/home/agent/{number}", "w").close()
    select([], [], [], 0.0002)
"""
HIDES_A_FILE = """
import os
from select import select
with open("/workspace/file", "wb", buffering=0) as file:
    os.unlink("/workspace/file")
    while True:
        file.write(bytes(8 << 20))
        select([], [], [], 0.1)
"""
NESTS = """
import os
from select import select
while True:
    os.mkdir("d")
    os.chdir("d")
    select([], [], [], 0.0005)
"""
EATS_MEMORY = """
from select import select
eaten = []
while True:
    eaten.append(bytearray(8 << 20))
    select([], [], [], 0.02)
"""
HIDES_MEMORY = """
import os
from select import select
file = os.memfd_create("x")
while True:
    os.write(file, bytes(8 << 20))
    select([], [], [], 0.02)
"""
SHARES_MEMORY = """
import mmap
from select import select
eaten = []
while True:
    eaten.append(mmap.mmap(-1, 8 << 20))
    eaten[-1].write(b"x" * (8 << 20))
    select([], [], [], 0.02)
"""
FORKS = """
import os, signal
from select import select
while True:
    try:
        if os.fork() == 0:
            while True:
                signal.pause()
    except OSError:
        print("full", flush=True)
        select([], [], [], 0.1)
"""


async def read_all(channel: Channel) -> bytes:
    data = b""
    while chunk := await channel.receive():
        data += chunk
    await channel.aclose()
    return data


async def run(sandbox: Sandbox, *argv: str) -> str:
    return (await read_all(await sandbox.open("spawn", argv=argv))).decode()


async def suffer(sandbox: Sandbox, *argv: str) -> Breach:
    """Run a program until it is stopped; returns the one limit that it met."""
    with anyio.fail_after(DEADLINE):
        await run(sandbox, *argv)
        [breach] = await sandbox.breaches()
    assert await sandbox.breaches() == ()
    return breach


@pytest.fixture
def limits() -> Limits:
    return LIMITS


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize(
    ("argv", "limit", "told"),
    [
        (["/bin/sh", "-c", FILLS_THE_DISK], "disk", "32 MiB"),
        (["/usr/bin/python3", "-c", HIDES_A_FILE], "disk", "32 MiB"),
        (["/usr/bin/python3", "-c", MAKES_FILES], "files", "3000 files"),
        (["/usr/bin/python3", "-c", NESTS], "files", "nested"),
    ],
    ids=["large-files", "deleted-file", "many-files", "deep-directories"],
)
async def test_who_writes_too_much_is_stopped_and_can_delete(
    sandbox: Sandbox, argv: list[str], limit: str, told: str
):
    breach = await suffer(sandbox, *argv)
    assert breach.limit == limit
    assert told in breach.text
    clean = ["/bin/sh", "-c", "rm -rf /workspace/* /home/agent/*; echo deleted"]
    with anyio.fail_after(DEADLINE):
        # Nested too deeply nobody can tell whose bytes the disk has lost just now.
        while await run(sandbox, *clean) != "deleted\n":
            assert limit == "files"


@pytest.mark.usefixtures("neighbour")
async def test_who_eats_memory_loses_the_eater(sandbox: Sandbox):
    breach = await suffer(sandbox, "/usr/bin/python3", "-c", EATS_MEMORY)
    assert breach.limit == "memory"
    assert "128 MiB" in breach.text
    with anyio.fail_after(DEADLINE):
        assert await run(sandbox, "/bin/echo", "still here") == "still here\n"


@pytest.mark.usefixtures("neighbour")
async def test_memory_of_which_no_process_can_be_blamed_is_told_even_by_the_dead(sandbox: Sandbox):
    breach = await suffer(sandbox, "/usr/bin/python3", "-c", HIDES_MEMORY)
    assert breach.limit == "memory"


@pytest.mark.usefixtures("neighbour")
async def test_who_forks_for_ever_is_stopped_when_the_call_is_over(sandbox: Sandbox):
    channel = await sandbox.open("spawn", argv=["/usr/bin/python3", "-c", FORKS])
    breaches: list[Breach] = []
    with anyio.fail_after(DEADLINE):
        while not breaches:
            assert await channel.receive()  # it says so again and again
            breaches += await sandbox.breaches()
        await read_all(channel)  # it has been killed
        assert await run(sandbox, "/bin/sh", "-c", "echo a; echo b | cat") == "a\nb\n"
    assert [breach.limit for breach in breaches] == ["processes"]
    assert "64 processes" in breaches[0].text


async def test_who_stays_within_the_limits_is_left_alone(sandbox: Sandbox):
    with anyio.fail_after(DEADLINE):
        assert await run(sandbox, "/bin/sh", "-c", "truncate -s 3G /workspace/sparse; echo ok")
    assert await sandbox.breaches() == ()


# Looks at sandboxes that nothing else bounds

LOOSE = Limits(processes=96)
"""More than is watched for, and few enough that other tests get their turn meanwhile."""


@pytest.fixture
async def loose(driver: Driver) -> Sandbox:
    made = await driver.create(SandboxSpec(id="one", limits=LOOSE))
    await made.claim(env={})
    return made


@pytest.fixture
def layer(data_dir: Path) -> Path:
    return data_dir / "sandboxes/layers/one"


@contextmanager
def watched(layer: Path, limits: Limits, *, keep_free: int = 0) -> Generator[tuple[Watchdog, Ward]]:
    """A watchdog of the test's own, that looks when it is told to."""
    meter = Meter()
    watchdog = Watchdog(layer.parent, meter, keep_free=keep_free, memory=True, processes=True)
    [first, *others] = find_inside([Layer(layer, 0)])
    for each in others:
        each.close()
    ward = Ward(first, layer, limits, Breaches(Group(()), limits))
    watchdog.watch(ward)
    try:
        yield watchdog, ward
    finally:
        watchdog.forget(ward)
        meter.close()


def weigh(watchdog: Watchdog, ward: Ward) -> list[str]:
    """Measure the layer now; returns the limits that are broken."""
    ward.due = 0.0
    watchdog.look_at_disk()
    return told(ward)


def told(ward: Ward) -> list[str]:
    return [breach.limit for breach in ward.breaches.take()]


@pytest.mark.parametrize("program", [EATS_MEMORY, HIDES_MEMORY, SHARES_MEMORY])
async def test_memory_is_watched_where_no_group_bounds_it(
    loose: Sandbox, layer: Path, program: str
):
    with watched(layer, LIMITS) as (watchdog, ward):
        watchdog.look_at_processes()
        assert told(ward) == []
        channel = await loose.open("spawn", argv=["/usr/bin/python3", "-c", program])
        breaches: list[str] = []
        with anyio.fail_after(DEADLINE):
            while not breaches:
                await anyio.to_thread.run_sync(watchdog.look_at_processes)
                breaches += told(ward)
            await read_all(channel)
        assert breaches == ["memory"]
        assert loose.alive


async def test_shared_memory_counts_once(loose: Sandbox, layer: Path):
    program = """
import os, signal
block = bytearray(64 << 20)
for _ in range(8):
    if os.fork() == 0:
        signal.pause()
print("there", flush=True)
signal.pause()
"""
    channel = await loose.open("spawn", argv=["/usr/bin/python3", "-c", program])
    with anyio.fail_after(DEADLINE):
        assert await channel.receive() == b"there\n"
    with watched(layer, LIMITS) as (watchdog, ward):
        assert ward.namespace is not None
        pids = inmates.census()[ward.namespace]
        assert inmates.memory(ward.first.pid, pids, exactly=False) > LIMITS.memory
        watchdog.look_at_processes()
        assert told(ward) == []
    await channel.aclose()


async def test_processes_are_watched_where_nothing_counts_them(loose: Sandbox, layer: Path):
    channel = await loose.open("spawn", argv=["/usr/bin/python3", "-c", FORKS])
    with watched(layer, LIMITS) as (watchdog, ward), anyio.fail_after(DEADLINE):
        breaches: list[str] = []
        while not breaches:
            await anyio.to_thread.run_sync(watchdog.look_at_processes)
            breaches += told(ward)
        assert breaches == ["processes"]
        await read_all(channel)
        assert await run(loose, "/bin/echo", "ok") == "ok\n"


async def test_over_a_limit_a_layer_may_shrink_and_not_grow(loose: Sandbox, layer: Path):
    async def do(command: str) -> None:
        with anyio.fail_after(DEADLINE):
            await run(loose, "/bin/sh", "-c", command)

    with watched(layer, LIMITS) as (watchdog, ward):
        await do("for i in 1 2 3 4; do head -c 16M /dev/zero > $i; done")
        assert weigh(watchdog, ward) == ["disk"]
        await do("rm 1")
        assert weigh(watchdog, ward) == []
        await do("head -c 2M /dev/zero > 5")
        assert weigh(watchdog, ward) == ["disk"]
        for step in range(3):
            await do(f"head -c 900K /dev/zero > step{step}")
        assert weigh(watchdog, ward) == ["disk"]
        await do("rm 2 3 4; head -c 8M /dev/zero > 6")
        assert weigh(watchdog, ward) == []


async def test_growth_by_inches_is_growth(loose: Sandbox, layer: Path):
    told: list[str] = []
    with watched(layer, LIMITS) as (watchdog, ward), anyio.fail_after(DEADLINE):
        await run(loose, "/bin/sh", "-c", "head -c 40M /dev/zero > file")
        assert weigh(watchdog, ward) == ["disk"]
        for number in range(3):
            await run(loose, "/bin/sh", "-c", f"head -c 700K /dev/zero > inch{number}")
            told += weigh(watchdog, ward)
    assert told == ["disk"]


async def test_when_the_disk_is_nearly_full_who_fills_it_is_stopped(loose: Sandbox, layer: Path):
    everything = 1 << 62
    with watched(layer, LIMITS, keep_free=everything) as (watchdog, ward):
        assert weigh(watchdog, ward) == []
        assert weigh(watchdog, ward) == []
        with anyio.fail_after(DEADLINE):
            await run(loose, "/bin/sh", "-c", "head -c 4M /dev/zero > file")
        assert weigh(watchdog, ward) == ["disk"]
        assert loose.alive


async def test_a_layer_that_does_not_change_is_measured_less_and_less(loose: Sandbox, layer: Path):
    del loose
    with watched(layer, LIMITS) as (watchdog, ward):
        pauses: list[float] = []
        for _ in range(4):
            weigh(watchdog, ward)
            pauses.append(ward.pause)
        assert pauses == sorted(set(pauses))


async def test_a_process_of_this_machine_is_never_taken_for_an_inmate(loose: Sandbox, layer: Path):
    with watched(layer, LIMITS) as (_, ward):
        inside = ward.namespace
        [monitor] = [each for each in find_inside([Layer(layer, 0)]) if each.pid == ward.first.pid]
        assert inmates.namespace_inside(monitor) == inside
        await loose.destroy()
        assert inmates.namespace_inside(monitor) is None
        monitor.close()
