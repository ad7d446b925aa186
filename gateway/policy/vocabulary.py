"""``vocabulary.toml``: what an operator says of tools, servers, people and agents.

Tool definitions of MCP servers are those that were reviewed: what a server shows later is compared
with their digests. What a tool does follows from its annotations, by MCP's own defaults (a tool
that says nothing writes, destroys, and reaches an open world), unless the operator says otherwise.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, ValidationError

from gateway.policy import builtin
from gateway.policy.arguments import Scalar, read_shape
from gateway.policy.cedar import PolicyInvalid
from gateway.policy.facts import Attribute, Effect, action_of, digest_of
from gateway.policy.labels import Labels, ToolLabels
from gateway.policy.schema import AttributeType, ToolShape, Vocabulary
from gateway.settings.section import Section

FILE = "vocabulary.toml"

Definition: TypeAlias = Mapping[str, Any]
T = TypeVar("T", bound=Section)

_PORTS = {"http": 80, "https": 443}
_BUILTIN_LABELS: Mapping[str, tuple[bool, bool]] = {
    "bash": (False, True),
    "web_fetch": (False, True),
    "web_search": (False, True),
}
"""Whether a built-in tool reads what is private, and what strangers wrote; the others neither."""


class _Tool(Section):
    """What the operator says of one tool; what is left out follows from its server."""

    effects: list[Effect] | None = None
    reads_private: bool | None = None
    reads_untrusted: bool | None = None
    data_label: str | None = None
    spend: str | None = None


class _Server(Section):
    url: str = ""
    tools_file: str = ""
    definitions: list[dict[str, Any]] = Field(default=[])
    reads_private: bool | None = None
    reads_untrusted: bool | None = None
    data_label: str = ""
    tools: dict[str, _Tool] = Field(default={})


class _File(Section):
    attributes: dict[str, AttributeType] = Field(default={})
    users: dict[str, dict[str, Attribute]] = Field(default={})
    groups: dict[str, list[str]] = Field(default={})
    agent_classes: dict[str, list[str]] = Field(default={})
    server_classes: dict[str, list[str]] = Field(default={})
    servers: dict[str, _Server] = Field(default={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Everything a vocabulary says."""

    vocabulary: Vocabulary
    labels: Labels
    pins: Mapping[str, str]
    """The digest of each reviewed definition, by action."""
    servers: Mapping[str, str]
    """Names of MCP servers by their normalised URL."""
    groups: Mapping[str, frozenset[str]]
    """Members by the name of the group, and likewise below."""
    agent_classes: Mapping[str, frozenset[str]]
    server_classes: Mapping[str, frozenset[str]]
    users: Mapping[str, tuple[tuple[str, Attribute], ...]]
    """Attributes by a user's id or e-mail address, sorted by name."""


def read_words(table: Mapping[str, Any], files: Mapping[str, str]) -> Words:
    """Make sense of the file.

    Args:
        table: The file, as TOML says it.
        files: The text of every file beside it, by its path in the directory.

    Raises:
        PolicyInvalid: A key is unknown, or a value makes no sense; every problem names the key.
    """
    file = validated(_File, table, FILE)
    problems: list[str] = []
    tools: list[tuple[ToolShape, ToolLabels]] = []
    pins: dict[str, str] = {}
    for name, server in file.servers.items():
        try:
            definitions = _definitions(name, server, files)
        except PolicyInvalid as error:
            problems += error.problems
            continue
        for definition in definitions:
            said = server.tools.get(definition["name"], _Tool())
            tools.append(_declare(name, server, definition, said))
            pins[action_of(name, definition["name"])] = digest_of(definition)
    own = {tool.name: tool for tool in builtin.shapes()}
    for tool in own.values():
        server = file.servers.get(tool.server, _Server())
        tools.append(_relabel(tool, server, server.tools.get(tool.name, _Tool())))
    problems += _find_problems(file, tools)
    if problems:
        raise PolicyInvalid(problems)
    return Words(
        vocabulary=Vocabulary(tools=[tool for tool, _ in tools], attributes=file.attributes),
        labels=Labels({tool.action: labels for tool, labels in tools}),
        pins=pins,
        servers={
            normalise(server.url): name for name, server in file.servers.items() if server.url
        },
        groups=_members(file.groups),
        agent_classes=_members(file.agent_classes),
        server_classes=_members(file.server_classes),
        users={member(user): tuple(sorted(of.items())) for user, of in file.users.items()},
    )


def validated(kind: type[T], table: Mapping[str, Any], file: str) -> T:
    """Read a table of a file.

    Raises:
        PolicyInvalid: A key is unknown or a value of the wrong type; file and key are named.
    """
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise PolicyInvalid(
            [
                f"{file}: {'.'.join(map(str, each['loc']))}: "
                + ("unknown key" if each["type"] == "extra_forbidden" else each["msg"])
                for each in error.errors()
            ]
        ) from error


def member(name: str) -> str:
    """A user's id, or e-mail address, as it is compared."""
    return name.lower() if "@" in name else name


