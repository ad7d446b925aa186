"""What a session gives up for itself: a third key, beside the agent's and the user's.

    metadata = {"wharfkeep.deny": "Bash, WebFetch", "wharfkeep.ask": "Write(src/**)"}

Rules as Claude Code has them (`gateway.policy.rules`), in the metadata a session is made with. They
can deny and ask and nothing else, and stay as they are, so a session only ever narrows what its
agent may do.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from gateway.policy import builtin
from gateway.policy.arguments import quote
from gateway.policy.cedar import PolicyInvalid
from gateway.policy.enterprise import Enterprise
from gateway.policy.rules import RuleInvalid, RuleLists, compile_rules
from gateway.policy.schema import Vocabulary

DENY, ASK = "wharfkeep.deny", "wharfkeep.ask"
_BETWEEN_RULES = re.compile(r",(?![^(]*\))")
_REST = '@id("rest") permit (principal, action, resource);'
_BUILTIN = Vocabulary(tools=builtin.shapes())


class Grants(NamedTuple):
    """The rules of one session, as they were written."""

    deny: str = ""
    ask: str = ""


def read_grants(metadata: Mapping[str, str]) -> Grants:
    """The rules in a session's metadata."""
    return Grants(metadata.get(DENY, ""), metadata.get(ASK, ""))


class Narrowing:
    """Makes policies of sessions' rules; `vocabulary` is what they can name."""

    def __init__(self, vocabulary: Vocabulary = _BUILTIN) -> None:
        self._vocabulary = vocabulary
        self.policies = lru_cache(maxsize=256)(self._compile)
        """``policies(grants)``: what is left. Raises `RuleInvalid`, which names the rule."""

    def _compile(self, grants: Grants) -> Enterprise:
        lists = RuleLists(name="session", deny=_rules(grants.deny), ask=_rules(grants.ask))
        text = compile_rules(lists, self._vocabulary).policies
        # Only what the rules name: a vocabulary may be large, and reading it takes a while.
        named = [each for each in self._vocabulary.tools if f"::{quote(each.action)}" in text]
        try:
            return Enterprise(f"{text}\n{_REST}", Vocabulary(tools=named))
        except PolicyInvalid as error:
            raise RuleInvalid(str(error)) from error


def _rules(text: str) -> list[str]:
    return [rule.strip() for rule in _BETWEEN_RULES.split(text) if rule.strip()]
