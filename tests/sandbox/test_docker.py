"""The docker driver: what it asks of an engine, and what happens when the engine fails."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from sandbox.cell import Cell
from sandbox.contract import (
    Limits,
    Mount,
    SandboxError,
    SandboxGone,
    SandboxSpec,
    Unavailable,
    Unsupported,
)
from sandbox.docker.driver import DockerDriver
from sandbox.docker.engine import Engine, Missing
from sandbox.docker.pool import Pool
from tests.sandbox.engine import RealEngine
from tests.sandbox.relay import Relay, relaying

DEADLINE = 40.0
Make = Callable[..., DockerDriver]


@pytest.fixture
async def relay(container_engine: RealEngine) -> AsyncGenerator[Relay]:
    async with relaying(container_engine.address) as made:
        yield made


async def run(cell: Cell, script: str) -> str:
    channel = await cell.open("spawn", argv=["/bin/sh", "-c", script])
    data = b""
    with anyio.fail_after(DEADLINE):
        while chunk := await channel.receive():
            data += chunk
    await channel.aclose()
    return data.decode()


async def containers(engine: RealEngine, data_dir: Path) -> list[str]:
    """Those that show something of the test's directory."""
    asked = Engine(engine.address)
    names = await asked.containers("wharfkeep.estate")
    found: list[str] = []
    for name in names:
        shown = {"Mounts": []}
        with suppress(Missing):  # other tests use the same engine
            shown = await asked._ask("inspect_container", name)  # pyright: ignore[reportPrivateUsage] - no driver asks this
        if any(str(data_dir) in each["Source"] for each in shown["Mounts"]):
            found.append(name)
    await asked.aclose()
    return found


# What is asked for


async def test_the_driver_says_what_stands_between(docker: DockerDriver):
    told = await docker.probe()
    assert told.driver == "docker"
    assert "kernel is shared" in told.isolation
    assert told.limits["memory"].startswith("cgroup-v")
    assert told.limits["processes"].startswith("cgroup-v")


async def test_kernel_isolation_is_refused_by_runc_with_the_remedy(docker: DockerDriver):
    spec = SandboxSpec(id="one", require=frozenset({"kernel_isolation"}))
    with pytest.raises(Unsupported, match=r"kernel_isolation is required, but .*runsc"):
        await docker.create(spec)


async def test_containers_of_gvisor_isolate_the_kernel(
    make_docker: Make, container_engine: RealEngine, data_dir: Path
):
    asked = Engine(container_engine.address)
    if "runsc" not in (await asked.about()).runtimes:
        await asked.aclose()
        pytest.skip("runsc is not installed")
    await asked.aclose()
    driver = make_docker(runtime="runsc")
    spec = SandboxSpec(id="one", require=frozenset({"kernel_isolation"}))
    with anyio.fail_after(DEADLINE):
        cell = await driver.create(spec)
        await cell.claim(env={"NAME": "one"})
        assert await run(cell, "echo $NAME; id -un; echo kept > /workspace/file") == "one\nagent\n"
        assert (await run(cell, "uname -r")).strip() != os.uname().release
        await cell.destroy(keep_layer=True)
        again = await driver.adopt("one", spec)
        assert await again.pull("/workspace/file", max_bytes=10) == b"kept\n"


async def test_a_runtime_that_the_engine_does_not_list_is_refused(make_docker: Make):
    driver = make_docker(runtime="kata")
    with pytest.raises(Unavailable, match=r"no runtime kata .*daemon\.json"):
        await driver.probe()


async def test_a_root_of_one_s_own_becomes_an_image_once(
    docker: DockerDriver, container_engine: RealEngine
):
    cell = await docker.create(SandboxSpec(id="one", root=Path(container_engine.root)))
    await cell.claim(env={})
    assert "Debian" in await run(cell, "cat /etc/os-release; touch /usr/x 2>&1")
    assert "agent" in await run(cell, "cat /etc/passwd")


