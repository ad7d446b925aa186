"""What a site's ``robots.txt`` asks of programs like this one, as RFC 9309 reads it."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

MAX_BYTES = 512 * 1024
"""More of a file is not read; the RFC asks for 500 KiB at least."""

_MAX_RULES = 5000
_MAX_STARS = 10
_LINE = re.compile(r"\s*([A-Za-z-]+)\s*:\s*([^#]*)")


class Robots:
    """The rules for one program."""

    def __init__(self, rules: list[tuple[bool, str]]) -> None:
        """`rules` are (allowed, pattern), in any order."""
        # The longest pattern decides; of two equally long ones the one that allows.
        self._rules = sorted(rules, key=lambda rule: (-len(rule[1]), not rule[0]))

    def allow(self, target: str) -> bool:
        """Whether the path and query may be fetched."""
        target = _canonical(target)
        for allowed, pattern in self._rules:
            if _matches(pattern, target):
                return allowed
        return True


EVERYTHING = Robots([])
NOTHING = Robots([(False, "/")])


def parse(text: str, agent: str) -> Robots:
    """Read the file for a program of that name; what nobody understands is passed over."""
    named: list[tuple[bool, str]] = []
    general: list[tuple[bool, str]] = []
    found = False
    current: list[list[tuple[bool, str]]] = []
    in_rules = True
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        key, value = match.group(1).lower(), match.group(2).strip()
        if key == "user-agent":
            if in_rules:
                current, in_rules = [], False
            if value == "*":
                current.append(general)
            elif value and value.lower() == agent.lower():
                current.append(named)
                found = True
        elif key in ("allow", "disallow"):
            in_rules = True
            _add(current, allowed=key == "allow", pattern=value)
    return Robots(named if found else general)


def _add(groups: list[list[tuple[bool, str]]], *, allowed: bool, pattern: str) -> None:
    if not pattern or pattern.count("*") > _MAX_STARS:
        return
    for group in groups:
        if len(group) < _MAX_RULES:
            group.append((allowed, _canonical(pattern)))


def _canonical(text: str) -> str:
    """One spelling of percent-encoding, but for encoded reserved characters."""
    pieces = re.split(r"(%2[Ff]|%3[Ff]|%25|%23)", text)
    return "".join(
        piece.upper() if place % 2 else quote(unquote(piece), safe="/*$?&=:;,@+!'()~[]")
        for place, piece in enumerate(pieces)
    )


def _matches(pattern: str, target: str) -> bool:
    """Whether a pattern with ``*`` and a final ``$`` matches from the start; in linear time."""
    ends = pattern.endswith("$")
    first, *others = (pattern[:-1] if ends else pattern).split("*")
    if not target.startswith(first):
        return False
    if not others:
        return not ends or target == first
    place = len(first)
    last = others.pop()
    for part in others:
        place = target.find(part, place)
        if place < 0:
            return False
        place += len(part)
    if ends:
        return len(target) - len(last) >= place and target.endswith(last)
    return target.find(last, place) >= 0
