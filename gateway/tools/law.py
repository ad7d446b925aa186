"""What the policies in force say of a call: facts gathered, and the rulebook asked.

One question for the list that the model is shown and one for a call, both from the same facts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gateway.clock import Clock
from gateway.policy import builtin
from gateway.policy.facts import ApprovalFacts, CallFacts, Facts, Standing, ToolFacts
from gateway.policy.labels import ToolLabels
from gateway.rulebook import Judgement, Rulebook
from gateway.tools.catalog import Tool

_MOST_CENTS = 2**53


@dataclass(frozen=True, slots=True)
class Law:
    """The rulebook, asked about tools of a catalog.

    Args:
        undelivered: Says why audit records do not reach where they must; empty while they do.
    """

    rulebook: Rulebook
    _clock: Clock
    undelivered: Callable[[], str] = str

    def judge(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        standing: Standing,
        approval: ApprovalFacts | None = None,
    ) -> Judgement:
        """Say what holds for one call."""
        if tool.kind == "builtin":
            arguments = builtin.derive(tool.name, arguments)
        facts = self._facts(tool, standing, approval)
        return self.rulebook.judge(CallFacts(self.name(tool), arguments), facts)

    def lists(self, tool: Tool, standing: Standing) -> bool:
        """Whether some call of the tool could be allowed, or asked about."""
        if tool.permission is None:
            return True
        return tool.permission.enabled and self.rulebook.reachable(
            self.name(tool), self._facts(tool, standing, None)
        )

    def name(self, tool: Tool) -> ToolFacts:
        """The tool as policies name it: operators and agents may call one server differently."""
        if tool.url is None:
            return tool.facts
        return replace(tool.facts, server=self.rulebook.rules.kind(tool.url))

    def held(self, tool: Tool) -> bool:
        """Whether a call that may run must wait until audit records are delivered again."""
        return bool(self.undelivered()) and not self.labels(tool).read_only

    def labels(self, tool: Tool) -> ToolLabels:
        """What the tool does to the session that calls it."""
        return self.rulebook.rules.labels.of(self.name(tool).action)

    def effects(self, tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
        """What a call does to its session; says nothing of what it does not do."""
        known = self.labels(tool)
        labels = {
            "private": known.reads_private,
            "untrusted": known.reads_untrusted,
            f"data:{known.data_label}": bool(known.data_label),
        }
        said = sorted(label for label, holds in labels.items() if holds)
        cents = self.cents(tool, arguments)
        return {**({"labels": said} if said else {}), **({"cents": cents} if cents else {})}

    def cents(self, tool: Tool, arguments: dict[str, Any]) -> int:
        """What a call spends, in US cents, where its tool says which argument tells."""
        named = self.labels(tool).spend
        amount = arguments.get(named) if named is not None else 0
        return min(max(amount, 0), _MOST_CENTS) if type(amount) is int else 0

    def _facts(self, tool: Tool, standing: Standing, approval: ApprovalFacts | None) -> Facts:
        return Facts(
            agent=standing.agent,
            user=standing.user,
            server=self.rulebook.rules.server(tool.url or tool.facts.server, self.name(tool)),
            session=standing.session,
            now=self._clock.now(),
            approval=approval,
            source_ip=standing.source_ip,
        )
