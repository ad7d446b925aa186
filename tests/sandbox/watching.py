"""Looking at a sandbox from outside, and talking to what is inside."""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import psutil

from gateway.tools.server import ToolServer
from sandbox.cell import Cell
from sandbox.contract import Channel, Sandbox
from sandbox.spawn import Process

DEADLINE = 30.0


async def wait_dead(cell: Cell) -> None:
    """Wait until nothing of it lives."""
    with anyio.fail_after(DEADLINE):
        await cell.wait_gone()
    assert not cell.alive


def held(pids: Sequence[int]) -> list[Process]:
    """Those of the processes that still live."""
    processes: list[Process] = []
    for pid in pids:
        with suppress(ProcessLookupError):
            processes.append(Process(pid, os.pidfd_open(pid)))
    return processes


async def ended(processes: Sequence[Process]) -> bool:
    """Whether all end in time; they are let go of."""
    with anyio.move_on_after(DEADLINE):
        for process in processes:
            await process.wait()
    gone = all(process.exited for process in processes)
    for process in processes:
        process.close()
    return gone


def open_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def resident() -> int:
    """Bytes of memory that this process has now."""
    return psutil.Process().memory_info().rss


async def read_all(channel: Channel) -> str:
    """What a program inside says until its end."""
    data = b""
    with anyio.fail_after(DEADLINE):
        while chunk := await channel.receive():
            data += chunk
    await channel.aclose()
    return data.decode()


async def run(sandbox: Sandbox, *argv: str) -> str:
    """Run a program inside to its end."""
    return await read_all(await sandbox.open("spawn", argv=argv))


async def run_python(sandbox: Sandbox, program: str, *arguments: str) -> str:
    return await run(sandbox, "/usr/bin/python3", "-I", "-S", "-c", program, *arguments)


class Tools:
    """The tools of a sandbox, called as the gateway calls them."""

    def __init__(self, server: ToolServer) -> None:
        self._server = server

    async def call(self, name: str, **arguments: Any) -> tuple[str, bool]:
        """Run a tool; its text, and whether it failed."""
        with anyio.fail_after(DEADLINE):
            result = await self._server.call(name, arguments, {})
        return "".join(block.get("text", "") for block in result["content"]), result["isError"]

    async def bash(self, command: str, **arguments: Any) -> tuple[str, bool]:
        return await self.call("bash", command=command, **arguments)


@asynccontextmanager
async def tools(sandbox: Sandbox) -> AsyncGenerator[Tools]:
    """The tools over a channel of their own."""
    server = ToolServer(await sandbox.open("tools"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.listen)
        yield Tools(server)
        tasks.cancel_scope.cancel()
        await server.aclose()
