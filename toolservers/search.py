"""The tools glob and grep."""

from __future__ import annotations

import os
import stat

from toolservers.call import ToolError
from toolservers.capture import capture
from toolservers.children import find_program
from toolservers.paths import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from toolservers.call import Call
    from toolservers.host import Host

GLOB_LIMIT = 200
GREP_LIMIT = 100 * 1024
DEADLINE = 30.0
NOTHING = "no matches"
_LOOK_AHEAD = 65536
_RIPGREP = (
    "--no-config",
    "--no-messages",
    "--no-heading",
    "--with-filename",
    "--line-number",
    "--color=never",
    "--sort=path",
    # What is searched must not depend on ignore files, nor on which program searches.
    "--no-ignore",
    "--hidden",
    "--encoding=none",
    "--crlf",
    "--glob=!.git/",
    "--glob=!node_modules/",
    "--max-columns=2000",
)


def glob(arguments: dict[str, Any], call: Call, host: Host) -> str:
    """The paths below a directory that match a pattern, newest first."""
    from toolservers.pattern import find

    call.hand_over()  # large trees take seconds
    pattern: str = arguments["pattern"]
    root = host.roots.resolve(arguments.get("path") or "")
    try:
        found = find(root, pattern, lambda: call.check(DEADLINE))
    except ValueError:
        raise ToolError(f"Unacceptable pattern: {pattern!r}") from None
    newest = sorted(found, key=_modified, reverse=True)
    return "\n".join(map(_printable, newest[:GLOB_LIMIT])) or NOTHING


def grep(arguments: dict[str, Any], call: Call, host: Host) -> str:
    """The lines that match a regular expression, as ``path:number:text``.

    Another process searches, ripgrep where there is one: a regular expression can take for ever,
    and this process could not stop its own.
    """
    root = host.roots.resolve(arguments.get("path") or "")
    if not _can_have_lines(root):
        return NOTHING
    program = _ripgrep(host)
    argv = [program, *_RIPGREP] if program else host.python("toolservers.scan")
    argv += ["-e", _text(arguments["pattern"]), "--", root]
    try:
        found = capture(argv, call, host, limit=GREP_LIMIT, seconds=DEADLINE)
    except OSError as error:
        raise ToolError(f"cannot search: {reason(error)}") from None
    if not found.output:
        if found.status != 1 and found.errors:
            raise ToolError(found.errors.decode("utf-8", "replace").strip())
        return NOTHING
    return _cut(found.output.replace(b"\r\n", b"\n")).decode("utf-8", "replace")


def _cut(output: bytes) -> bytes:
    if len(output) <= GREP_LIMIT:
        return output.rstrip(b"\n")
    whole_lines = output[: output.rfind(b"\n", 0, GREP_LIMIT) + 1]
    return whole_lines + b"[output truncated at %d bytes]" % GREP_LIMIT


def _ripgrep(host: Host) -> str | None:
    """The first one on the PATH, unless the agent could have put it there."""
    try:
        program = find_program("rg", host.env)
    except FileNotFoundError:
        return None
    return None if host.roots.contain(os.path.realpath(program)) else program


def _can_have_lines(path: str) -> bool:
    """Whether it is a directory, or a file without a zero byte near its start.

    Of what lies in directories the program that searches skips the others itself.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True  # who searches says why not
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return b"\0" not in os.read(fd, _LOOK_AHEAD)
        return stat.S_ISDIR(mode)
    finally:
        os.close(fd)


def _text(pattern: str) -> str:
    if "\0" in pattern:
        raise ToolError("a pattern cannot contain a zero byte")
    try:
        pattern.encode("utf-8")
    except UnicodeEncodeError:
        raise ToolError("the pattern holds half of a surrogate pair") from None
    return pattern


def _modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _printable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")
