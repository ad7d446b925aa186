"""Which sandbox of which session."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["tools", "web"]
"""``tools`` is where a session works and keeps its files; ``web`` reads pages and keeps nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    session: str
    kind: Kind = "tools"

    @property
    def owner(self) -> str:
        """The name of the sandbox, its layer and its row."""
        return self.session if self.kind == "tools" else f"{self.session}.{self.kind}"

    @property
    def lasting(self) -> bool:
        """Its files outlive its processes."""
        return self.kind == "tools"
