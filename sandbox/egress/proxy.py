"""The proxy through which all traffic of a sandbox leaves, and the only way it can.

Each owner has a Unix socket of its own, in a directory that only its sandbox can see; who dials it
is known by that and by nothing it says. Clients speak HTTP/1.1 to it: CONNECT for TLS, whole URLs
for plain HTTP. For each request `EgressRules` decide about the host; then the host is resolved
once, every address judged, and one of the judged addresses dialled.

Which way a tunnel goes by its port: on 443 it must be TLS that names the host; a tunnel to 80 ends
here and its requests are served like any other; on others, if the rules allow them, bytes pass.
Only what is inside TLS is not seen: a server that answers for several hosts can be asked for
another one there (domain fronting).
"""

import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from sandbox.contract import EGRESS_NAME
from sandbox.doorway import listen, peer_uid
from sandbox.egress.conversation import Conversation, Desk, refuse
from sandbox.egress.dial import Dialler, LookUp, Refusal, look_up
from sandbox.egress.line import Line, Lost, Meter, SocketStream
from sandbox.egress.rules import Bounds, Decision, EgressRules

_BACKLOG = 128
_BREATH_SECONDS = 0.1
"""Before the next try, when the process has no descriptor left for a connection."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Door:
    """One owner's socket and who came in by it."""

    path: Path
    uid: int
    listener: socket.socket
    desk: Desk
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    meters: set[Meter] = field(default_factory=set[Meter])
    shut: anyio.Event = field(default_factory=anyio.Event)


class Egress:
    """The proxy of all sandboxes of this process. Its connections are tasks of a task group."""

    def __init__(
        self,
        tasks: TaskGroup,
        rules: EgressRules,
        bounds: Bounds,
        *,
        report: Callable[[Decision], None],
        look_up: LookUp = look_up,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Do nothing yet. `tls` is for requests that the rules turn into TLS ones."""
        self._tasks = tasks
        self._rules = rules
        self._bounds = bounds
        self._report = report
        self._look_up = look_up
        self._tls = tls or ssl.create_default_context()
        self._doors: dict[str, _Door] = {}

    async def open(self, owner: str, directory: Path, uid: int) -> Path:
        """Listen for `owner`, whose programs run as `uid`; returns the socket.

        `directory` is `Sandbox.sockets`: nobody but that user and the gateway may enter it.

        Raises:
            OSError: It is not there.
        """
        await self.close(owner)
        path = directory / EGRESS_NAME
        path.unlink(missing_ok=True)
        door = _Door(
            path=path,
            uid=uid,
            listener=listen(directory, EGRESS_NAME, uid=uid, backlog=_BACKLOG),
            desk=Desk(
                owner=owner,
                rules=self._rules,
                bounds=self._bounds,
                dialler=Dialler(self._bounds, self._look_up, self._tls),
                report=self._report,
            ),
        )
        self._doors[owner] = door
        self._tasks.start_soon(self._attend, door, name=f"egress {owner}")
        return door.path

    async def close(self, owner: str) -> None:
        """Break off the owner's connections and stop listening for it. Idempotent."""
        door = self._doors.pop(owner, None)
        if door is not None:
            door.scope.cancel()
            await door.shut.wait()

    async def revoke(self, owner: str) -> None:
        """The rules were tightened: break off what the owner has open; new requests are decided."""
        door = self._doors.get(owner)
        for meter in list(door.meters) if door else ():
            meter.stop("revoked")

    async def aclose(self) -> None:
        """Close for everyone."""
        for owner in list(self._doors):
            await self.close(owner)

    async def _attend(self, door: _Door) -> None:
        try:
            with door.scope:
                async with anyio.create_task_group() as tasks:
                    await self._accept(door, tasks)
        finally:
            door.listener.close()
            with suppress(OSError):
                door.path.unlink()
            door.shut.set()

    async def _accept(self, door: _Door, tasks: TaskGroup) -> None:
        while True:
            await anyio.wait_readable(door.listener)
            try:
                connection, _ = door.listener.accept()
            except BlockingIOError:
                continue
            except OSError:
                await anyio.sleep(_BREATH_SECONDS)
                continue
            if peer_uid(connection) != door.uid:
                connection.close()
            elif len(door.meters) >= self._bounds.connections:
                _turn_away(door.desk, connection)
            else:
                meter = Meter(self._bounds)
                door.meters.add(meter)
                tasks.start_soon(self._supervise, door, connection, meter)

    async def _supervise(self, door: _Door, connection: socket.socket, meter: Meter) -> None:
        """Serve one connection; whatever goes wrong with it ends with it."""
        client = Line(SocketStream(connection), meter)
        conversation = Conversation(door.desk, client, meter)
        try:
            with meter.scope:
                await conversation.hold()
            if meter.scope.cancelled_caught:
                conversation.record(meter.reason)
        except Lost:
            pass
        except Exception:  # noqa: BLE001 - what one client provokes must not reach the others
            _log.exception("a connection of %s to the egress proxy failed", door.desk.owner)
        finally:
            door.meters.discard(meter)
            await client.aclose()


def _turn_away(desk: Desk, connection: socket.socket) -> None:
    refusal = Refusal(503, "limit:connections", "too many connections")
    with connection, suppress(OSError):
        connection.send(refuse(refusal))
    desk.report(
        Decision(
            owner=desk.owner, kind="connect", host="", port=0, allowed=False, rule=refusal.rule
        )
    )
