"""What runs for one place right now, and where to find it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from gateway.tools.notice import Notice
from gateway.tools.place import Place
from gateway.tools.server import ToolServer
from sandbox.contract import Sandbox


@dataclass(slots=True)
class Room:
    """A sandbox that runs, or may at any moment; who changes that holds the lock."""

    place: Place
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    sandbox: Sandbox | None = None
    server: ToolServer | None = None
    calls: int = 0
    """Calls that use it or wait for it."""
    uses: int = 0
    """Calls that have used it so far; and how many of them its outputs were looked at after."""
    looked: int = 0
    looking: anyio.Lock = field(default_factory=anyio.Lock)
    frozen: bool = False
    pending: anyio.CancelScope | None = None
    """What happens to it while nobody needs it; cancelled as soon as somebody does."""
    equipped: bool = False
    """What belongs into it was brought, as far as that was possible."""
    news: list[str] = field(default_factory=list[str])
    """What the model has to know of how it was started."""
    notices: list[Notice] = field(default_factory=list[Notice])
    """What the client has to know, and was not told yet."""
    told: list[Notice] = field(default_factory=list[Notice])
    """What the client was told since the session began to work; it is not told again."""

    def disturb(self) -> None:
        """Somebody needs it: nothing more happens to it meanwhile."""
        if self.pending is not None:
            self.pending.cancel()
            self.pending = None

    def report(self, notices: Sequence[Notice]) -> None:
        """Have the client told, unless it was."""
        for notice in notices:
            if notice not in self.told:
                self.told.append(notice)
                self.notices.append(notice)


class Rooms:
    """Every room there is."""

    def __init__(self) -> None:
        self._rooms: dict[Place, Room] = {}

    def enter(self, place: Place) -> Room:
        """The room of a place, made if need be."""
        return self._rooms.setdefault(place, Room(place))

    def find(self, place: Place) -> Room | None:
        """The room of a place, if there is one."""
        return self._rooms.get(place)

    def of(self, session: str) -> list[Room]:
        return [room for place, room in self._rooms.items() if place.session == session]

    def every(self) -> list[Room]:
        return list(self._rooms.values())

    def leave(self, room: Room) -> None:
        """Forget a room in which nothing runs; who waits for its lock keeps it."""
        if room.sandbox is None and not room.calls and not room.lock.statistics().tasks_waiting:
            self._rooms.pop(room.place, None)
