"""What every driver promises (sandbox/contract.py), asked of each driver in turn."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from sandbox.contract import (
    UPLOADS,
    Channel,
    Driver,
    Limits,
    Sandbox,
    SandboxError,
    SandboxGone,
    SandboxSpec,
    Unsupported,
)
from tests.sandbox.watching import tools

DEADLINE = 30.0


async def read_all(channel: Channel) -> bytes:
    data = b""
    with anyio.fail_after(DEADLINE):
        while chunk := await channel.receive():
            data += chunk
    await channel.aclose()
    return data


async def run(sandbox: Sandbox, *argv: str, **env: str) -> str:
    return (await read_all(await sandbox.open("spawn", argv=argv, env=env))).decode()


async def ask(channel: Channel, method: str, **params: Any) -> dict[str, Any]:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    await channel.send(json.dumps(request).encode() + b"\n")
    line = b""
    with anyio.fail_after(DEADLINE):
        while not line.endswith(b"\n"):
            line += await channel.receive()
    return json.loads(line)


async def test_probing_tells_what_is_enforced_for_every_limit(driver: Driver):
    capabilities = await driver.probe()
    assert set(capabilities.limits) == set(Limits.__slots__)
    assert capabilities.isolation
    for field in ("memory", "processes", "cpus", "disk"):
        if capabilities.limits[field] == "none":
            assert capabilities.notes


async def test_a_new_sandbox_is_alive_and_knows_its_name(sandbox: Sandbox):
    assert sandbox.alive
    assert sandbox.id == "one"
    assert sandbox.ref


async def test_the_session_s_environment_arrives_with_the_claim(driver: Driver):
    sandbox = await driver.create(SandboxSpec(id="one"))
    await sandbox.claim(env={"GREETING": "good morning"})
    assert await run(sandbox, "/bin/sh", "-c", 'echo "$GREETING"') == "good morning\n"


async def test_a_sandbox_is_claimed_only_once(sandbox: Sandbox):
    with pytest.raises(SandboxError):
        await sandbox.claim(env={})


async def test_an_environment_that_is_none_is_refused(driver: Driver):
    sandbox = await driver.create(SandboxSpec(id="one"))
    with anyio.fail_after(DEADLINE), pytest.raises(SandboxError):
        await sandbox.claim(env={"A=B": "c"})


async def test_a_spawned_program_talks_both_ways(sandbox: Sandbox):
    channel = await sandbox.open("spawn", argv=["/bin/sh", "-c", 'read line; echo "<$line>"'])
    await channel.send(b"hello\n")
    assert await read_all(channel) == b"<hello>\n"


async def test_a_spawned_program_gets_its_own_variables_besides_the_session_s(driver: Driver):
    sandbox = await driver.create(SandboxSpec(id="one"))
    await sandbox.claim(env={"ONE": "1"})
    assert await run(sandbox, "/bin/sh", "-c", "echo $ONE$TWO", TWO="2") == "12\n"


async def test_a_program_that_is_not_there_ends_the_channel_or_fails(sandbox: Sandbox):
    with suppress(SandboxError, FileNotFoundError):
        assert await run(sandbox, "/no/such/program") == ""
    assert sandbox.alive


async def test_the_tool_server_answers_on_its_channel(sandbox: Sandbox):
    channel = await sandbox.open("tools")
    about = {"name": "test", "version": "1"}
    answer = await ask(
        channel, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=about
    )
    assert "serverInfo" in answer["result"]
    answer = await ask(channel, "tools/call", name="bash", arguments={"command": "echo $((6*7))"})
    assert "42" in json.dumps(answer["result"])
    await channel.aclose()


async def test_many_channels_are_open_at_once_and_do_not_mix(sandbox: Sandbox):
    results: dict[int, bytes] = {}

    async def talk(number: int) -> None:
        channel = await sandbox.open("spawn", argv=["/bin/cat"])
        text = f"{number}\n".encode() * 1000
        await channel.send(text)
        received = b""
        while len(received) < len(text):
            received += await channel.receive()
        await channel.aclose()
        results[number] = received

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(talk, number)
    assert results == {number: f"{number}\n".encode() * 1000 for number in range(20)}


async def test_megabytes_pass_through_a_channel_unharmed(sandbox: Sandbox):
    script = "head -c 5000000 /dev/zero | tr '\\0' x"
    assert await run(sandbox, "/bin/sh", "-c", script) == "x" * 5_000_000


async def test_programs_start_in_the_workspace_as_an_ordinary_user(sandbox: Sandbox):
    assert await run(
        sandbox, "/bin/sh", "-c", "pwd; id -un; id -gn; cat /etc/hostname; uname -n"
    ) == ("/workspace\nagent\nagent\nsandbox\nsandbox\n")


@pytest.mark.parametrize(
    "place",
    [
        "/workspace",
        "/mnt/session/outputs",
        "/home/agent",
        "/tmp",
        "/run",
        "/dev/shm",
    ],
)
async def test_the_places_of_a_session_are_writable(sandbox: Sandbox, place: str):
    assert await run(sandbox, "/bin/sh", "-c", f"echo kept > {place}/file; cat {place}/file") == (
        "kept\n"
    )


@pytest.mark.parametrize("place", ["/mnt/session/uploads", "/mnt/session", "/mnt/memory", "/mnt"])
async def test_what_the_gateway_mounts_is_not_the_program_s_to_change(sandbox: Sandbox, place: str):
    script = f"test -d {place} && ! touch {place}/file 2>/dev/null && echo refused"
    assert await run(sandbox, "/bin/sh", "-c", script) == "refused\n"


async def test_what_the_gateway_puts_into_uploads_shows_inside_at_once(sandbox: Sandbox):
    assert await run(sandbox, "/bin/ls", "-A", UPLOADS) == ""
    (sandbox.uploads / "deep").mkdir()
    (sandbox.uploads / "deep/file").write_text("of the gateway")
    assert await sandbox.pull(f"{UPLOADS}/deep/file", max_bytes=100) == b"of the gateway"
    (sandbox.uploads / "deep/file").unlink()
    assert await run(sandbox, "/bin/ls", "-A", f"{UPLOADS}/deep") == ""


async def test_uploads_are_the_gateway_s_and_nobody_else_s_to_change(sandbox: Sandbox):
    (sandbox.uploads / "file").write_text("as it was")
    (sandbox.uploads / "file").chmod(0o666)
    assert sandbox.uploads.stat().st_uid == os.geteuid()
    script = f"cd {UPLOADS}; echo x > file; rm file; mv file other; mkdir new; chmod 700 ."
    await run(sandbox, "/bin/sh", "-c", f"({script}) 2>/dev/null")
    assert [*sandbox.uploads.iterdir()] == [sandbox.uploads / "file"]
    assert (sandbox.uploads / "file").read_text() == "as it was"


async def test_uploads_go_with_the_processes_and_are_empty_for_who_adopts(
    driver: Driver, sandbox: Sandbox
):
    (sandbox.uploads / "file").write_text("of the first")
    before = sandbox.uploads
    await sandbox.destroy(keep_layer=True)
    assert not before.exists()
    again = await driver.adopt(sandbox.ref, SandboxSpec(id="one"))
    await again.claim(env={})
    assert await run(again, "/bin/ls", "-A", UPLOADS) == ""
    (again.uploads / "file").write_text("of the second")
    assert await again.pull(f"{UPLOADS}/file", max_bytes=100) == b"of the second"


@pytest.mark.parametrize("data", [b"", b"text\n", bytes(range(256)) * 8192])
async def test_a_pushed_file_is_pulled_as_it_was(sandbox: Sandbox, data: bytes):
    await sandbox.push("/workspace/a/b/file", data, mode=0o640)
    assert await sandbox.pull("/workspace/a/b/file", max_bytes=len(data)) == data
    assert (
        await run(sandbox, "/usr/bin/stat", "-c", "%a %U", "/workspace/a/b/file") == "640 agent\n"
    )


async def test_a_file_that_is_not_there_is_not_found(sandbox: Sandbox):
    with pytest.raises(FileNotFoundError):
        await sandbox.pull("/workspace/missing", max_bytes=10)


async def test_only_regular_files_are_pulled(sandbox: Sandbox):
    await run(sandbox, "/usr/bin/mkfifo", "/workspace/pipe")
    for path in ("/workspace", "/workspace/pipe", "/dev/zero"):
        with anyio.fail_after(DEADLINE), pytest.raises(SandboxError):
            await sandbox.pull(path, max_bytes=10)


async def test_a_file_that_is_too_large_is_refused(sandbox: Sandbox):
    await sandbox.push("/workspace/large", b"x" * 1000)
    with pytest.raises(SandboxError):
        await sandbox.pull("/workspace/large", max_bytes=999)


async def test_a_file_is_not_pushed_where_the_program_inside_may_not_write(sandbox: Sandbox):
    with pytest.raises(SandboxError):
        await sandbox.push("/usr/bin/true", b"")


async def test_a_path_that_is_none_is_an_error_and_nothing_else(sandbox: Sandbox):
    for path in ("", "/workspace/nul\0byte", "/workspace/" + "x" * 300, "/x" * 3000):
        with anyio.fail_after(DEADLINE), pytest.raises((SandboxError, FileNotFoundError)):
            await sandbox.pull(path, max_bytes=10)
    assert sandbox.alive


async def test_links_are_resolved_inside(sandbox: Sandbox):
    await run(sandbox, "/bin/ln", "-s", "/etc", "/workspace/etc")
    assert await sandbox.pull("/workspace/etc/hostname", max_bytes=100) == b"sandbox\n"


async def test_a_destroyed_sandbox_is_gone_for_every_call(sandbox: Sandbox):
    await sandbox.destroy()
    assert not sandbox.alive
    calls: list[Callable[[], Any]] = [
        lambda: sandbox.open("tools"),
        lambda: sandbox.open("spawn", argv=["/bin/true"]),
        lambda: sandbox.pull("/workspace/file", max_bytes=1),
        lambda: sandbox.push("/workspace/file", b""),
        lambda: sandbox.claim(env={}),
    ]
    for call in calls:
        with pytest.raises(SandboxGone):
            await call()


async def test_destroying_twice_is_as_good_as_once(sandbox: Sandbox):
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sandbox.destroy)
            tasks.start_soon(sandbox.destroy)
        await sandbox.destroy()


async def test_open_channels_end_when_the_sandbox_is_destroyed(sandbox: Sandbox):
    channel = await sandbox.open("spawn", argv=["/bin/cat"])
    await sandbox.destroy()
    assert await read_all(channel) == b""
    with pytest.raises(SandboxGone):
        await channel.send(b"anyone?")


async def test_two_sandboxes_do_not_see_each_other_s_files(driver: Driver):
    one = await driver.create(SandboxSpec(id="one"))
    two = await driver.create(SandboxSpec(id="two"))
    for place in ("/workspace/secret", "/tmp/secret", "/dev/shm/secret"):
        await one.push(place, b"of one")
        with pytest.raises(FileNotFoundError):
            await two.pull(place, max_bytes=10)


async def test_a_kept_layer_is_adopted_with_its_files_and_without_its_processes(driver: Driver):
    first = await driver.create(SandboxSpec(id="one"))
    await first.push("/workspace/file", b"kept")
    await first.push("/tmp/file", b"lost")
    ref = first.ref
    await first.destroy(keep_layer=True)
    second = await driver.adopt(ref, SandboxSpec(id="one"))
    await second.claim(env={})
    assert await second.pull("/workspace/file", max_bytes=10) == b"kept"
    with pytest.raises(FileNotFoundError):
        await second.pull("/tmp/file", max_bytes=10)


async def test_a_layer_that_was_removed_cannot_be_adopted(driver: Driver):
    sandbox = await driver.create(SandboxSpec(id="one"))
    await sandbox.destroy()
    with pytest.raises(SandboxGone):
        await driver.adopt(sandbox.ref, SandboxSpec(id="one"))


async def test_a_living_sandbox_cannot_be_adopted(driver: Driver, sandbox: Sandbox):
    with pytest.raises(SandboxError):
        await driver.adopt(sandbox.ref, SandboxSpec(id="one"))
    assert sandbox.alive


async def test_reaping_spares_the_living_and_what_is_to_be_kept(driver: Driver, sandbox: Sandbox):
    kept = await driver.create(SandboxSpec(id="kept"))
    left = await driver.create(SandboxSpec(id="left"))
    await kept.destroy(keep_layer=True)
    await left.destroy(keep_layer=True)
    assert await driver.reap(frozenset({kept.ref})) == [left.ref]
    assert sandbox.alive
    assert await driver.reap() == [kept.ref]
    with pytest.raises(SandboxGone):
        await driver.adopt(kept.ref, SandboxSpec(id="kept"))


async def test_closing_the_driver_ends_its_sandboxes_and_keeps_their_layers(driver: Driver):
    sandbox = await driver.create(SandboxSpec(id="one"))
    await sandbox.push("/workspace/file", b"kept")
    await driver.aclose()
    assert not sandbox.alive
    again = await driver.adopt(sandbox.ref, SandboxSpec(id="one"))
    assert await again.pull("/workspace/file", max_bytes=10) == b"kept"


async def test_a_requirement_is_honoured_or_refused(driver: Driver):
    capabilities = await driver.probe()
    enforced = {
        "own_uid": capabilities.own_uid,
        "memory": capabilities.limits["memory"] != "none",
        "processes": capabilities.limits["processes"] != "none",
        "cpu": capabilities.limits["cpus"] != "none",
        "disk": capabilities.limits["disk"] != "none",
    }
    for requirement, honoured in enforced.items():
        spec = SandboxSpec(id=f"needs-{requirement}", require=frozenset({requirement}))  # pyright: ignore[reportArgumentType] - the keys are requirements
        if honoured:
            await (await driver.create(spec)).destroy()
        else:
            with pytest.raises(Unsupported):
                await driver.create(spec)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", ".hidden", "x" * 300, "a\nb"])
async def test_a_name_that_is_no_file_name_is_refused(driver: Driver, name: str):
    with pytest.raises(SandboxError):
        await driver.create(SandboxSpec(id=name))
    with pytest.raises(SandboxError):
        await driver.adopt(name, SandboxSpec(id="one"))


async def test_two_sandboxes_of_one_name_cannot_be(driver: Driver, sandbox: Sandbox):
    with pytest.raises(SandboxError):
        await driver.create(SandboxSpec(id=sandbox.id))
    assert sandbox.alive


async def test_of_a_long_output_as_much_is_shown_as_the_limits_say(driver: Driver):
    made = await driver.create(SandboxSpec(id="one", limits=Limits(output=1000)))
    await made.claim(env={})
    async with tools(made) as inside:
        said, failed = await inside.bash("yes | head -c 5000")
    assert not failed
    assert said == "[output truncated]\n" + "y\n" * 499 + "y"
