"""The file and shell tools among files that an enemy made, inside a real sandbox.

They run as the agent's own user, so this is no wall: the tools keep to their directories, tell the
truth and never hang, whatever lies there.
"""

from collections.abc import AsyncGenerator
from itertools import product

import anyio
import pytest

from sandbox.contract import Driver, Sandbox, SandboxError, SandboxSpec
from tests.sandbox.watching import DEADLINE, Tools, run, run_python, tools

SCENE = """
import os, socket
os.chdir("/workspace")
os.mkdir("real")
for name, target in {
    "out": "/etc/passwd", "dangling": "/usr/new", "away": "/etc", "up": "../../..",
    "loop": "loop", "inner": "real", "proc": "/proc/self", "real/far": "/usr/share",
}.items():
    os.symlink(target, name)
os.mkfifo("fifo")
os.symlink("fifo", "to-fifo")
os.symlink("/dev/zero", "zero")
listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
open("file", "w").write("first")
os.link("file", "twin")
print("done")
"""
FILE_TOOLS = {
    "read": {},
    "write": {"content": "x"},
    "edit": {"old_string": "root", "new_string": "x"},
}
OUTSIDE = ("out", "dangling", "away/passwd", "up/etc/passwd", "proc/environ", "real/far/new")


@pytest.fixture
async def inside(sandbox: Sandbox) -> AsyncGenerator[Tools]:
    """The tools of a sandbox in which the scene is set."""
    assert await run_python(sandbox, SCENE) == "done\n"
    async with tools(sandbox) as opened:
        yield opened


@pytest.mark.probe(57)
async def test_a_path_outside_is_refused(inside: Tools):
    paths = ("/etc/passwd", "../etc/passwd", "real/../../../usr/x", "/proc/1/environ", "/")
    for path, tool in product(paths, FILE_TOOLS):
        text, failed = await inside.call(tool, file_path=path, **FILE_TOOLS[tool])
        assert failed
        assert "outside" in text


@pytest.mark.probe(58)
async def test_a_link_that_leads_outside_is_refused(inside: Tools, sandbox: Sandbox):
    for path, tool in product((*OUTSIDE, "loop"), FILE_TOOLS):
        text, failed = await inside.call(tool, file_path=path, **FILE_TOOLS[tool])
        assert failed
        assert ("too many levels" if path == "loop" else "outside") in text
    assert await run(sandbox, "/bin/ls", "/usr/new") == ""


@pytest.mark.probe(58)
async def test_a_link_that_stays_inside_is_followed(inside: Tools):
    assert not (await inside.call("write", file_path="inner/new", content="x"))[1]
    assert await inside.call("read", file_path="real/new") == ("x", False)


@pytest.mark.probe(58)
async def test_a_search_does_not_leave_through_links(inside: Tools):
    found, failed = await inside.call("glob", pattern="**/*")
    assert not failed
    assert "passwd" not in found
    for path in ("away", "up", "proc"):
        assert (await inside.call("glob", pattern="*", path=path))[1]
        assert (await inside.call("grep", pattern="root", path=path))[1]
    assert await inside.call("grep", pattern="root:x") == ("no matches", False)


@pytest.mark.probe(58)
async def test_writing_one_name_of_a_file_leaves_its_other_name_alone(inside: Tools):
    assert not (await inside.call("write", file_path="file", content="second"))[1]
    assert await inside.call("read", file_path="twin") == ("first", False)


@pytest.mark.probe(60)
async def test_what_is_no_file_is_refused_at_once(inside: Tools):
    for path, tool in product(("fifo", "to-fifo", "socket", "real"), FILE_TOOLS):
        text, failed = await inside.call(tool, file_path=path, **FILE_TOOLS[tool])
        assert failed
        assert "not a regular file" in text or "is a directory" in text
    for path in ("fifo", "to-fifo", "socket"):
        assert await inside.call("grep", pattern="x", path=path) == ("no matches", False)


@pytest.mark.probe(60)
async def test_a_device_is_outside(inside: Tools):
    for tool, arguments in FILE_TOOLS.items():
        text, failed = await inside.call(tool, file_path="zero", **arguments)
        assert failed
        assert "outside" in text


