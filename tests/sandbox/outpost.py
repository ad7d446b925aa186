"""A gateway of its own: run as a script, by whichever user, to be questioned or killed.

``outpost.py live DRIVER DATA_DIR NAME...`` makes sandboxes, starts a stubborn process in each, prints
one line of JSON with the process ids of everything, and waits to be killed.

``outpost.py attempt DRIVER DATA_DIR PROGRAM CANARY`` runs the file PROGRAM in a sandbox and prints
one JSON object: the answers that it gave in lines of JSON, and the capabilities of the driver.
"""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.contract import Driver, Limits, Sandbox, SandboxSpec, Unavailable
from sandbox.docker.driver import DockerDriver
from sandbox.docker.driver import Settings as DockerSettings
from sandbox.layer import Layer
from sandbox.orphans import find_inside

ATTEMPT_SECONDS = 150.0
TOKEN = "token-of-the-program-inside"
LIMITS = Limits(
    memory=256 * 1024**2,
    processes=100,
    open_files=512,
    file_size=16 * 1024**2,
    tmp=8 * 1024**2,
)
STUBBORN = """
import os, signal, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.write(1, b"detached")
        while True:
            signal.pause()
    os._exit(0)
"""
"""Leaves its parents and ignores what can be ignored."""


Make = Callable[[TaskGroup, Path], Driver]


def make_bubblewrap(tasks: TaskGroup, data_dir: Path) -> Driver:
    return BubblewrapDriver(tasks, Settings(data_dir=data_dir), new_token=lambda: TOKEN)


def make_docker(tasks: TaskGroup, data_dir: Path) -> Driver:
    """On the engine of ``DOCKER_HOST``, with the image that the variable ``IMAGE`` names."""
    settings = DockerSettings(data_dir=data_dir, image=os.environ["IMAGE"], idle=0, runtime="runc")
    return DockerDriver(tasks, settings, new_token=lambda: TOKEN)


DRIVERS: dict[str, Make] = {"bubblewrap": make_bubblewrap, "docker": make_docker}


async def live(make: Make, data_dir: Path, names: list[str]) -> None:
    async with anyio.create_task_group() as tasks:
        driver = make(tasks, data_dir)
        at_once = anyio.CapacityLimiter(4)

        async def populate(name: str) -> None:
            async with at_once:
                sandbox = await driver.create(SandboxSpec(id=name))
                await sandbox.claim(env={})
                await sandbox.push("/workspace/file", name.encode())
                await detach(sandbox)

        async with anyio.create_task_group() as populating:
            for name in names:
                populating.start_soon(populate, name)
        layers = [Layer(data_dir / "sandboxes/layers" / name, os.geteuid()) for name in names]
        pids = [process.pid for process in find_inside(layers)]
        print(json.dumps(pids), flush=True)  # noqa: T201 - a script's output
        await anyio.sleep_forever()


async def detach(sandbox: Sandbox) -> None:
    """Start a process inside that wants to outlive everything."""
    channel = await sandbox.open("spawn", argv=["/usr/bin/python3", "-I", "-S", "-c", STUBBORN])
    assert await channel.receive() == b"detached"
    await channel.aclose()


async def attempt(make: Make, data_dir: Path, program: str, canary: str) -> None:
    async with anyio.create_task_group() as tasks:
        driver = make(tasks, data_dir)
        try:
            capabilities = await driver.probe()
        except Unavailable as reason:
            print(json.dumps({"unavailable": str(reason)}))  # noqa: T201 - a script's output
            return
        layers = str(data_dir / "sandboxes/layers")
        report = {
            "answers": await question(driver, program, {"canary": canary, "layers": layers}),
            "limits": dict(capabilities.limits),
            "own_uid": capabilities.own_uid,
        }
        await driver.aclose()
        print(json.dumps(report))  # noqa: T201 - a script's output


async def question(driver: Driver, program: str, place: dict[str, str]) -> dict[str, str]:
    """Run the attempts in a sandbox that has a neighbour."""
    neighbour = await driver.create(SandboxSpec(id="neighbour"))
    sandbox = await driver.create(SandboxSpec(id="probed", limits=LIMITS))
    await sandbox.claim(env={})
    await sandbox.push("/workspace/attempts.py", program.encode())
    with listening() as services:
        told = {**place, **services, "neighbour": neighbour.ref, "token": TOKEN[::-1]}
        answers = dict(await ask(sandbox, json.dumps(told)))
    answers["alive afterwards"] = str(sandbox.alive and neighbour.alive)
    return answers


async def ask(sandbox: Sandbox, place: str) -> list[tuple[str, str]]:
    """The answers that came in time, each with the name of its attempt."""
    argv = ["/usr/bin/python3", "-I", "-S", "/workspace/attempts.py", place]
    channel = await sandbox.open("spawn", argv=argv)
    lines = b""
    with anyio.move_on_after(ATTEMPT_SECONDS):
        while chunk := await channel.receive():
            lines += chunk
    await channel.aclose()
    return [json.loads(line) for line in lines.splitlines() if line.endswith(b"]")]


def names_in(program: str) -> list[str]:
    """The attempts of a program: its functions that begin with ``attempt_``."""
    words = (line.split("(")[0] for line in program.splitlines())
    return [word.removeprefix("def attempt_") for word in words if word.startswith("def attempt_")]


class listening:  # noqa: N801 - used as a context manager
    """Services of the host that a sandbox must not reach."""

    def __enter__(self) -> dict[str, object]:
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._abstract = socket.socket(socket.AF_UNIX)
        name = f"wharfkeep-probe-{os.getpid()}"
        self._abstract.bind(f"\0{name}")
        self._abstract.listen()
        return {"port": self._tcp.getsockname()[1], "abstract": name}

    def __exit__(self, *_: object) -> None:
        self._tcp.close()
        self._abstract.close()


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "live":
        anyio.run(live, DRIVERS[rest[0]], Path(rest[1]), rest[2:])
    else:
        anyio.run(attempt, DRIVERS[rest[0]], Path(rest[1]), Path(rest[2]).read_text(), rest[3])