def normalise(url: str) -> str:
    """A server's URL as everything compares it: no fragment, no default port, no last slash.

    Raises:
        ValueError: It is no http or https URL.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").removesuffix(".")
    if parts.scheme not in _PORTS or not host:
        raise ValueError(f"{url}: must be an http or https URL")
    port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{shown}{port}", parts.path.rstrip("/"), parts.query, ""))


def _members(named: Mapping[str, list[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(map(member, members)) for name, members in named.items()}


def _definitions(name: str, server: _Server, files: Mapping[str, str]) -> list[dict[str, Any]]:
    """The reviewed tools of a server, from the vocabulary itself or the file that it names."""
    where = f"{FILE}: servers.{name}"
    given: object = server.definitions
    if server.tools_file:
        where = server.tools_file
        given = _listed(where, files)
    found = [each for each in given if _is_definition(each)] if isinstance(given, list) else []
    names = Counter(each["name"] for each in found)
    problems = [f"{where}: two tools are named {each}" for each, n in names.items() if n > 1]
    if not isinstance(given, list) or len(found) < len(given):
        problems.append(f"{where}: every tool needs a name, and a JSON object as inputSchema")
    if problems:
        raise PolicyInvalid(problems)
    return found


def _listed(path: str, files: Mapping[str, str]) -> object:
    if path not in files:
        raise PolicyInvalid([f"{FILE}: there is no file {path} beside it"])
    try:
        answer = json.loads(files[path])
    except (ValueError, RecursionError) as error:
        raise PolicyInvalid([f"{path}: not JSON: {error}"]) from error
    if isinstance(answer, dict):
        answer = answer.get("result", answer)
    return answer.get("tools") if isinstance(answer, dict) else answer


def _is_definition(given: object) -> bool:
    if not isinstance(given, dict):
        return False
    try:
        json.dumps(given)
    except TypeError:
        return False  # TOML has dates
    name, schema = given.get("name"), given.get("inputSchema", {})
    return isinstance(name, str) and bool(name) and isinstance(schema, dict)


def _declare(
    name: str, server: _Server, definition: Definition, said: _Tool
) -> tuple[ToolShape, ToolLabels]:
    notes = definition.get("annotations")
    effects = _effects(notes if isinstance(notes, dict) else {})
    tool = ToolShape(
        server=name,
        name=definition["name"],
        arguments=read_shape(definition.get("inputSchema", {})),
        effects=_said_effects(said, effects),
    )
    return tool, _label(tool, server, said, private=True, untrusted=True)


def _relabel(tool: ToolShape, server: _Server, said: _Tool) -> tuple[ToolShape, ToolLabels]:
    """A built-in tool as the operator sees it."""
    private, untrusted = _BUILTIN_LABELS.get(tool.name, (False, False))
    seen = ToolShape(
        server=tool.server,
        name=tool.name,
        arguments=tool.arguments,
        effects=_said_effects(said, tool.effects),
    )
    return seen, _label(seen, server, said, private=private, untrusted=untrusted)


def _effects(notes: Mapping[str, Any]) -> frozenset[Effect]:
    effects: set[Effect] = {"read"} if notes.get("readOnlyHint") is True else {"write"}
    if "write" in effects and notes.get("destructiveHint") is not False:
        effects.add("destructive")
    if notes.get("openWorldHint") is not False:
        effects.add("egress")
    return frozenset(effects)


def _said_effects(said: _Tool, found: frozenset[Effect]) -> frozenset[Effect]:
    effects = set(found if said.effects is None else said.effects)
    if said.spend:
        effects.add("money")
    return frozenset(effects)


def _label(
    tool: ToolShape, server: _Server, said: _Tool, *, private: bool, untrusted: bool
) -> ToolLabels:
    return ToolLabels(
        effects=tool.effects,
        reads_private=_first(said.reads_private, server.reads_private, private),
        reads_untrusted=_first(said.reads_untrusted, server.reads_untrusted, untrusted),
        data_label=server.data_label if said.data_label is None else said.data_label,
        spend=said.spend,
    )


def _first(*said: bool | None) -> bool:
    return next(each for each in said if each is not None)


def _find_problems(file: _File, tools: Iterable[tuple[ToolShape, ToolLabels]]) -> list[str]:
    known = {(tool.server, tool.name): tool for tool, _ in tools}
    return [
        *_server_problems(file),
        *_tool_problems(file, known),
        *(
            f"{FILE}: server_classes.{name}: there is no server {member}"
            for name, members in file.server_classes.items()
            for member in members
            if member not in {server for server, _ in known} | file.servers.keys()
        ),
        *(
            f"{FILE}: users.{user}.{name}: declare it in attributes, as the type it has"
            for user, attributes in file.users.items()
            for name, value in attributes.items()
            if _type_of(value) != file.attributes.get(name)
        ),
    ]


def _server_problems(file: _File) -> Iterator[str]:
    urls: dict[str, str] = {}
    for name, server in file.servers.items():
        where = f"{FILE}: servers.{name}"
        if name in (builtin.SANDBOX, builtin.WEB):
            if server.url or server.tools_file or server.definitions:
                yield f"{where}: is the gateway's own; only labels and effects can be changed"
            continue
        if action_of(name, "x") != f"{name}.x" or name == "unlisted":
            yield f"{where}: name it with letters, digits, _ and -, and not unlisted"
        try:
            url = normalise(server.url)
        except ValueError as error:
            yield f"{where}.url: {error}"
            continue
        if url in urls:
            yield f"{where}.url: is the URL of {urls[url]} too"
        urls[url] = name


def _tool_problems(file: _File, known: Mapping[tuple[str, str], ToolShape]) -> Iterator[str]:
    for name, server in file.servers.items():
        for tool, said in server.tools.items():
            where = f"{FILE}: servers.{name}.tools.{tool}"
            shape = known.get((name, tool))
            if shape is None:
                yield f"{where}: the server has no such tool"
                continue
            if said.spend is None:
                continue
            spends = dict(shape.arguments.fields).get(said.spend)
            if spends is None or spends.shape != Scalar("Long"):
                yield f"{where}.spend: {said.spend} must be an integer argument of the tool"


def _type_of(value: Attribute) -> AttributeType:
    if isinstance(value, bool):
        return "Bool"
    return "Long" if isinstance(value, int) else "String"
