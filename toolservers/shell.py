"""One persistent bash: commands go in, their output and exit status come out.

The shell reads its script from a pipe. For every command this script gets one line, which reads
the command from a memory file, evaluates it, and writes the exit status together with a fresh
random token to a pipe of its own. The line closes its private descriptors for the command, so
neither the command nor what it leaves behind in the background can hold up the answer or forge it
by accident. The command text itself never passes the script, so no quoting, open quote or heredoc
in it can swallow what follows.
"""

from __future__ import annotations

import os

from toolservers.call import Cancelled, CommandFailed, ToolError
from toolservers.output import Tail
from toolservers.watch import Bell, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from toolservers.call import Call
    from toolservers.children import Child
    from toolservers.host import Host

TERMINATED = "bash session terminated; restart required"

# The shell's own numbers for the command text, the output and the status; bash itself uses the
# ones from 10 upwards and around 255, people the ones below 10.
_TEXT, _OUTPUT, _STATUS = 97, 98, 99
_LINE = (
    "builtin read -rd '' -u97;"
    'builtin eval "$REPLY" </dev/null >&98 2>&1 97<&- 98>&- 99>&-;'
    "builtin printf '%s %d\\n' {token} $? >&99\n"
)
_CHUNK = 65536
"""Also the capacity of a pipe: no more than this can wait in it."""


class TimedOut(Exception):
    """A command is not done when its time is over; `tail` is what it said until then."""

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self.tail = tail


class Shell:
    """A bash process with its pipes. One command at a time; the caller sees to that."""

    def __init__(self, host: Host) -> None:
        """Start it in the working directory.

        Raises:
            OSError: There is no bash, or no room for another process.
        """
        self._children = host.children
        self._output_limit = host.output
        self._killed = False
        self._bell = Bell()
        self._text = os.memfd_create("command")
        script_out, self._script = os.pipe()
        self._output, output_in = os.pipe()
        self._status, status_in = os.pipe()
        os.set_blocking(self._output, False)
        null = os.open(os.devnull, os.O_RDWR)
        try:
            self._child = host.children.spawn(
                ["/bin/bash", "--noprofile", "--norc"],
                {**host.env, "PS1": "", "PS2": "", "TERM": "dumb"},
                descriptors={
                    0: script_out,
                    1: null,
                    2: null,
                    _TEXT: self._text,
                    _OUTPUT: output_in,
                    _STATUS: status_in,
                },
                on_exit=self._notice_exit,
            )
        except OSError:
            self._close_descriptors()
            raise
        finally:
            for fd in (script_out, output_in, status_in, null):
                os.close(fd)

    @property
    def alive(self) -> bool:
        """False as soon as it is killed, though it may take a moment to die."""
        return not self._killed and self._child.status is None

    def run(self, command: bytes, call: Call, seconds: float) -> tuple[str, int]:
        """Run a command; returns its output and exit status when the shell is done with it.

        What background processes still write appears in a later command's output.

        Raises:
            ToolError: The time was over and everything was killed, or the shell is gone.
            CommandFailed: The command ended the shell.
            Cancelled: The call was cancelled and everything was killed.
        """
        if not self.alive:
            raise ToolError(TERMINATED)
        token = os.urandom(8).hex()
        self._send(command, token)
        try:
            with Watch(call, self._bell, (self._output, self._status), seconds=seconds) as watch:
                return self._wait(token.encode(), watch, call)
        except Cancelled:
            self.kill()
            raise
        except TimedOut as error:
            self.kill()
            text = f"bash command timed out after {seconds}s\n{error.tail.text()}"
            raise ToolError(text.rstrip("\n")) from None

    def kill(self) -> None:
        """Kill the shell and everything in its process group."""
        self._killed = True
        self._children.kill(self._child)

    def close(self) -> None:
        """Kill it and give its descriptors back."""
        self.kill()
        self._close_descriptors()

    def _send(self, command: bytes, token: str) -> None:
        os.ftruncate(self._text, 0)
        # A zero byte ends the text: at the end of the file `read` would fail, and with it `set -e`.
        os.pwrite(self._text, command + b"\0", 0)
        os.lseek(self._text, 0, os.SEEK_SET)
        try:
            os.write(self._script, _LINE.format(token=token).encode())
        except BrokenPipeError:
            raise ToolError(TERMINATED) from None

    def _wait(self, token: bytes, watch: Watch, call: Call) -> tuple[str, int]:
        tail = Tail(self._output_limit)
        said = bytearray()
        while True:
            ready = watch.wait()
            if ready is None:
                raise TimedOut(tail)
            if self._output in ready:
                self._collect(tail, watch)
                call.progress(tail.received, tail.last_line)
            if self._status in ready:
                said += self._read_status(watch)
                status = _parse_status(said, token)
                if status is not None:
                    self._collect(tail, watch)
                    return tail.text(), status
            if not self.alive:
                self._collect(tail, watch)
                end = f"bash session ended with status {self._child.status}; restart required"
                raise CommandFailed(f"{tail.text()}\n{end}".lstrip("\n"))

    def _collect(self, tail: Tail, watch: Watch) -> None:
        """Take what the output pipe holds now: one read, so a flood cannot hold us here."""
        try:
            chunk = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return
        if chunk:
            tail.add(chunk)
        else:
            watch.drop(self._output)

    def _read_status(self, watch: Watch) -> bytes:
        said = os.read(self._status, _CHUNK)
        if not said:
            # The shell ended, or made itself another program (`exec`): its exit will tell.
            watch.drop(self._status)
        return said

    def _notice_exit(self, _: Child) -> None:
        self._bell.ring()

    def _close_descriptors(self) -> None:
        for fd in (self._text, self._script, self._output, self._status):
            os.close(fd)
        self._bell.close()


def _parse_status(said: bytearray, token: bytes) -> int | None:
    """The exit status once the line with the token is there; anything else is noise."""
    *lines, rest = bytes(said).split(b"\n")
    for line in lines:
        name, _, number = line.partition(b" ")
        if name == token and number.isdigit():
            return int(number)
    said[:] = rest[-_CHUNK:]
    return None
