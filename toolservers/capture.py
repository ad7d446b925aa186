"""Run a program to its end, or to the end of its time, and keep the beginning of what it says."""

from __future__ import annotations

import os

from toolservers.call import ToolError
from toolservers.watch import Bell, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolservers.call import Call
    from toolservers.children import Child
    from toolservers.host import Host

_CHUNK = 65536
_ERRORS_LIMIT = 4096


class Captured:
    """What a program said, and how it ended."""

    def __init__(self, output: bytes, errors: bytes, status: int | None) -> None:
        self.output = output
        """More than the limit if it had more to say; then it was killed."""
        self.errors = errors
        """At most 4 KiB."""
        self.status = status
        """Its exit code or, negative, the signal that ended it; None if it was killed here."""


def capture(argv: Sequence[str], call: Call, host: Host, *, limit: int, seconds: float) -> Captured:
    """Run `argv`, without input, until it ends or says more than `limit` bytes.

    Raises:
        ToolError: It took longer than `seconds`, or than the call may; it was killed.
        Cancelled: The call was cancelled; it was killed.
        OSError: It cannot be started.
    """
    bell = Bell()
    null = os.open(os.devnull, os.O_RDONLY)
    output, output_in = os.pipe()
    errors, errors_in = os.pipe()
    try:
        try:
            child = host.children.spawn(
                argv,
                host.env,
                descriptors={0: null, 1: output_in, 2: errors_in},
                on_exit=lambda _: bell.ring(),
            )
        finally:
            for fd in (null, output_in, errors_in):
                os.close(fd)
        seconds = call.seconds(seconds)
        try:
            with Watch(call, bell, (output, errors), seconds=seconds) as watch:
                return _listen(child, watch, output, errors, limit)
        except TimeoutError:
            raise ToolError(f"timed out after {seconds:g}s") from None
        finally:
            host.children.kill(child)
    finally:
        os.close(output)
        os.close(errors)
        bell.close()


def _listen(child: Child, watch: Watch, output: int, errors: int, limit: int) -> Captured:
    said = {output: bytearray(), errors: bytearray()}
    still_open = set(said)
    while (still_open or child.status is None) and len(said[output]) <= limit:
        ready = watch.wait()
        if ready is None:
            raise TimeoutError
        for fd in ready:
            chunk = os.read(fd, _CHUNK)
            if not chunk:
                still_open.discard(fd)
                watch.drop(fd)
            if fd == output or len(said[fd]) < _ERRORS_LIMIT:
                said[fd] += chunk
    return Captured(bytes(said[output]), bytes(said[errors][:_ERRORS_LIMIT]), child.status)