async def test_what_is_mounted_shows_and_cannot_be_changed(docker: DockerDriver, data_dir: Path):
    shown = data_dir / "shown: with a colon, and a comma"
    shown.mkdir(mode=0o755)
    (shown / "file").write_text("of the host")
    mounts = (Mount(shown, "/mnt/memory/here"), Mount(shown / "file", "/opt/file"))
    cell = await docker.create(SandboxSpec(id="one", mounts=mounts))
    await cell.claim(env={})
    script = "cat /opt/file /mnt/memory/here/file; echo x > /opt/file; rm /opt/file"
    assert await run(cell, f"({script}) 2>/dev/null") == "of the hostof the host"
    assert (shown / "file").read_text() == "of the host"


async def test_limits_hold(docker: DockerDriver):
    limits = Limits(memory=128 * 1024**2, processes=40, tmp=4 * 1024**2)
    cell = await docker.create(SandboxSpec(id="one", limits=limits))
    await cell.claim(env={})
    hog = "python3 -c 'x = bytearray(2**28); print(len(x))' || echo killed"
    assert "killed" in await run(cell, hog)
    for place in ("/tmp", "/run", "/dev/shm"):
        assert "No space" in await run(
            cell,
            f"head -c 8000000 /dev/zero 2>&1 > {place}/x; cat {place}/x | wc -c; dd if=/dev/zero of={place}/y bs=1M count=8 2>&1",
        )
    assert cell.alive


async def test_what_is_written_to_standard_error_is_not_the_engine_s_to_keep(docker: DockerDriver):
    cell = await docker.create(SandboxSpec(id="one"))
    await cell.claim(env={})
    await run(cell, "head -c 1000000 /dev/zero | tr '\\0' '!' >&2")
    assert cell.complaints.startswith("!!!!")
    assert len(cell.complaints) <= 8192


async def test_neither_the_token_nor_a_variable_of_the_gateway_is_inside(
    docker: DockerDriver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WHARFKEEP_CANARY", "canary-71c0")
    cell = await docker.create(SandboxSpec(id="one"))
    await cell.claim(env={})
    seen = await run(cell, "cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; ls /proc/self/fd")
    assert "canary" not in seen
    assert "TOKEN" not in seen
    assert await run(cell, "ls /opt/wharfkeep/gateway | tr '\\n' ' '") == "group passwd socket "


async def test_a_driver_that_is_closed_leaves_no_container(
    docker: DockerDriver, container_engine: RealEngine, data_dir: Path
):
    await docker.create(SandboxSpec(id="one"))
    assert len(await containers(container_engine, data_dir)) == 1
    await docker.aclose()
    assert await containers(container_engine, data_dir) == []


async def test_what_a_killed_gateway_left_is_reaped(
    make_docker: Make, container_engine: RealEngine, data_dir: Path
):
    first = make_docker()
    kept = await first.create(SandboxSpec(id="kept"))
    await first.create(SandboxSpec(id="left"))
    second = make_docker()  # knows nothing of the first one's, as after a kill
    assert await second.reap(frozenset({"kept"})) == ["left"]
    assert await containers(container_engine, data_dir) == []
    with anyio.fail_after(DEADLINE):
        await kept.wait_gone()
    assert (await second.adopt("kept", SandboxSpec(id="kept"))).alive


# An engine that fails


async def test_an_engine_that_is_not_there_is_unavailable_with_the_remedy(make_docker: Make):
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable, match="is not running; start it"):
        await make_docker(address="unix:///no/such/socket").probe()


async def test_an_engine_on_another_host_is_refused(make_docker: Make):
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable, match="not on this host"):
        await make_docker(address="tcp://127.0.0.1:2375").probe()


@pytest.mark.parametrize("mood", ["deaf", "rude"])
async def test_what_does_not_answer_like_an_engine_is_unavailable_in_time(
    make_docker: Make, relay: Relay, mood: str
):
    relay.mood = mood  # pyright: ignore[reportAttributeAccessIssue] - one of them
    driver = make_docker(address=relay.address, engine_seconds=1.0)
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable):
        await driver.probe()


