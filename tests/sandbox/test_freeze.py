"""A frozen sandbox does nothing and forgets nothing."""

import anyio
import pytest

from sandbox.contract import Driver, Sandbox, SandboxGone, SandboxSpec

pytestmark = pytest.mark.usefixtures("watchful")

DEADLINE = 30.0
_COUNT = "i=0; while :; do i=$((i+1)); echo $i > /workspace/count; done"


async def run(sandbox: Sandbox, script: str) -> str:
    channel = await sandbox.open("spawn", argv=["/bin/sh", "-c", script])
    data = b""
    with anyio.fail_after(DEADLINE):
        while chunk := await channel.receive():
            data += chunk
    await channel.aclose()
    return data.decode()


async def spawn_counters(sandbox: Sandbox) -> None:
    """Programs of several generations, one in a session of its own, that never rest."""
    await run(sandbox, f"({_COUNT}) >/dev/null 2>&1 & (setsid sh -c '{_COUNT}') >/dev/null 2>&1 &")
    with anyio.fail_after(DEADLINE):
        while await sandbox.count_processes() < 2:  # noqa: ASYNC110 - nothing tells of new ones
            await anyio.sleep(0.01)


async def test_processes_are_counted_without_the_one_that_serves_us(sandbox: Sandbox):
    assert await sandbox.count_processes() == 0
    await spawn_counters(sandbox)
    assert await sandbox.count_processes() >= 2


async def test_what_is_frozen_goes_on_where_it_was(sandbox: Sandbox):
    await spawn_counters(sandbox)
    await sandbox.freeze()
    before = await sandbox.count_processes()
    await sandbox.freeze()
    await sandbox.thaw()
    assert await sandbox.count_processes() == before
    first = await run(sandbox, "cat /workspace/count")
    with anyio.fail_after(DEADLINE):
        while await run(sandbox, "cat /workspace/count") == first:
            pass
    await sandbox.thaw()
    assert sandbox.alive


async def test_nothing_moves_while_it_is_frozen(sandbox: Sandbox):
    await spawn_counters(sandbox)
    answers: list[str] = []

    async def ask() -> None:
        answers.append(await run(sandbox, "echo answered"))

    await sandbox.freeze()
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(0.3)
            assert answers == []
            await sandbox.thaw()
    assert answers == ["answered\n"]


async def test_a_program_that_forks_all_the_time_is_frozen_too(sandbox: Sandbox):
    script = "while :; do /bin/true & /bin/true & wait; done"
    await run(sandbox, f"({script}) >/dev/null 2>&1 &")
    await sandbox.freeze()
    before = await sandbox.count_processes()
    await anyio.sleep(0.2)
    assert await sandbox.count_processes() == before
    await sandbox.thaw()
    assert await run(sandbox, "echo alive") == "alive\n"


async def test_a_frozen_sandbox_is_destroyed_like_any_other(sandbox: Sandbox):
    await spawn_counters(sandbox)
    await sandbox.freeze()
    with anyio.fail_after(DEADLINE):
        await sandbox.destroy()
    assert not sandbox.alive
    for act in (sandbox.freeze, sandbox.thaw, sandbox.count_processes):
        with pytest.raises(SandboxGone):
            await act()


async def test_one_that_is_frozen_does_not_hold_up_another(driver: Driver, sandbox: Sandbox):
    other = await driver.create(SandboxSpec(id="two"))
    await other.claim(env={})
    await sandbox.freeze()
    assert await run(other, "echo here") == "here\n"
    await sandbox.thaw()
