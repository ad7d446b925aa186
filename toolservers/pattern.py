"""Paths that match a pattern.

``*``, ``?`` and ``[...]`` match within a name, ``**`` any depth, ``{a,b}`` either.
Names that begin with a dot match like others. ``**`` does not follow links; what lies outside the
searched directory because of a link is no match.
"""

from __future__ import annotations

import fnmatch
import os
import re

from toolservers.call import ToolError
from toolservers.paths import canonicalize, is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOUND_LIMIT = 50_000
_MAX_LENGTH = 4096
_MAX_ALTERNATIVES = 64
_MAGIC = re.compile(r"[*?\[]")


def find(root: str, pattern: str, check: Callable[[], None]) -> list[str]:
    """The absolute paths below `root`, a canonical path, that match; at most `FOUND_LIMIT`.

    `check` is called for every directory and may raise to end the search.

    Raises:
        ToolError: The pattern is empty, absolute, or leads upwards.
    """
    found: dict[str, None] = {}
    for alternative in expand(pattern):
        for path in _Walk(root, alternative, check):
            found[path] = None
            if len(found) == FOUND_LIMIT:
                return list(found)
    return list(found)


def expand(pattern: str) -> list[str]:
    """The patterns without braces that a pattern with braces stands for.

    Raises:
        ToolError: There are too many, or the pattern is too long.
    """
    if len(pattern) > _MAX_LENGTH:
        raise ToolError("the pattern is too long")
    plain: list[str] = []
    waiting = [pattern]
    while waiting:
        first = waiting.pop(0)
        choices = _choices(first)
        if choices is None:
            plain.append(first)
        else:
            waiting = choices + waiting
        if len(plain) + len(waiting) > _MAX_ALTERNATIVES:
            raise ToolError("the pattern has too many alternatives")
    return plain


class _Walk:
    """Iterates over the matches of one pattern without braces, some of them more than once."""

    def __init__(self, root: str, pattern: str, check: Callable[[], None]) -> None:
        if pattern.startswith("/"):
            raise ToolError(
                "absolute pattern not permitted; pass a relative pattern (and optionally path)"
            )
        self._parts = [part for part in pattern.split("/") if part not in ("", ".")]
        if not self._parts:
            raise ToolError(f"Unacceptable pattern: {pattern!r}")
        if ".." in self._parts:
            raise ToolError("'..' is not permitted in the pattern")
        if self._parts[-1] == "**":
            self._parts.append("*")
        self._only_directories = pattern.endswith("/")
        self._root = root
        self._check = check

    def __iter__(self) -> Iterator[str]:
        visited: set[tuple[str, int]] = set()
        waiting = [(self._root, 0, False)]
        while waiting:
            self._check()
            directory, index, linked = waiting.pop()
            if (directory, index) in visited:
                continue
            visited.add((directory, index))
            if self._parts[index] == "**":
                waiting.append((directory, index + 1, linked))
                waiting += [(below, index, linked) for below in _subdirectories(directory)]
                continue
            for path, is_link in _matches(directory, self._parts[index]):
                through_link = linked or is_link
                if index + 1 < len(self._parts):
                    if os.path.isdir(path):
                        waiting.append((path, index + 1, through_link))
                elif self._is_wanted(path, through_link):
                    yield path

    def _is_wanted(self, path: str, through_link: bool) -> bool:
        if self._only_directories and not os.path.isdir(path):
            return False
        if not through_link:
            return True
        try:
            return is_within(canonicalize(path), self._root)
        except OSError:
            return False


def _matches(directory: str, part: str) -> Iterator[tuple[str, bool]]:
    """The entries whose name matches, each with whether it is a link."""
    if not _MAGIC.search(part):
        path = os.path.join(directory, part)
        if os.path.exists(path):
            yield path, os.path.islink(path)
        return
    is_match = re.compile(fnmatch.translate(part)).match
    for entry in _entries(directory):
        if is_match(entry.name):
            yield entry.path, entry.is_symlink()


def _subdirectories(directory: str) -> list[str]:
    return [entry.path for entry in _entries(directory) if entry.is_dir(follow_symlinks=False)]


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def _choices(pattern: str) -> list[str] | None:
    """The patterns after choosing from the first braces that offer a choice."""
    start = pattern.find("{")
    while start >= 0:
        inner = _split_braces(pattern, start)
        if inner is not None:
            options, end = inner
            return [pattern[:start] + option + pattern[end:] for option in options]
        start = pattern.find("{", start + 1)
    return None


def _split_braces(pattern: str, start: int) -> tuple[list[str], int] | None:
    """The options between the brace at `start` and its partner, and where that one ends."""
    depth = 0
    options: list[str] = []
    begin = start + 1
    for position in range(start, len(pattern)):
        letter = pattern[position]
        if letter == "{":
            depth += 1
        elif letter == "," and depth == 1:
            options.append(pattern[begin:position])
            begin = position + 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                options.append(pattern[begin:position])
                return (options, position + 1) if len(options) > 1 else None
    return None
