"""The part of a build that runs programs of strangers: in a sandbox, as anything else they write.

Each step has the package registries for its network and one writable directory besides its own
layer. What it prints is told line by line, and bounded like everything it uses.
"""

import os
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from gateway.registries import ASK_SECONDS, MANAGERS, Registries, Tools, Unknown
from gateway.tools.egress import Facts, Network
from gateway.tools.recipe import Recipe, Step
from sandbox.contract import Channel, Driver, Sandbox, SandboxError, SandboxSpec
from sandbox.limits.quota import Meter, MeterError

Say = Callable[[str], None]

MAX_OUTPUT = 64 * 1024**2
"""Bytes that one program may print."""
LINE_CHARACTERS = 500
_TAIL_LINES = 60
_SHOWN_LINES = 6
_LOOK_SECONDS = 2.0
_MAX_FILES = 1_000_000
_MAX_ANSWER = 1024**2
_FACTS = Facts(
    networking={
        "type": "limited",
        "allowed_hosts": [],
        "allow_mcp_servers": False,
        "allow_package_managers": True,
    }
)
_TELLING = (
    "error",
    "err!",
    "fatal",
    "failed",
    "cannot",
    "not found",
    "no such",
    "unable",
    "denied",
)

# The marker says that the program ended, whatever it left running with our end of the pipe.
_SCRIPT = 'mkdir -p "$TMPDIR"; "$@" 2>&1 </dev/null; printf "\\n%s %d\\n" "$MARKER" "$?"'


class BuildFailed(SandboxError):
    """The packages could not be installed; the message says why, for the people who chose them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where the steps of one build run."""

    driver: Driver
    spec: SandboxSpec
    packages: Path
    """What the spec shows as writable; it becomes the sandbox's, and grows up to `disk` bytes."""
    disk: int
    network: Network
    registries: Registries
    """What the network knows; it learns of managers that only the sandbox has."""


async def install(place: Workplace, recipe: Recipe, say: Say) -> dict[str, Any]:
    """Run every step of a recipe, in order. No process is left when this returns.

    Returns what was learned of registries, for `Registries.adopt` after a restart.

    Raises:
        BuildFailed: A step failed, printed or wrote too much; the message names its manager.
        SandboxError: There is no sandbox to run it in.
    """
    async with _sandbox(place) as sandbox:
        learned = await _ask_inside(sandbox, recipe.foreign)
        place.registries.adopt(learned)
        await place.network.open(place.spec.id, _FACTS, sandbox)
        await sandbox.claim(env={**place.network.env(), **recipe.env})
        await _take_all(sandbox, recipe.steps, _Watch(place), say)
        return learned


@asynccontextmanager
async def _sandbox(place: Workplace) -> AsyncGenerator[Sandbox]:
    """A sandbox that owns the packages; at the end nothing of it is left but those."""
    sandbox = await place.driver.create(place.spec)
    try:
        await anyio.to_thread.run_sync(os.chown, place.packages, sandbox.uid, sandbox.uid)
        yield sandbox
    finally:
        with anyio.CancelScope(shield=True):
            await sandbox.destroy()
            await place.network.close(place.spec.id)


async def _ask_inside(sandbox: Sandbox, managers: frozenset[str]) -> dict[str, Any]:
    """Learn the registries of managers that only this sandbox has; it reaches nothing yet."""
    registries = Registries(_Inside(sandbox), {name: MANAGERS[name] for name in managers})
    await registries.learn()
    return registries.facts()


class _Inside(Tools):
    """The programs in a sandbox; pages are fetched from outside."""

    offline = True

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def run(self, *command: str, **env: str) -> str:
        output = b""
        try:
            with anyio.fail_after(ASK_SECONDS):
                argv = ["/bin/sh", "-c", 'exec "$@" 2>&1 </dev/null', "sh", *command]
                channel = await self._sandbox.open("spawn", argv=argv, env=env)
                async with aclosing(channel):
                    while len(output) < _MAX_ANSWER and (data := await channel.receive()):
                        output += data
        except (SandboxError, TimeoutError) as error:
            raise Unknown(f"{command[0]} does not answer") from error
        return output.decode(errors="replace")


