"""A program that searches files for a regular expression, for sandboxes without ripgrep.

Takes ``-e PATTERN -- PATH`` and answers as ripgrep does with the options of `toolservers.search`:
lines ``path:number:text`` in the order of the names, exit code 1 if there are none, 2 for a bad
pattern. The dialect is Python's.
"""

from __future__ import annotations

import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_LINE = 2000
_SKIPPED = (".git", "node_modules")
_LOOK_AHEAD = 65536


def main() -> None:
    pattern, path = sys.argv[2], sys.argv[4]
    try:
        expression = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        sys.stderr.write(f"invalid regex: {error}\n")
        sys.exit(2)
    found = False
    for file in _files(os.fsencode(path)):
        for line in _matching_lines(file, expression):
            found = True
            sys.stdout.buffer.write(line)
    sys.stdout.flush()
    sys.exit(0 if found else 1)


def _files(path: bytes) -> Iterator[bytes]:
    if not os.path.isdir(path):
        if os.path.isfile(path):
            yield path
        return
    waiting = [path]
    while waiting:
        place = waiting.pop()
        if place != path and os.path.isfile(place):
            yield place
            continue
        waiting.extend(_entries(place))


def _entries(directory: bytes) -> list[bytes]:
    """Directories and regular files, last name first."""
    try:
        with os.scandir(directory) as entries:
            kept = [entry.path for entry in entries if _is_searched(entry)]
    except OSError:
        return []
    return sorted(kept, reverse=True)


def _is_searched(entry: os.DirEntry[bytes]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return os.fsdecode(entry.name) not in _SKIPPED
    return entry.is_file(follow_symlinks=False)


def _matching_lines(path: bytes, expression: re.Pattern[str]) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            if b"\0" in file.peek(_LOOK_AHEAD)[:_LOOK_AHEAD]:
                return
            for number, line in enumerate(file, 1):
                if b"\0" in line:
                    return
                text = line.rstrip(b"\r\n")
                if expression.search(text.decode("utf-8", "replace")):
                    if len(text) > LONG_LINE:
                        text = b"[Omitted long matching line]"
                    yield b"%s:%d:%s\n" % (path, number, text)
    except OSError:
        return
