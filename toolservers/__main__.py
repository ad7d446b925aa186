"""``python -m toolservers``: the entry of the zipapp."""

from __future__ import annotations

import os
import sys

from toolservers.host import Host
from toolservers.paths import Roots
from toolservers.schemas import TOOLSETS
from toolservers.stream import LineReader, LineWriter

_USAGE = """Usage: python -m toolservers (--socket PATH | --stdio) [options]

  --socket PATH          dial the driver of a sandbox
  --stdio                serve MCP on standard input and output
  --token-fd N           where to read the driver's token; without it, from WHARFKEEP_TOKEN,
                         else from the first line of standard input
  --workdir DIRECTORY    instead of /workspace and the other directories of a session
  --root DIRECTORY       one more that the file tools may reach; may be repeated
  --toolset NAME         agent (the default) or web
  --libraries DIRECTORY  where the parsers of the web tools are
"""
_DESCRIPTORS = 256
"""Open files that there is room for from the start; a power of two, as the kernel counts."""
_TOKEN_VARIABLE = "WHARFKEEP_TOKEN"  # noqa: S105 - the name, not the token


def main() -> None:
    """Run as the arguments say; ends with status 2 if they say nothing."""
    options = _parse(sys.argv[1:])
    if options is None:
        sys.stderr.write(_USAGE)
        sys.exit(2)
    _make_room_for_descriptors()
    token = "" if options.stdio else _take_token(options.token_fd)
    host = Host(options.roots(), toolset=options.toolset, libraries=options.libraries)
    _enter(host.roots.workdir)
    if options.stdio:
        _serve_stdio(host)
    else:
        from toolservers.init import Init
        from toolservers.shield import raise_shield

        raise_shield()
        try:
            Init(options.socket, token, host).serve()
        except OSError as error:
            sys.exit(f"{options.socket}: {error.strerror}")
    os._exit(0)  # threads may still wait for commands, which are dead or belong to nobody


def _make_room_for_descriptors() -> None:
    """Grow the table of open files while there is one thread.

    Once there are several, the kernel lets all processors pass a quiet point before it grows the
    table, which takes about ten milliseconds: as long as everything else of a first tool call.
    """
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, _DESCRIPTORS - 1, inheritable=False)
    os.close(_DESCRIPTORS - 1)
    os.close(nothing)


class _Options:
    def __init__(self) -> None:
        self.socket = ""
        self.token_fd: int | None = None
        self.stdio = False
        self.workdir: str | None = None
        self.toolset = "agent"
        self.libraries: str | None = None
        self.others: list[str] = []

    def roots(self) -> Roots:
        if self.workdir is None and not self.others:
            return Roots()
        return Roots(self.workdir or os.getcwd(), self.others)


def _parse(words: list[str]) -> _Options | None:
    # Not argparse: importing it costs as much as everything else here.
    options = _Options()
    waiting = iter(words)
    for word in waiting:
        if word == "--stdio":
            options.stdio = True
            continue
        value = next(waiting, None)
        if value is None:
            return None
        if word == "--socket":
            options.socket = value
        elif word == "--token-fd" and value.isdigit():
            options.token_fd = int(value)
        elif word == "--workdir":
            options.workdir = value
        elif word == "--toolset" and value in TOOLSETS:
            options.toolset = value
        elif word == "--libraries":
            options.libraries = value
        elif word == "--root":
            options.others.append(value)
        else:
            return None
    return options if options.stdio != bool(options.socket) else None


def _take_token(fd: int | None) -> str:
    """Read the token once and leave no copy where a child could find it."""
    from_env = os.environ.pop(_TOKEN_VARIABLE, None)
    if fd is None and from_env is not None:
        return from_env
    line = bytearray()
    source = 0 if fd is None else fd
    while True:
        byte = os.read(source, 1)  # not one more than the line: the rest is not ours
        if byte in (b"", b"\n"):
            break
        line += byte
    if fd is not None:
        os.close(fd)
    return line.decode("ascii")


def _enter(workdir: str) -> None:
    try:
        os.chdir(workdir)
    except OSError:
        os.chdir("/")


def _serve_stdio(host: Host) -> None:
    from toolservers.connection import Connection

    # Nothing else may read or write the protocol: not a child, not a stray print.
    wire_in, wire_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    Connection(LineReader(wire_in), LineWriter(wire_out), host).serve()
    host.children.kill_all()


if __name__ == "__main__":
    main()
