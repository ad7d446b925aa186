"""The domain lists of the web tools, as an agent has them (spec/core 2.7.1).

Whether the lists themselves are acceptable was checked when the agent was saved, by
`gateway.wire.formats`; what an entry covers is `toolservers.web.domains`, which refuses inside by
the same rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from toolservers.web.domains import permits


@dataclass(frozen=True, slots=True)
class Domains:
    """Where a web tool may go. Without any entry: everywhere."""

    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """The lists of a tool's entry in ``configs``; null means no list."""
        return cls(
            tuple(config.get("allowed_domains") or ()), tuple(config.get("blocked_domains") or ())
        )

    def permit(self, host: str, target: str = "/") -> bool:
        """Whether a host, in lower case, and a path and query of it, are within the lists."""
        return permits(host, target, self.allowed, self.blocked)