async def _take_all(sandbox: Sandbox, steps: Sequence[Step], watch: "_Watch", say: Say) -> None:
    """Run the steps one after the other, for as long as the watch lets them."""
    failure: SandboxError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run, tasks.cancel_scope)
        try:
            for step in steps:
                await _take(sandbox, step, say)
        except SandboxError as error:
            failure = error
        tasks.cancel_scope.cancel()
    watch.check()
    if failure is not None:
        raise failure


async def _take(sandbox: Sandbox, step: Step, say: Say) -> None:
    """Run one step to its end."""
    say(" ".join(step.argv))
    marker = secrets.token_hex(16)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    status = None
    try:
        argv = ["/bin/sh", "-c", _SCRIPT, "sh", *step.argv]
        channel = await sandbox.open("spawn", argv=argv, env={**step.env, "MARKER": marker})
        async with aclosing(channel), aclosing(_lines(channel)) as lines:
            async for line in lines:
                if line.startswith(marker):
                    status = line.removeprefix(marker).strip()
                    break
                tail.append(line)
                say(line)
    except BuildFailed as error:
        raise BuildFailed(f"{step.manager}: {error}") from None
    if status != "0":
        said = [breach.text for breach in await sandbox.breaches()]
        if status is None:
            said.append("the installation was killed")
        why = "; ".join([*said, *_telling(tail)]) or f"the installation ended with status {status}"
        raise BuildFailed(f"{step.manager}: {why}")


async def _lines(channel: Channel) -> AsyncGenerator[str]:
    """What a program prints, line by line, each cut to what a person would read.

    Raises:
        BuildFailed: It prints too much.
    """
    rest, total = b"", 0
    while data := await channel.receive():
        total += len(data)
        if total > MAX_OUTPUT:
            raise BuildFailed(f"it printed more than {MAX_OUTPUT} bytes")
        *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
        rest = rest[: 8 * LINE_CHARACTERS]
        for line in lines:
            if text := _readable(line):
                yield text
    if text := _readable(rest):
        yield text


def _readable(line: bytes) -> str:
    text = line[: 8 * LINE_CHARACTERS].decode(errors="replace").expandtabs()
    return "".join(c if c.isprintable() else "\ufffd" for c in text).rstrip()[:LINE_CHARACTERS]


def _telling(tail: Sequence[str]) -> list[str]:
    """The lines that say what went wrong, as well as one can tell."""
    lines = [line.strip() for line in tail]
    said = [line for line in lines if any(word in line.lower() for word in _TELLING)]
    return (said or lines)[-_SHOWN_LINES:]


class _Watch:
    """Ends a build whose packages take too much space."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._meter = Meter()
        self._complaint = ""

    async def run(self, scope: anyio.CancelScope) -> None:
        """Look again and again; cancel `scope` when it is too much."""
        try:
            await self._look(scope)
        finally:
            self._meter.interrupt()
            self._meter.close()

    async def _look(self, scope: anyio.CancelScope) -> None:
        place = self._place
        measure = partial(
            self._meter.measure, place.packages, most_bytes=place.disk, most_files=_MAX_FILES
        )
        while not self._complaint:
            await anyio.sleep(_LOOK_SECONDS)
            try:
                usage = await anyio.to_thread.run_sync(measure, abandon_on_cancel=True)
            except MeterError:
                continue
            if usage.bytes > place.disk:
                self._complaint = f"the packages take more than {place.disk} bytes"
            elif usage.files > _MAX_FILES:
                self._complaint = f"the packages are more than {_MAX_FILES} files"
        scope.cancel()

    def check(self) -> None:
        if self._complaint:
            raise BuildFailed(self._complaint)
