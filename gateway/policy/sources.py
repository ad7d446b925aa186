"""The text of policy files, cut into policies that know where they stand.

Cedar's own errors say what is wrong and not where; so a file that does not parse is taken apart,
and the first policy that does not parse alone is named by its line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import cedarpy

_ID = re.compile(r'@id\s*\(\s*"((?:[^"\\]|\\.)*)"\s*\)')
_SPACE = re.compile(r"(?:\s|//[^\n]*)+")
_TOKEN = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"|;', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """A file of policies."""

    path: str
    text: str


def join(sources: list[Source]) -> str:
    """All files as one text; none of them can change what another one says."""
    return "\n".join(source.text for source in sources)


def find_problems(source: Source) -> list[str]:
    """What Cedar cannot parse in a file, as ``FILE:LINE: REASON``; nothing if it parses."""
    whole = _parses(source.text)
    if whole is None:
        return []
    reasons = ((line, _parses(text)) for line, text in cut(source.text))
    found = [f"{source.path}:{line}: {reason}" for line, reason in reasons if reason is not None]
    return found[:1] or [f"{source.path}: {whole}"]


def locate(sources: list[Source]) -> dict[str, str]:
    """Where each policy stands, ``FILE:LINE`` by its ``@id``; the first of those that share one."""
    places: dict[str, str] = {}
    for source in sources:
        for line, text in cut(source.text):
            found = _ID.search(text)
            if found is not None:
                places.setdefault(found[1], f"{source.path}:{line}")
    return places


def cut(text: str) -> Iterator[tuple[int, str]]:
    """Each policy, with the comments before it, and the line that its first word is on."""
    start, line = 0, 1
    for token in _TOKEN.finditer(text):
        if token[0] == ";":
            yield line + _leading_lines(text, start), text[start : token.end()]
            line += text.count("\n", start, token.end())
            start = token.end()
    if text[start:].strip():
        yield line + _leading_lines(text, start), text[start:]


def _parses(text: str) -> str | None:
    try:
        cedarpy.PolicySet.from_str(text, release_gil=True)
    except ValueError as error:
        return str(error)
    return None


def _leading_lines(text: str, start: int) -> int:
    """How many lines end before the first thing that is neither space nor comment."""
    found = _SPACE.match(text, start)
    return 0 if found is None else found[0].count("\n")
