"""Too much of everything, by programs that run in a sandbox of ours: who suffers, and who does not."""

import statistics
import time

import anyio
import pytest

from sandbox.contract import Driver, Limits, Sandbox, SandboxSpec
from tests.sandbox.watching import (
    DEADLINE,
    Tools,
    open_descriptors,
    resident,
    run,
    run_python,
    tools,
)

SMALL = Limits(memory=192 * 1024**2, processes=64, open_files=256, tmp=64 * 1024**2)
MANY = 1024**2


@pytest.fixture
def limits() -> Limits:
    return SMALL


@pytest.mark.probe(52)
async def test_a_tool_that_prints_for_ever_costs_the_gateway_no_memory(sandbox: Sandbox):
    async with tools(sandbox) as inside:
        before = resident()
        text, failed = await inside.bash("yes", timeout_ms=2000)
        assert failed
        assert "timed out" in text
        assert len(text) < MANY
        assert resident() - before < 16 * MANY


@pytest.mark.probe(52)
async def test_a_program_that_is_not_listened_to_costs_no_memory(sandbox: Sandbox):
    before = resident()
    channels = [await sandbox.open("spawn", argv=["/usr/bin/yes"]) for _ in range(20)]
    await run(sandbox, "/bin/sleep", "0.3")
    assert resident() - before < 16 * MANY
    for channel in channels:
        await channel.aclose()


FORK = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"


@pytest.mark.probe(47, 116)
async def test_a_fork_bomb_stays_in_its_sandbox(sandbox: Sandbox, neighbour: Tools):
    bomb = await sandbox.open("spawn", argv=["/usr/bin/python3", "-I", "-S", "-c", FORK])
    for _ in range(10):
        assert await neighbour.bash("echo $((6 * 7))") == ("42", False)
    with anyio.fail_after(DEADLINE):
        await sandbox.destroy()
        assert await bomb.receive() == b""
    await bomb.aclose()


SPIN = "while True: pass"


@pytest.mark.probe(55)
async def test_eight_busy_loops_leave_the_neighbour_its_turn(
    driver: Driver, sandbox: Sandbox, neighbour: Tools
):
    """A ratio, and a generous one: this machine has other work too."""

    async def median() -> float:
        times: list[float] = []
        for _ in range(30):
            begin = time.perf_counter()
            assert not (await neighbour.bash("/bin/true"))[1]
            times.append(time.perf_counter() - begin)
        return statistics.median(times)

    quiet = await median()
    argv = ["/usr/bin/python3", "-I", "-S", "-c", SPIN]
    spinning = [await sandbox.open("spawn", argv=argv) for _ in range(8)]
    busy = await median()
    for channel in spinning:
        await channel.aclose()
    limited = (await driver.probe()).limits["cpus"] != "none"
    assert busy < quiet * (50 if limited else 200)


NAMES = """
import os
os.chdir(os.environ["PLACE"])
for number in range(400_000):
    os.close(os.open(str(number), os.O_CREAT, 0o600))
print("got all")
"""


@pytest.mark.probe(50)
async def test_names_without_number_end_at_the_bound_of_memory(
    driver: Driver, sandbox: Sandbox, neighbour: Tools
):
    """They are memory, so the sandbox may die of them; its layer is there for another."""
    if (await driver.probe()).limits["memory"] in ("none", "watchdog"):
        pytest.skip("memory is not limited by the kernel here")
    argv = ["/usr/bin/python3", "-I", "-S", "-c", NAMES]
    channel = await sandbox.open("spawn", argv=argv, env={"PLACE": "/tmp"})
    with anyio.fail_after(DEADLINE):
        assert await channel.receive() == b""
    await channel.aclose()
    assert await neighbour.bash("echo fine") == ("fine", False)
    await sandbox.destroy(keep_layer=True)
    again = await driver.adopt(sandbox.ref, SandboxSpec(id="one", limits=SMALL))
    assert await run(again, "/bin/ls", "/tmp") == ""


DIAL = """
import socket, sys
kept = []
for number in range(2000):
    try:
        dialled = socket.socket(socket.AF_UNIX)
        dialled.connect("/opt/wharfkeep/gateway/socket")
        if number % 3 == 0:
            dialled.sendall(b'{"token": "guess"}\\n')
        kept.append(dialled)
    except OSError:
        kept[:100] = []
print("done")
"""


@pytest.mark.probe(115)
async def test_dialling_the_gateway_without_end_costs_nobody_else_anything(
    sandbox: Sandbox, neighbour: Tools
):
    before = open_descriptors()
    await run_python(sandbox, DIAL)
    assert await neighbour.bash("echo fine") == ("fine", False)
    with anyio.fail_after(DEADLINE):
        await sandbox.destroy()
    assert open_descriptors() <= before


@pytest.mark.probe(53)
async def test_a_sandbox_ends_with_everything_that_wants_to_stay(sandbox: Sandbox):
    stay = "trap '' TERM INT HUP; (setsid sh -c \"trap '' TERM; sleep 1000\" &) ; sleep 1000"
    channels = [await sandbox.open("spawn", argv=["/bin/sh", "-c", stay]) for _ in range(5)]
    with anyio.fail_after(DEADLINE):
        await sandbox.destroy()
        for channel in channels:
            assert await channel.receive() == b""
            await channel.aclose()
    assert not sandbox.alive
