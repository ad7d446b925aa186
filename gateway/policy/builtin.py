"""The built-in tools as policies see them, with two arguments that no model sends.

What a rule is about is often not what a tool takes: `derive` adds ``path``, the absolute path a
file tool would touch as far as its text says (links are the sandbox's business), and ``domain``,
the host of a URL.
"""

import posixpath
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.policy.arguments import Field, Record, Scalar, read_shape
from gateway.policy.facts import Effect
from gateway.policy.schema import ToolShape
from toolservers import schemas

SANDBOX, WEB = "sandbox", "web"
WORKDIR = "/workspace"

_EFFECTS: Mapping[str, frozenset[Effect]] = {
    "bash": frozenset({"write", "destructive", "egress"}),
    "read": frozenset({"read"}),
    "write": frozenset({"write"}),
    "edit": frozenset({"write"}),
    "glob": frozenset({"read"}),
    "grep": frozenset({"read"}),
    "web_fetch": frozenset({"read", "egress"}),
    "web_search": frozenset({"read", "egress"}),
}
_UNSEEN = frozenset({"content", "old_string", "new_string"})
"""The text of files is not what access is about."""
_PATHS = {
    "read": "file_path",
    "write": "file_path",
    "edit": "file_path",
    "glob": "path",
    "grep": "path",
}
_DERIVED = {**dict.fromkeys(_PATHS, "path"), "web_fetch": "domain"}


def shapes() -> tuple[ToolShape, ...]:
    """Every built-in tool."""
    return tuple(
        ToolShape(
            server=WEB if name.startswith("web_") else SANDBOX,
            name=name,
            arguments=_with_derived(name, read_shape(definition["inputSchema"], unseen=_UNSEEN)),
            effects=_EFFECTS[name],
        )
        for toolset in schemas.TOOLSETS.values()
        for definition in toolset
        if (name := definition["name"]) in _EFFECTS
    )


def derive(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a built-in tool, and what follows from them."""
    if name in _PATHS:
        return {**arguments, "path": absolute(arguments.get(_PATHS[name]))}
    if name == "web_fetch":
        return {**arguments, "domain": _domain(arguments.get("url"))}
    return dict(arguments)


def absolute(path: object) -> str:
    """Where a path leads from the working directory, by its text alone."""
    text = path if isinstance(path, str) else ""
    joined = posixpath.normpath(posixpath.join(WORKDIR, text))
    return "/" + joined.lstrip("/")


def _with_derived(name: str, shape: Record) -> Record:
    derived = _DERIVED.get(name)
    if derived is None:
        return shape
    others = tuple(field for field in shape.fields if field[0] != derived)
    return Record((*others, (derived, Field(Scalar("String"), required=True))), open=shape.open)


def _domain(url: object) -> str:
    try:
        host = urlsplit(url if isinstance(url, str) else "").hostname or ""
    except ValueError:
        return ""
    return host.removesuffix(".").lower()
