"""Allow, ask and deny lists, as people know them from Claude Code, compiled to Cedar.

    Bash(npm run test:*)   Read(./.env)   WebFetch(domain:example.com)   mcp__github__get_*

A deny becomes a forbid, an ask a forbid unless approved, an allow a permit; since forbid wins, deny
comes before ask and ask before allow, whatever the order. A rule that could never match is refused
with the reason, because nobody writes one on purpose.

Rules about Bash look at the text of a command, and one command can hold others. They are a
convenience for those who mean well; what holds against others is the sandbox and its network.
"""

import fnmatch
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias

from gateway.policy.builtin import WORKDIR
from gateway.policy.schema import ToolShape, Vocabulary, quote

Kind: TypeAlias = Literal["deny", "ask", "allow"]

_RULE = re.compile(r"(?P<tool>[A-Za-z]+)(?:\((?P<about>.*)\))?", re.DOTALL)
_HOME = "/home/agent"
_MOST_DEPTHS = 4
_PATH_TOOLS = {
    "Read": ("sandbox.read",),
    "Write": ("sandbox.write",),
    # Claude Code applies them to every tool that edits files.
    "Edit": ("sandbox.edit", "sandbox.write"),
    "Glob": ("sandbox.glob",),
    "Grep": ("sandbox.grep",),
}
_TOOLS: Mapping[str, tuple[str, ...]] = {
    "Bash": ("sandbox.bash",),
    "WebFetch": ("web.web_fetch",),
    "WebSearch": ("web.web_search",),
    **_PATH_TOOLS,
}
_EFFECT: Mapping[Kind, str] = {"deny": "forbid", "ask": "forbid", "allow": "permit"}
_MARK: Mapping[Kind, str] = {"deny": "", "ask": ' @ask("")', "allow": ""}
_UNLESS: Mapping[Kind, str] = {
    "deny": "",
    "ask": " unless { context.approval.granted }",
    "allow": "",
}


class RuleInvalid(Exception):
    """A rule that cannot be used; the text names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLists:
    """Rules for whoever is in `principal`, a scope of Cedar's such as ``principal is Agent``."""

    name: str
    """Begins the ids of the policies."""
    principal: str = "principal"
    deny: Sequence[str] = ()
    ask: Sequence[str] = ()
    allow: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    policies: str
    warnings: tuple[str, ...]


def compile_rules(lists: RuleLists, vocabulary: Vocabulary) -> Compiled:
    """Write the policies of some rules.

    Raises:
        RuleInvalid: One is malformed, or matches no tool that there is.
    """
    policies: list[str] = []
    warnings: list[str] = []
    kinds: tuple[tuple[Kind, Sequence[str]], ...] = (
        ("deny", lists.deny),
        ("ask", lists.ask),
        ("allow", lists.allow),
    )
    for kind, rules in kinds:
        for number, rule in enumerate(rules):
            actions, condition = _read(rule, kind, vocabulary)
            name = f"{lists.name}:{kind}:{number}"
            scope = f"{lists.principal}, {_any_of(actions)}, resource"
            head = f"@id({quote(name)}) @rule({quote(rule)}){_MARK[kind]}"
            body = f"{_EFFECT[kind]} ({scope}){_when(condition)}{_UNLESS[kind]};"
            policies.append(f"{head}\n{body}")
            if condition and "sandbox.bash" in actions:
                warnings.append(f"{rule}: a rule about Bash is not a boundary")
    return Compiled("\n".join(policies), tuple(warnings))


def _any_of(actions: Sequence[str]) -> str:
    return f"action in [{', '.join(f'Action::{quote(action)}' for action in actions)}]"


def _when(condition: str) -> str:
    return f" when {{ {condition} }}" if condition else ""


def _read(rule: str, kind: Kind, vocabulary: Vocabulary) -> tuple[list[str], str]:
    """The actions a rule is about, and the condition on their arguments.

    Only ``*`` is special in a pattern of Cedar's, and it is special in rules too.
    """
    if rule.startswith("mcp__"):
        return _mcp(rule, vocabulary), ""
    found = _RULE.fullmatch(rule)
    if found is None or found["tool"] not in _TOOLS:
        raise RuleInvalid(f"{rule}: there is no such tool; known are {', '.join(_TOOLS)}")
    actions = [each for each in _TOOLS[found["tool"]] if vocabulary.tool(each) is not None]
    about = found["about"]
    if about is None:
        return actions, ""
    return actions, _condition(found["tool"])(rule, about, kind)


