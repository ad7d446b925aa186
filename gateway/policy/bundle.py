"""A policy directory, parsed: the text of its files in, one checked set out. No file is read here.

    *.cedar           policies, each with an @id of its own
    rules.toml        allow, ask and deny lists (see `gateway.policy.rules`)
    vocabulary.toml   tools, servers, groups and classes (see `gateway.policy.vocabulary`)
    shadow/*.cedar    policies that decide nothing: what they would do is only recorded
    tests/*.toml      cases (see `gateway.policy.cases`); they are no part of the set

Whatever is wrong is said with file and key, or with file and line.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pydantic import Field

from gateway.policy.arguments import quote
from gateway.policy.cedar import PolicyInvalid
from gateway.policy.enterprise import Enterprise
from gateway.policy.rules import Compiled, RuleInvalid, RuleLists, compile_rules
from gateway.policy.ruleset import Rules
from gateway.policy.sources import Source, find_problems, join, locate
from gateway.policy.vocabulary import FILE as VOCABULARY
from gateway.policy.vocabulary import Words, read_words, validated
from gateway.settings.section import Section

RULES = "rules.toml"
DECIDES = ("*.cedar", RULES, VOCABULARY, "shadow/*.cedar", "*.json")
"""What a set is made of."""
CASES = "tests/*.toml"
_INTERNAL = re.compile(r"for policy `policy\d+`, ")
"""Cedar's own name for a policy, which nobody has given it."""


class _Lists(Section):
    allow: list[str] = Field(default=[])
    ask: list[str] = Field(default=[])
    deny: list[str] = Field(default=[])


class _RulesFile(Section):
    everyone: _Lists = _Lists()
    agents: dict[str, _Lists] = Field(default={})
    """By the name of an agent class."""
    groups: dict[str, _Lists] = Field(default={})
    """By the name of a group."""


def digest_files(files: Mapping[str, str]) -> str:
    """The digest of a set, by the text of its files: the same files, the same digest."""
    canonical = json.dumps(select_files(files), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def select_files(files: Mapping[str, str]) -> dict[str, str]:
    """Those that the set is made of."""
    return {path: text for path, text in sorted(files.items()) if _matches(path, *DECIDES)}


def select_cases(files: Mapping[str, str]) -> dict[str, str]:
    """Those that hold cases."""
    return {path: text for path, text in sorted(files.items()) if _matches(path, CASES)}


def read_bundle(files: Mapping[str, str]) -> Rules:
    """Make a set of a directory's files. Takes a while for thousands of policies; on any thread.

    Args:
        files: The text of each file by its path in the directory, with ``/``.

    Raises:
        PolicyInvalid: It cannot be used; every problem names its file.
    """
    files = select_files(files)
    words = read_words(_toml(files, VOCABULARY), files)
    sources = [Source(path, text) for path, text in files.items() if _matches(path, "*.cedar")]
    shadows = [Source(path, text) for path, text in files.items() if path.startswith("shadow/")]
    compiled, warnings = _compile(_toml(files, RULES), words)
    problems = [problem for source in (*sources, *shadows) for problem in find_problems(source)]
    if not compiled and not any("(" in source.text for source in sources):
        problems.append("there are no policies: an empty set would deny everything")
    if problems:
        raise PolicyInvalid(problems)
    decisive = [*sources, Source(RULES, compiled)]
    places = dict.fromkeys(locate([decisive[-1]]), RULES) | locate([*sources, *shadows])
    return Rules(
        digest=digest_files(files),
        enterprise=_enterprise(decisive, words, places),
        shadow=_enterprise([*decisive, *shadows], words, places) if shadows else None,
        labels=words.labels,
        groups=_invert(words.groups),
        agent_classes=_invert(words.agent_classes),
        server_classes=_invert(words.server_classes),
        users=words.users,
        servers=words.servers,
        pins=words.pins,
        places=places,
        warnings=warnings,
    )


def read_toml(path: str, text: str) -> dict[str, Any]:
    """A TOML file.

    Raises:
        PolicyInvalid: It is not TOML.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyInvalid([f"{path}: {error}"]) from error


def _toml(files: Mapping[str, str], path: str) -> dict[str, Any]:
    return read_toml(path, files.get(path, ""))


def _compile(table: Mapping[str, Any], words: Words) -> tuple[str, tuple[str, ...]]:
    file = validated(_RulesFile, table, RULES)
    sections = {"everyone": ("principal", file.everyone)}
    problems: list[str] = []
    for kind, entity, named, known in (
        ("agents", "AgentClass", file.agents, words.agent_classes),
        ("groups", "Group", file.groups, words.groups),
    ):
        for name, lists in named.items():
            sections[f"{kind}.{name}"] = (f"principal in {entity}::{quote(name)}", lists)
            if name not in known:
                problems.append(f"{RULES}: {kind}.{name}: {VOCABULARY} knows no such name")
    done: list[Compiled] = []
    for section, (principal, lists) in sections.items():
        try:
            given = RuleLists(name=section, principal=principal, **lists.model_dump())
            done.append(compile_rules(given, words.vocabulary))
        except RuleInvalid as error:
            problems.append(f"{RULES}: {section}: {error}")
    if problems:
        raise PolicyInvalid(problems)
    warnings = [f"{RULES}: {warning}" for each in done for warning in each.warnings]
    return "\n".join(each.policies for each in done), tuple(warnings)


def _enterprise(sources: Sequence[Source], words: Words, places: Mapping[str, str]) -> Enterprise:
    try:
        return Enterprise(join(list(sources)), words.vocabulary)
    except PolicyInvalid as error:
        raise PolicyInvalid([_placed(problem, places) for problem in error.problems]) from error


def _placed(problem: str, places: Mapping[str, str]) -> str:
    """A problem of Cedar's, which begins with the policy's id, with the place before it."""
    plain = _INTERNAL.sub("", problem)
    found = [name for name in places if plain.startswith(f"{name}: ")]
    return f"{places[max(found, key=len)]}: {plain}" if found else plain


def _invert(named: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Names by member, from members by name."""
    names: dict[str, set[str]] = {}
    for name, members in named.items():
        for member in members:
            names.setdefault(member, set()).add(name)
    return {member: frozenset(within) for member, within in names.items()}


def _matches(path: str, *patterns: str) -> bool:
    """Whether a path is one of these; a ``*`` stays within its directory."""
    return any(
        path.count("/") == pattern.count("/") and fnmatchcase(path, pattern) for pattern in patterns
    )
