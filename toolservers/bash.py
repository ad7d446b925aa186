"""The tool bash: one persistent shell for each thread of a session."""

from __future__ import annotations

import threading

from toolservers.call import Cancelled, CommandFailed, ToolError
from toolservers.paths import reason
from toolservers.shell import TERMINATED, Shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from toolservers.call import Call
    from toolservers.host import Host

DEFAULT_SECONDS = 120.0
MAX_SHELLS = 32
_MAX_SEATS = 1024


def bash(arguments: dict[str, Any], call: Call, host: Host) -> str:
    """Run a command in the shell of the call's thread, or restart that shell.

    After a timeout, a cancelled command or the end of the shell, commands fail until a restart:
    the model has to learn that directory, variables and background jobs are gone.

    Raises:
        CommandFailed: The command's exit status is not zero.
        ToolError: There is no result; the text says why.
        Cancelled: The call was cancelled.
    """
    restart = bool(arguments.get("restart"))
    command = b"" if restart else _encode(arguments.get("command"))
    timeout_ms: int = arguments.get("timeout_ms") or 0
    if timeout_ms < 0:
        raise ToolError("timeout_ms must not be negative")
    seat = host.shells.take(call)
    try:
        if restart:
            host.shells.restart(seat)
            return "bash session restarted"
        seconds = call.seconds(timeout_ms / 1000 if timeout_ms else DEFAULT_SECONDS)
        if seconds == 0:
            raise ToolError("the time was over before the command could start")
        output, status = host.shells.open(seat).run(command, call, seconds)
    finally:
        seat.lock.release()
    if status != 0:
        raise CommandFailed(output)
    return output


class Seat:
    """One thread's shell, and the lock that makes its commands run one after the other."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shell: Shell | None = None
        self.lost = False
        """Its shell had to make room, and the model does not know yet."""


class Shells:
    """The shells of a host: at most `MAX_SHELLS` at once, the longest unused one goes first."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._seats: dict[str, Seat] = {}
        """In the order of their last use."""

    def take(self, call: Call) -> Seat:
        """The seat of the call's thread, locked for the caller to release.

        Raises:
            ToolError: The commands before this one take longer than this call may.
            Cancelled: The call was cancelled while it waited.
        """
        with self._lock:
            seat = self._seats.pop(call.thread, None) or Seat()
            self._seats[call.thread] = seat
            self._forget_old()
        if not seat.lock.acquire(blocking=False):
            call.hand_over()
            if not seat.lock.acquire(timeout=call.seconds(DEFAULT_SECONDS)):
                raise ToolError("another command is still running in this shell")
        if call.cancelled:
            seat.lock.release()
            raise Cancelled
        return seat

    def open(self, seat: Seat) -> Shell:
        """The shell of a taken seat, started by its first command.

        Raises:
            ToolError: It was lost, or there is no room for another one.
        """
        if seat.lost:
            raise ToolError(TERMINATED)
        if seat.shell is None:
            seat.shell = self._start()
        return seat.shell

    def restart(self, seat: Seat) -> None:
        """Put a new shell in a taken seat; the old one's process group dies."""
        if seat.shell is not None:
            seat.shell.close()
            seat.shell = None
        seat.shell = self._start()
        seat.lost = False

    def _start(self) -> Shell:
        with self._lock:
            self._make_room()
            try:
                return Shell(self._host)
            except OSError as error:
                raise ToolError(f"cannot start a shell: {reason(error)}") from None

    def _make_room(self) -> None:
        holders = [seat for seat in self._seats.values() if seat.shell is not None]
        if len(holders) < MAX_SHELLS:
            return
        for seat in holders:
            if seat.shell is not None and seat.lock.acquire(blocking=False):
                seat.shell.close()
                seat.shell = None
                seat.lost = True
                seat.lock.release()
                return
        raise ToolError(f"{MAX_SHELLS} shells are busy; try again when one is done")

    def _forget_old(self) -> None:
        if len(self._seats) <= _MAX_SEATS:
            return
        for thread, seat in self._seats.items():
            if seat.shell is None and not seat.lock.locked():
                del self._seats[thread]
                return


def _encode(command: str | None) -> bytes:
    if not command:
        raise ToolError("command is required")
    if "\0" in command:
        raise ToolError("a command cannot contain a zero byte")
    try:
        return command.encode("utf-8")
    except UnicodeEncodeError:
        raise ToolError("the command holds half of a surrogate pair") from None
