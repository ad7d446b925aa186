"""The start of one sandbox: its room, its control group, its descriptors, and bwrap itself.

It ends when bwrap runs; whether the program inside ever says that it is ready is for others to
wait for. A start that fails leaves nothing behind but the layer.
"""

import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from sandbox.complaints import Complaints
from sandbox.contract import Limits, SandboxSpec, Unavailable
from sandbox.layer import Layer
from sandbox.limits.group import Group
from sandbox.limits.rlimit import limit_processes, rlimits
from sandbox.porch import Porch
from sandbox.premises import Premises
from sandbox.spawn import Process, Spawner, Start, hold
from sandbox.switchboard import Switchboard
from sandbox.view import View, arguments, command

_INFO_SECONDS = 5.0
_ARGUMENTS, _FILTER, _INFO = 3, 4, 5
"""Where bwrap finds its descriptors, behind the standard ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newborn:
    """A sandbox whose processes run and of which nothing has been heard yet."""

    uid: int
    layer: Path
    porch: Porch
    switchboard: Switchboard
    processes: Sequence[Process]
    """The first process inside, unless it is dead already, and bwrap."""
    group: Group
    complaints: Complaints
    confine: Callable[[], None]
    """Bounds the first process, which has started nothing yet; blocks, raises `OSError`."""
    clear: Callable[[Porch], None]
    """Removes everything but the layer; is told where the porch is by then; blocks."""


async def give_birth(
    premises: Premises, spawner: Spawner, layer: Layer, spec: SandboxSpec, token: str
) -> Newborn:
    """Start bwrap on `layer`, on which nothing else may live.

    Raises:
        Unavailable: It could not be started.
    """
    porch = premises.estate.porch(layer.name)
    group = Group(()) if premises.cgroups is None else premises.cgroups.group(layer.name)
    clear = partial(_clear, group)
    view = View(
        layer=layer,
        porch=porch,
        program=premises.program,
        etc=premises.etc,
        limits=spec.limits,
        python=premises.python,
        root=spec.root,
        mounts=spec.mounts,
        arguments=spec.arguments,
    )
    started = False
    try:
        await anyio.to_thread.run_sync(_make_room, premises, porch, layer, spec)
        with _closed_unless_served(Switchboard(porch.sockets, uid=layer.uid, token=token)) as board:
            processes, complaints = await _spawn(premises, spawner, view, token)
        started = True
    except OSError as error:
        raise Unavailable(f"cannot start a sandbox: {error}") from error
    finally:
        if not started:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(clear, porch)
    return Newborn(
        uid=layer.uid,
        layer=layer.path,
        porch=porch,
        switchboard=board,
        processes=processes,
        group=group,
        complaints=complaints,
        confine=partial(_confine, processes[0].pid, group, spec.limits, own_uid=premises.own_uid),
        clear=clear,
    )


@contextmanager
def _closed_unless_served(switchboard: Switchboard) -> Generator[Switchboard]:
    try:
        yield switchboard
    except BaseException:
        switchboard.close()
        raise


def _make_room(premises: Premises, porch: Porch, layer: Layer, spec: SandboxSpec) -> None:
    porch.make(layer.uid)
    if premises.cgroups is not None:
        premises.cgroups.make(layer.name, spec.limits)


def _confine(pid: int, group: Group, limits: Limits, *, own_uid: bool) -> None:
    group.enter(pid)
    if not own_uid:
        limit_processes(pid, limits)


def _clear(group: Group, porch: Porch) -> None:
    porch.clear()
    group.remove()


async def _spawn(
    premises: Premises, spawner: Spawner, view: View, token: str
) -> tuple[Sequence[Process], Complaints]:
    """Start bwrap, and learn the first process inside."""
    complaints, complaints_end = _pipe()
    info, info_end = _pipe()
    first: Process | None = None
    try:
        with _descriptors(premises, view, token, complaints_end, info_end) as descriptors:
            order = Start(
                program=premises.bwrap,
                argv=["bwrap", "--args", str(_ARGUMENTS), "--", *command(view)],
                uid=view.layer.uid if premises.own_uid else None,
                limits=rlimits(
                    view.limits,
                    own_uid=premises.own_uid,
                    grouped=premises.limits["processes"].startswith("cgroup"),
                ),
                descriptors=descriptors,
            )
            monitor = await spawner.start(order)
        with anyio.CancelScope(shield=True):  # whoever kills it has to know
            first = await _learn_first(info, monitor)
    except BaseException:
        os.close(complaints)
        raise
    finally:
        os.close(info)
    return [monitor] if first is None else [first, monitor], Complaints(complaints)


@contextmanager
def _descriptors(
    premises: Premises, view: View, token: str, complaints: int, info: int
) -> Generator[Sequence[int]]:
    """Everything that bwrap inherits, in its order; closed here at the end of the block."""
    options = arguments(view, seccomp=_FILTER, info=_INFO)
    opened = [complaints, info]
    try:
        opened.append(token_end := _full_pipe(token.encode() + b"\n"))
        opened.append(nothing := os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC))
        opened.append(
            words := _memory_file(b"".join(os.fsencode(each) + b"\0" for each in options))
        )
        opened.append(code := _memory_file(premises.filter))
        yield [token_end, nothing, complaints, words, code, info]
    finally:
        for descriptor in opened:
            os.close(descriptor)


async def _learn_first(info: int, monitor: Process) -> Process | None:
    """Read from bwrap which process is the first inside; None if it is dead already."""
    text = b""
    with anyio.move_on_after(_INFO_SECONDS):
        while not text.rstrip().endswith(b"}"):
            await anyio.wait_readable(info)
            data = os.read(info, 4096)
            if not data:
                return None
            text += data
    try:
        return hold(int(json.loads(text)["child-pid"]), parent=monitor.pid)
    except (ValueError, KeyError):
        return None


def _pipe() -> tuple[int, int]:
    """The gateway's end for reading, and an end to give away."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reader, False)
    return reader, writer


def _full_pipe(data: bytes) -> int:
    """An end to read `data` from, once; nothing of it is left then for others to find."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.write(writer, data)
    os.close(writer)
    return reader


def _memory_file(data: bytes) -> int:
    """An open file with `data` in it and nothing on a disk."""
    descriptor = os.memfd_create("bwrap", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
