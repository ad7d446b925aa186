"""What bwrap and programs inside write to standard error: kept a little, read slowly, dropped."""

import os

import anyio

_KEPT = 8192
_CHUNK = 65536
_PAUSE_SECONDS = 0.05
"""Between two reads: a flood costs the gateway nothing, it only stops whoever writes it."""


class Complaints:
    """The gateway's end of that pipe."""

    def __init__(self, descriptor: int) -> None:
        """Take over `descriptor`, a pipe that does not block."""
        self.text = ""
        """The beginning of what was written."""
        self._descriptor = descriptor

    async def drain(self) -> None:
        """Read until nobody can write any more; otherwise writers would come to stand still."""
        while True:
            await anyio.wait_readable(self._descriptor)
            if not self.read():
                return
            await anyio.sleep(_PAUSE_SECONDS)

    def read(self) -> bool:
        """Take what is there now; False at the end of the pipe."""
        try:
            data = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return True
        self.text += data.decode(errors="replace")[: _KEPT - len(self.text)]
        return bool(data)

    def add(self, text: str) -> None:
        """Write something on one's own behalf."""
        self.text += f"{text}\n"

    def close(self) -> None:
        os.close(self._descriptor)
