"""The start of one container: its room, the engine's part, and the first words out of it.

From then on it is a sandbox like any other: a first process that is held from here, a control
group, a switchboard. The engine is needed to start it and to clear it away, not in between: when
the engine is gone, a sandbox still works and can still be killed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from sandbox.birth import Newborn
from sandbox.complaints import Complaints
from sandbox.contract import SandboxSpec, Unavailable
from sandbox.docker.console import Console
from sandbox.docker.engine import Engine, State
from sandbox.docker.recipe import Fittings, furnish, recipe
from sandbox.estate import Estate
from sandbox.layer import Layer
from sandbox.limits.group import group_of
from sandbox.porch import Porch
from sandbox.spawn import Process
from sandbox.switchboard import Switchboard

_LOOK_SECONDS = 1.0
"""How long the program inside may be silent before the engine is asked what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Berth:
    """Where a container goes."""

    engine: Engine
    fittings: Fittings
    image: str
    estate: Estate
    start_seconds: float


async def give_birth(
    berth: Berth, name: str, layer: Layer, spec: SandboxSpec, token: str
) -> Newborn:
    """Start the container `name` on `layer`, on which nothing else may live.

    Whatever comes of it, the caller has the container removed in the end.

    Raises:
        Unavailable: It could not be started; the message has the engine's words.
    """
    porch = berth.estate.porch(layer.name)
    try:
        await anyio.to_thread.run_sync(_make_room, porch, layer)
        proxies = berth.fittings.proxies
        board = Switchboard(porch.sockets, uid=layer.uid, token=token, proxies=proxies)
        try:
            console = Console(porch.sockets, uid=layer.uid, proxies=proxies)
            body = recipe(berth.fittings, layer, porch, berth.image, spec)
            process, complaints = await _start(berth, name, console, body, token)
        except BaseException:
            board.close()
            raise
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(porch.clear)
        if isinstance(error, OSError):
            raise Unavailable(f"cannot start a container: {error}") from error
        raise
    return Newborn(
        uid=layer.uid,
        layer=layer.path,
        porch=porch,
        switchboard=board,
        processes=[process],
        group=group_of(process.pid),
        complaints=Complaints(complaints),
        confine=_nothing_more,
        clear=Porch.clear,
    )


async def _start(
    berth: Berth, name: str, console: Console, body: Mapping[str, Any], token: str
) -> tuple[Process, int]:
    """Start the container and wait for its program; returns what `Console.meet` does."""
    try:
        await berth.engine.start(name, body)
        with anyio.fail_after(berth.start_seconds):
            while True:
                with anyio.move_on_after(_LOOK_SECONDS):
                    return await console.meet(token)
                state = await berth.engine.state(name)
                if not state.running:
                    raise Unavailable(_obituary(state))
    except TimeoutError as error:
        raise Unavailable(
            f"the program inside a container did not dial within {berth.start_seconds:g} seconds; "
            "the engine and the gateway must see the same files"
        ) from error
    finally:
        console.close()


def _obituary(state: State) -> str:
    why = state.error or f"it ended with status {state.status}"
    return f"a container did not start ({why}); its image must have Python 3.9 at /usr/bin/python3"


def _make_room(porch: Porch, layer: Layer) -> None:
    porch.make(layer.uid)
    furnish(porch.sockets, layer)


def _nothing_more() -> None:
    """The engine bounds a container before it starts."""
