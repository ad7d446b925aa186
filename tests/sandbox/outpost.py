"""A gateway of its own: run as a script, by whichever user, to be questioned or killed.

``outpost.py live DATA_DIR NAME...`` makes sandboxes, starts a stubborn process in each, prints one
line of JSON with the process ids of everything, and waits to be killed.

``outpost.py probe DATA_DIR PROBES CANARY`` runs each function of the file PROBES in a sandbox and
prints one JSON object: what each answered, and the capabilities of the driver.
"""

import json
import os
import socket
import sys
from pathlib import Path

import anyio

from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.cell import Cell
from sandbox.contract import Limits, SandboxSpec, Unavailable
from sandbox.layer import Layer
from sandbox.orphans import find_inside

PROBE_SECONDS = 20.0
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


async def live(data_dir: Path, names: list[str]) -> None:
    async with anyio.create_task_group() as tasks:
        driver = BubblewrapDriver(tasks, Settings(data_dir=data_dir))
        pids: list[int] = []
        for name in names:
            cell = await driver.create(SandboxSpec(id=name))
            await cell.claim(env={})
            await cell.push("/workspace/file", name.encode())
            await detach(cell)
            layer = Layer(data_dir / "sandboxes/layers" / name, os.geteuid())
            pids += [process.pid for process in find_inside([layer])]
        print(json.dumps(pids), flush=True)  # noqa: T201 - a script's output
        await anyio.sleep_forever()


async def detach(cell: Cell) -> None:
    """Start a process inside that wants to outlive everything."""
    channel = await cell.open("spawn", argv=["/usr/bin/python3", "-I", "-S", "-c", STUBBORN])
    assert await channel.receive() == b"detached"
    await channel.aclose()


async def probe(data_dir: Path, source: str, canary: str) -> None:
    async with anyio.create_task_group() as tasks:
        driver = BubblewrapDriver(tasks, Settings(data_dir=data_dir))
        try:
            capabilities = await driver.probe()
        except Unavailable as reason:
            print(json.dumps({"unavailable": str(reason)}))  # noqa: T201 - a script's output
            return
        report = {
            "answers": await question(driver, source, canary),
            "limits": dict(capabilities.limits),
            "own_uid": capabilities.own_uid,
        }
        await driver.aclose()
        print(json.dumps(report))  # noqa: T201 - a script's output


async def question(driver: BubblewrapDriver, source: str, canary: str) -> dict[str, str]:
    """Run every probe, each on its own, in one sandbox that has a neighbour."""
    neighbour = await driver.create(SandboxSpec(id="neighbour"))
    cell = await driver.create(SandboxSpec(id="probed", limits=LIMITS))
    await cell.claim(env={})
    await cell.push("/workspace/probes.py", source.encode())
    answers: dict[str, str] = {}
    with listening() as place:
        told = json.dumps({"canary": canary, **place})
        for name in names_in(source):
            answers[name] = await ask(cell, name, told)
    answers["alive afterwards"] = str(cell.alive and neighbour.alive)
    return answers


def names_in(source: str) -> list[str]:
    """The probes of a file: its functions that begin with ``probe_``."""
    words = (line.split("(")[0] for line in source.splitlines())
    return [word.removeprefix("def probe_") for word in words if word.startswith("def probe_")]


async def ask(cell: Cell, name: str, place: str) -> str:
    argv = ["/usr/bin/python3", "-I", "-S", "/workspace/probes.py", name, place]
    channel = await cell.open("spawn", argv=argv)
    answer = b""
    with anyio.move_on_after(PROBE_SECONDS) as patience:
        while chunk := await channel.receive():
            answer += chunk
    await channel.aclose()
    return "hangs" if patience.cancelled_caught else answer.decode().strip() or "dies"


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
    kind, directory, *rest = sys.argv[1:]
    if kind == "live":
        anyio.run(live, Path(directory), rest)
    else:
        anyio.run(probe, Path(directory), Path(rest[0]).read_text(), rest[1])