@pytest.mark.probe(61)
async def test_an_odd_name_is_faithfully_used(inside: Tools):
    for name in ("a\nb", "-rf", "~", "$(id)", "ü", "A", "a", "x" * 255, "\udcff"):
        assert not (await inside.call("write", file_path=name, content="faithful"))[1]
        assert await inside.call("read", file_path=name) == ("faithful", False)
        assert (await inside.call("grep", pattern="faithful", path=name))[0].endswith(":1:faithful")


@pytest.mark.probe(61)
async def test_a_name_that_cannot_be_is_an_error(inside: Tools):
    for name, tool in product(("", "a\0b", "x" * 256, "y/" * 2500, "\ud800"), FILE_TOOLS):
        assert (await inside.call(tool, file_path=name, **FILE_TOOLS[tool]))[1]


SWAP = """
import os, sys
os.makedirs("/workspace/real/sub", exist_ok=True)
os.makedirs("/tmp/elsewhere/sub", exist_ok=True)
os.makedirs("/run/outside", exist_ok=True) if os.access("/run", os.W_OK) else None
print("ready", flush=True)
os.chdir("/workspace")
os.symlink(sys.argv[1], "link")
while True:
    os.rename("real", "kept")
    os.rename("link", "real")
    os.rename("real", "link")
    os.rename("kept", "real")
"""


@pytest.mark.probe(59)
async def test_a_directory_swapped_for_a_link_leads_nowhere(sandbox: Sandbox):
    """``/run`` is writable for the agent and no directory of the tools: what lands there shows."""
    assert await run(sandbox, "/bin/mkdir", "/run/outside") == ""
    argv = ["/usr/bin/python3", "-I", "-S", "-c", SWAP, "/run/outside"]
    channel = await sandbox.open("spawn", argv=argv)
    with anyio.fail_after(DEADLINE):
        assert await channel.receive() == b"ready\n"
    async with tools(sandbox) as inside:
        done = 0
        for number in range(300):
            _, failed = await inside.call(
                "write", file_path=f"real/sub{number % 7}/{number}", content="x"
            )
            done += not failed
            await inside.call("edit", file_path="real/sub0/0", old_string="x", new_string="x")
            await inside.call("read", file_path=f"real/sub{number % 7}/{number}")
    await channel.aclose()
    assert done > 0
    assert await run(sandbox, "/usr/bin/find", "/run/outside", "-mindepth", "1") == ""


SWAP_FIFO = """
import os
os.chdir("/workspace")
os.mkfifo("fifo")
open("plain", "w").close()
os.link("plain", "it")
print("ready", flush=True)
while True:
    os.link("fifo", "a"); os.rename("a", "it")
    os.link("plain", "b"); os.rename("b", "it")
"""


@pytest.mark.probe(60)
async def test_a_file_swapped_for_a_fifo_holds_nobody_up(sandbox: Sandbox):
    argv = ["/usr/bin/python3", "-I", "-S", "-c", SWAP_FIFO]
    channel = await sandbox.open("spawn", argv=argv)
    with anyio.fail_after(DEADLINE):
        assert await channel.receive() == b"ready\n"
    async with tools(sandbox) as inside:
        for _ in range(200):
            await inside.call("read", file_path="it")
            await inside.call("edit", file_path="it", old_string="a", new_string="b")
            await inside.call("write", file_path="it", content="c")
    await channel.aclose()


@pytest.mark.probe(119)
async def test_only_regular_files_are_pulled(inside: Tools, sandbox: Sandbox):
    for path in ("fifo", "to-fifo", "socket", "real", "out", "zero", "/dev/zero", "/proc/1/mem"):
        with anyio.fail_after(DEADLINE), pytest.raises((SandboxError, FileNotFoundError)):
            await sandbox.pull(path, max_bytes=10**6)
    assert sandbox.alive
    assert await inside.bash("echo still here") == ("still here", False)


@pytest.mark.probe(119)
async def test_a_push_replaces_a_link_or_a_fifo_and_never_writes_through_it(
    inside: Tools, sandbox: Sandbox
):
    for path in ("fifo", "to-fifo", "out", "dangling", "loop"):
        await sandbox.push(path, b"pushed")
        assert await inside.call("read", file_path=path) == ("pushed", False)
    for path in ("away/x", "/usr/x", "real"):
        with pytest.raises((SandboxError, FileNotFoundError)):
            await sandbox.push(path, b"pushed")