async def test_without_the_engine_a_sandbox_works_on_and_dies_when_told(
    make_docker: Make, relay: Relay, container_engine: RealEngine, data_dir: Path
):
    driver = make_docker(address=relay.address, engine_seconds=8.0)
    cell = await driver.create(SandboxSpec(id="one"))
    other = await driver.create(SandboxSpec(id="other"))
    await cell.claim(env={})
    relay.stop()
    assert await run(cell, "echo still here") == "still here\n"
    with anyio.fail_after(DEADLINE):
        await cell.destroy()
        with pytest.raises(Unavailable):
            await driver.create(SandboxSpec(id="two"))
    assert other.alive
    await relay.start()
    assert (await driver.create(SandboxSpec(id="two"))).alive
    await driver.aclose()
    assert await containers(container_engine, data_dir) == []


@pytest.mark.parametrize("fault", ["stolen", "deaf", "rude"])
async def test_an_engine_lost_in_the_middle_of_a_call_hurts_only_new_sandboxes(
    make_docker: Make, relay: Relay, fault: str
):
    driver = make_docker(address=relay.address, engine_seconds=8.0)
    cell = await driver.create(SandboxSpec(id="one"))
    await cell.claim(env={})
    if fault == "stolen":
        relay.steal()
    else:
        relay.stop()
        relay.mood = fault  # pyright: ignore[reportAttributeAccessIssue] - one of them
        await relay.start()
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable):
        await driver.create(SandboxSpec(id="two"))
    assert await run(cell, "echo fine") == "fine\n"
    relay.mood = "well"
    relay.stop()
    await relay.start()
    with anyio.fail_after(DEADLINE):
        assert (await driver.create(SandboxSpec(id="two"))).alive


async def test_a_container_removed_from_outside_is_a_sandbox_that_is_gone(
    docker: DockerDriver, container_engine: RealEngine, data_dir: Path
):
    cell = await docker.create(SandboxSpec(id="one"))
    await cell.push("/workspace/file", b"kept")
    [name] = await containers(container_engine, data_dir)
    other = await docker.create(SandboxSpec(id="other"))
    engine = Engine(container_engine.address)
    await engine.remove(name)
    await engine.aclose()
    with anyio.fail_after(DEADLINE):
        await cell.wait_gone()
        with pytest.raises(SandboxGone):
            await cell.open("tools")
        again = await docker.adopt("one", SandboxSpec(id="one"))
        assert await again.pull("/workspace/file", max_bytes=10) == b"kept"
    assert other.alive


async def test_a_program_that_cannot_start_is_told_in_the_engine_s_words(make_docker: Make):
    driver = make_docker(image="wharfkeep-no-such-image")
    with anyio.fail_after(DEADLINE), pytest.raises(Unavailable, match="No such image"):
        await driver.create(SandboxSpec(id="one"))


async def test_a_cancelled_start_leaves_nothing(
    docker: DockerDriver, container_engine: RealEngine, data_dir: Path
):
    for delay in (0.0, 0.02, 0.1, 0.3):
        with anyio.move_on_after(delay):
            await (await docker.create(SandboxSpec(id="one"))).destroy()
    await docker.aclose()
    assert await containers(container_engine, data_dir) == []


# Sandboxes started ahead


async def start_ahead(driver: DockerDriver, data_dir: Path) -> None:
    """Ask for one, and again, and wait until another waits."""
    for name in ("first", "second"):
        await (await driver.create(SandboxSpec(id=name))).destroy()
    rooms = data_dir / "sandboxes/sockets"
    with anyio.fail_after(DEADLINE):
        await driver.wait_warm()
    assert any(room.name.startswith("warm-") for room in rooms.iterdir())


