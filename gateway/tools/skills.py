"""Skills that come with a repository: ``.claude/skills/NAME/SKILL.md`` (spec/resources K-35).

The tree is a stranger's. No link is followed, what is read is bounded, and of a file only a name
and one line about it are kept, as plain text.
"""

import re
from contextlib import aclosing
from dataclasses import dataclass

import anyio

from sandbox.contract import Sandbox, SandboxError

MAX_SKILLS = 100
"""Of one repository."""
MAX_FILE = 256 * 1024
"""Bytes of a file that is read at all."""

_SECONDS = 30.0
_MAX_LIST = 64 * 1024
_MAX_DESCRIPTION = 1024
_DIRECTORY = "/.claude/skills/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FIELD = re.compile(r"(name|description):(.*)")
_BLOCK = re.compile(r"[|>][+-]?")
_FIND = (
    'exec </dev/null 2>/dev/null; find "$1/.claude" -mindepth 3 -maxdepth 3 -type f -name SKILL.md'
    f" -print0 | head -c {_MAX_LIST}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """What the model is told of a skill."""

    name: str
    description: str
    path: str


async def find_skills(sandbox: Sandbox, root: str) -> list[Skill]:
    """The skills of the repository at `root`, in the order of their directories.

    Raises:
        SandboxError: The sandbox failed, or took too long.
    """
    try:
        with anyio.fail_after(_SECONDS):
            return [await _read(sandbox, root, name) for name in await _list(sandbox, root)]
    except TimeoutError as error:
        raise SandboxError(f"looking for skills took more than {_SECONDS:g} seconds") from error


async def _list(sandbox: Sandbox, root: str) -> list[str]:
    """The names of the directories that hold a skill."""
    output = b""
    channel = await sandbox.open("spawn", argv=["/bin/sh", "-c", _FIND, "sh", root])
    async with aclosing(channel):
        while len(output) <= _MAX_LIST and (data := await channel.receive()):
            output += data
    names: set[str] = set()
    for path in output.split(b"\0")[:-1]:
        top, _, rest = path.decode(errors="replace").partition(f"{root}{_DIRECTORY}")
        name = rest.removesuffix("/SKILL.md")
        if not top and _NAME.fullmatch(name):
            names.add(name)
    return sorted(names)[:MAX_SKILLS]


async def _read(sandbox: Sandbox, root: str, name: str) -> Skill:
    path = f"{root}{_DIRECTORY}{name}/SKILL.md"
    try:
        text = (await sandbox.pull(path, max_bytes=MAX_FILE)).decode(errors="replace")
    except (SandboxError, FileNotFoundError):
        text = ""  # too large: the agent may still read it
    return describe(text, directory=name, path=path)


def describe(text: str, *, directory: str, path: str) -> Skill:
    """What the front matter of a SKILL.md says; a name that is none is its directory's instead."""
    found = _front_matter(text)
    name = found.get("name", "")
    return Skill(
        name=name if _NAME.fullmatch(name) else directory,
        description=found.get("description", "")[:_MAX_DESCRIPTION],
        path=path,
    )


def _front_matter(text: str) -> dict[str, str]:
    """The two fields that are wanted; of YAML only what is written there in practice."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    found: dict[str, str] = {}
    current = None
    for line in lines[1:]:
        if line.strip() == "---":
            return {name: _plain(value) for name, value in found.items()}
        if match := _FIELD.fullmatch(line):
            current, value = match[1], match[2].strip()
            found[current] = "" if _BLOCK.fullmatch(value) else value
        elif line[:1].isspace() and current is not None:
            found[current] += f" {line.strip()}"
        elif line.strip():
            current = None
    return {}


def _plain(value: str) -> str:
    """One line of printable text without anything that could end the text around it."""
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":  # noqa: PLR2004 - a pair
        value = value[1:-1]
    shown = "".join(c if c.isprintable() and c not in "<>" else " " for c in value)
    return " ".join(shown.split())
