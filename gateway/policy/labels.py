"""What calling a tool does to its session: the labels that operators give to tools and servers.

A label says nothing of whether a call may run. It says what is true of the session afterwards,
which later calls are judged by; so whoever said nothing of a tool is assumed to have said the
worst.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.policy.facts import Effect

_WORST: frozenset[Effect] = frozenset({"write", "destructive", "egress", "money"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLabels:
    """What is known of one tool."""

    effects: frozenset[Effect] = _WORST
    reads_private: bool = True
    """What it returns is not for everyone."""
    reads_untrusted: bool = True
    """Strangers may have written what it returns."""
    data_label: str = ""
    """A class of data, such as ``confidential``, that its results belong to."""
    spend: str | None = None
    """The argument that says how many cents a call spends, if one does."""

    @property
    def read_only(self) -> bool:
        """It changes nothing: calling it again would do no harm."""
        return not self.effects & {"write", "destructive", "money"}


UNLABELLED = ToolLabels()
"""A tool that nobody declared."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of all tools that were declared, by action."""

    tools: Mapping[str, ToolLabels] = field(default_factory=dict[str, ToolLabels])

    def of(self, action: str) -> ToolLabels:
        """The labels of a tool, by its name in policies, such as ``github.create_issue``."""
        return self.tools.get(action, UNLABELLED)