async def test_a_sandbox_started_ahead_becomes_the_session_s(make_docker: Make, data_dir: Path):
    driver = make_docker(idle=1)
    await start_ahead(driver, data_dir)
    cell = await driver.create(SandboxSpec(id="one"))
    assert (cell.id, cell.ref) == ("one", "one")
    assert cell.sockets == data_dir / "sandboxes/sockets/one"
    await cell.claim(env={"NAME": "one"})
    await cell.push("/workspace/file", b"kept")
    assert (data_dir / "sandboxes/layers/one/workspace/file").read_bytes() == b"kept"
    assert cell.uploads == data_dir / "sandboxes/uploads/one"
    (cell.uploads / "file").write_text("of the session")
    assert await cell.pull("/mnt/session/uploads/file", max_bytes=100) == b"of the session"
    assert (
        await run(cell, "echo $NAME; ls /opt/wharfkeep/gateway") == "one\ngroup\npasswd\nsocket\n"
    )
    await cell.destroy(keep_layer=True)
    again = await driver.adopt("one", SandboxSpec(id="one"))
    assert await again.pull("/workspace/file", max_bytes=10) == b"kept"


async def test_two_who_ask_at_once_get_two_sandboxes(make_docker: Make, data_dir: Path):
    driver = make_docker(idle=1)
    await start_ahead(driver, data_dir)
    cells: dict[str, Cell] = {}

    async def ask(name: str) -> None:
        cells[name] = await driver.create(SandboxSpec(id=name))
        await cells[name].claim(env={"NAME": name})

    async with anyio.create_task_group() as tasks:
        for name in ("one", "two", "three"):
            tasks.start_soon(ask, name)
    for name, cell in cells.items():
        assert cell.id == name
        assert await run(cell, "echo $NAME") == f"{name}\n"
    assert len({cell.uid for cell in cells.values()}) == (3 if os.geteuid() == 0 else 1)


async def test_who_was_dead_when_it_was_asked_for_is_not_handed_out(
    make_docker: Make, container_engine: RealEngine, data_dir: Path
):
    driver = make_docker(idle=1)
    await start_ahead(driver, data_dir)
    engine = Engine(container_engine.address)
    for name in await containers(container_engine, data_dir):
        await engine.remove(name)
    await engine.aclose()
    cell = await driver.create(SandboxSpec(id="one"))
    await cell.claim(env={})
    assert await run(cell, "echo alive") == "alive\n"


async def test_who_has_mounts_of_one_s_own_starts_cold(make_docker: Make, data_dir: Path):
    driver = make_docker(idle=1)
    await start_ahead(driver, data_dir)
    (data_dir / "file").touch()
    spec = SandboxSpec(id="one", mounts=(Mount(data_dir / "file", "/opt/file"),))
    assert await run(await driver.create(spec), "ls /opt/file") == "/opt/file\n"
    assert driver.waiting == 1


async def test_a_name_that_is_taken_is_refused_though_one_waits(make_docker: Make, data_dir: Path):
    driver = make_docker(idle=1)
    kept = await driver.create(SandboxSpec(id="one"))
    await kept.destroy(keep_layer=True)
    await start_ahead(driver, data_dir)
    with pytest.raises(SandboxError, match="already is"):
        await driver.create(SandboxSpec(id="one"))
    assert (data_dir / "sandboxes/layers/one/workspace").is_dir()


async def test_who_waited_too_long_is_ended(docker: DockerDriver, data_dir: Path):
    clock = 0.0
    async with anyio.create_task_group() as tasks:
        pool = Pool(tasks, docker.create, idle=1, now=lambda: clock)
        for name in ("first", "second"):
            assert await pool.take(SandboxSpec(id=name)) is None
        with anyio.fail_after(DEADLINE):
            await pool.wait_full()
            clock = 601.0
            assert await pool.take(SandboxSpec(id="one")) is None
        await pool.aclose()
    assert [*(data_dir / "sandboxes/layers").iterdir()] == []