def _mcp(rule: str, vocabulary: Vocabulary) -> list[str]:
    _, server, *rest = rule.split("__", 2)
    pattern = rest[0] if rest else "*"
    if not server or any(character in server for character in "*?["):
        raise RuleInvalid(f"{rule}: the server has to be named, without a wildcard")
    tools: list[ToolShape] = [tool for tool in vocabulary.tools if tool.server == server]
    if not tools:
        raise RuleInvalid(f"{rule}: there is no server {server}")
    actions = [tool.action for tool in tools if fnmatch.fnmatchcase(tool.name, pattern)]
    if not actions:
        raise RuleInvalid(f"{rule}: no tool of {server} matches {pattern}")
    return actions


def _condition(tool: str) -> Callable[[str, str, Kind], str]:
    if tool == "Bash":
        return _bash
    if tool == "WebFetch":
        return _domain
    if tool in _PATH_TOOLS:
        return _path
    return _nothing


def _nothing(rule: str, about: str, kind: Kind) -> str:
    del about, kind
    raise RuleInvalid(f"{rule}: this tool takes no specifier")


def _bash(rule: str, about: str, kind: Kind) -> str:
    del kind
    pattern = about[:-2] + " *" if about.endswith(":*") else about
    if not pattern.strip(" *"):
        raise RuleInvalid(f"{rule}: name a command, or leave the parentheses out")
    # "git *" is git with any arguments, and git without.
    patterns = [pattern, pattern.removesuffix(" *")] if pattern.endswith(" *") else [pattern]
    likes = " || ".join(f"context.args.command like {quote(each)}" for each in patterns)
    return f"context.args has command && ({likes})"


def _domain(rule: str, about: str, kind: Kind) -> str:
    del kind
    domain = about.removeprefix("domain:").strip().lower()
    if not about.startswith("domain:") or not domain or set(domain) & set("/: "):
        raise RuleInvalid(f"{rule}: write WebFetch(domain:HOST)")
    bare = domain.removeprefix("*.")
    if "*" in bare:
        raise RuleInvalid(f"{rule}: a wildcard can only stand for subdomains, as in *.example.com")
    below = f"context.args.domain like {quote('*.' + bare)}"
    return below if bare != domain else f"context.args.domain == {quote(bare)} || {below}"


def _path(rule: str, about: str, kind: Kind) -> str:
    if not about:
        raise RuleInvalid(f"{rule}: name a path, or leave the parentheses out")
    if kind == "allow" and re.search(r"(?<!\*)\*(?!\*)", about):
        raise RuleInvalid(f"{rule}: in an allow rule write ** ; a single * would reach deeper too")
    if about.startswith("//"):
        full = about[1:]
    elif about.startswith("~/"):
        full = _HOME + about[1:]
    elif "/" not in about.removeprefix("**/"):
        full = f"*/{about.removeprefix('**/')}"  # as in .gitignore: a name is meant wherever it is
    else:
        full = posixpath.join(WORKDIR, about.removeprefix("./").lstrip("/"))
    if ".." in full.split("/"):
        raise RuleInvalid(f"{rule}: a path with .. never matches; write where it leads")
    parts = full.rstrip("/").split("/**/")
    if len(parts) > _MOST_DEPTHS:
        raise RuleInvalid(f"{rule}: more than {_MOST_DEPTHS - 1} times /**/")
    # Between the parts there may be directories, or none.
    wholes = ["".join(pieces) for pieces in product(parts[:1], *_joints(parts[1:]))]
    patterns = [re.sub(r"\*+", "*", whole) for whole in wholes]
    # Naming a directory means everything in it.
    patterns += [f"{pattern}/*" for pattern in patterns if not pattern.endswith("/*")]
    return " || ".join(f"context.args.path like {quote(pattern)}" for pattern in patterns)


def _joints(parts: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"/*/{part}", f"/{part}") for part in parts]
