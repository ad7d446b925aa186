"""Waiting on behalf of a call: for descriptors, until its time is over or it is cancelled."""

from __future__ import annotations

import math
import os
import select
import threading
import time

from toolservers.call import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolservers.call import Call


class Bell:
    """A pipe that ends somebody's wait, from any thread."""

    def __init__(self) -> None:
        self.fd, self._write_end = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_end, False)
        self._lock = threading.Lock()
        self._closed = False

    def ring(self) -> None:
        """Make `fd` readable; harmless when it is, and after `close`."""
        with self._lock:
            if self._closed:
                return
            try:
                os.write(self._write_end, b"!")
            except BlockingIOError:
                return  # full: it rings

    def silence(self) -> None:
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.fd)
                os.close(self._write_end)


class Watch:
    """The descriptors a call waits for, with a bell for what is no descriptor."""

    def __init__(
        self, call: Call, bell: Bell, descriptors: Sequence[int], *, seconds: float
    ) -> None:
        """For at most `seconds` from now. Use it as a context, in which cancelling rings."""
        self._call = call
        self._bell = bell
        self._requests = call.requests
        self._end = time.monotonic() + seconds
        self._poll = select.poll()
        self._watched = {bell.fd, *descriptors}
        for fd in self._watched:
            self._poll.register(fd, select.POLLIN)
        if self._requests is not None:
            self._poll.register(self._requests, select.POLLIN)

    def __enter__(self) -> Watch:  # noqa: PYI034 - Python 3.9 has no Self
        self._call.wake_with(self._bell.ring)
        return self

    def __exit__(self, *_: object) -> None:
        self._call.wake_with(None)

    def wait(self) -> list[int] | None:
        """What can be read without blocking, perhaps nothing after a ring; None: time is over.

        Raises:
            Cancelled: The call was cancelled.
        """
        left = self._end - time.monotonic()
        events = self._poll.poll(math.ceil(left * 1000)) if left > 0 else []
        if not events:
            return None
        ready: list[int] = []
        for fd, _ in events:
            if fd == self._bell.fd:
                self._bell.silence()
            elif fd == self._requests:
                self._poll.unregister(fd)
                self._call.hand_over()
            else:
                ready.append(fd)
        if self._call.cancelled:
            raise Cancelled
        return ready

    def drop(self, fd: int) -> None:
        """It has ended: do not wait for it any more."""
        if fd in self._watched:
            self._watched.remove(fd)
            self._poll.unregister(fd)