@pytest.mark.probe(119)
async def test_a_file_that_grows_while_it_is_pulled_is_cut_off(sandbox: Sandbox):
    grow = "f = open('/workspace/log', 'ab', 0)\nwhile True: f.write(bytes(65536))"
    channel = await sandbox.open("spawn", argv=["/usr/bin/python3", "-I", "-S", "-c", grow])
    await run(sandbox, "/bin/sh", "-c", "until test -s /workspace/log; do :; done")
    with anyio.fail_after(DEADLINE), pytest.raises(SandboxError, match="larger than"):
        await sandbox.pull("/workspace/log", max_bytes=10**6)
    await channel.aclose()


@pytest.mark.probe(79)
async def test_killing_everything_inside_leaves_the_tool_server(inside: Tools):
    """All the agent can end is its own shell; it is told so and starts another."""
    text, failed = await inside.bash("kill -9 -1; kill -9 1; kill -INT 1; kill -9 $$")
    assert failed
    assert "restart" in text
    assert await inside.bash("", restart=True) == ("bash session restarted", False)
    assert await inside.bash("echo here") == ("here", False)


@pytest.mark.probe(63)
async def test_what_an_agent_leaves_behind_does_not_run_in_the_next_tool_server(
    driver: Driver, sandbox: Sandbox
):
    """Start-up files, modules that hide those of Python, and programs of the tools' names."""
    version = (await run(sandbox, "/usr/bin/python3", "-V")).split()[1].rpartition(".")[0]
    site = f"/home/agent/.local/lib/python{version}/site-packages"
    for path in (
        *("/workspace/json.py", "/workspace/os.py", "/workspace/toolservers/__main__.py"),
        *(f"{site}/sitecustomize.py", f"{site}/usercustomize.py", f"{site}/evil.pth"),
    ):
        await sandbox.push(path, b"import os; open('/workspace/ran', 'a').write(__name__)\n")
    for name in ("bash", "sh", "rg", "python3"):
        text = b"#!/bin/sh\necho ran >>/workspace/ran\n"
        await sandbox.push(f"/home/agent/.local/bin/{name}", text, mode=0o755)
    for name in (".bashrc", ".profile", ".bash_profile", ".bash_login", ".inputrc"):
        await sandbox.push(f"/home/agent/{name}", b"echo ran >>/workspace/ran\n")
    await sandbox.destroy(keep_layer=True)
    again = await driver.adopt(sandbox.ref, SandboxSpec(id="one"))
    await again.claim(env={})
    async with tools(again) as inside:
        assert await inside.bash("echo plain") == ("plain", False)
        assert (await inside.call("glob", pattern="*.py"))[0].count("/workspace/") == 2
        assert not (await inside.call("grep", pattern="import os"))[1]
        assert (await inside.call("glob", pattern="ran"))[0] == "no matches"


@pytest.mark.probe(54)
async def test_what_runs_on_in_the_background_does_not_hold_a_call_up(inside: Tools):
    for command in ("sleep 1000 &", "(sleep 1000 &)", "setsid sleep 1000 & disown"):
        with anyio.fail_after(DEADLINE):
            assert not (await inside.bash(f"{command}\necho back"))[1]


@pytest.mark.probe(79)
async def test_a_shell_that_is_taken_apart_goes_on_or_is_started_again(inside: Tools):
    for command in (
        "exec >&- 2>&- <&-",
        "exec 97>&- 98>&- 99>&-",
        'for n in $(seq 3 255); do eval "exec $n>&-"; done',
        "exec sleep 0",
        "exit 3",
        "builtin() { :; }; eval() { :; }; printf() { :; }; read() { :; }",
    ):
        await inside.bash(command, timeout_ms=1000)
        if await inside.bash("echo on", timeout_ms=1000) != ("on", False):
            await inside.bash("", restart=True)
            assert await inside.bash("echo on") == ("on", False)


@pytest.mark.probe(53)
async def test_what_ignores_signals_is_killed_when_its_time_is_over(inside: Tools):
    stubborn = "trap '' TERM INT HUP; while :; do sleep 1; done"
    text, failed = await inside.bash(stubborn, timeout_ms=300)
    assert failed
    assert "timed out" in text
    assert not (await inside.bash("", restart=True))[1]
    assert await inside.bash("echo here") == ("here", False)
