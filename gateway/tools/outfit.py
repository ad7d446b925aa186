"""What a sandbox is made of, and what it is given once it runs.

`Outfitter` answers two questions for `gateway.tools.connect`: how a sandbox has to be started, and
what its programs find in their environment when it is claimed. It starts nothing itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sandbox.contract import Limits, Requirement, Sandbox, SandboxSpec

Kind: TypeAlias = Literal["tools", "web"]
"""``tools`` is where a session works and keeps its files; ``web`` reads pages and keeps nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which sandbox of which session."""

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


class Outfitter:
    """Fits out the sandboxes of every session."""

    def __init__(self, *, limits: Limits, require: frozenset[Requirement]) -> None:
        self._limits = limits
        self._require = require

    async def prepare(self, place: Place) -> SandboxSpec:
        """Say how the sandbox is started.

        Raises:
            SandboxError: Something it needs cannot be had; the message is for the model to read.
        """
        return SandboxSpec(id=place.owner, limits=self._limits, require=self._require)

    async def furnish(self, place: Place, sandbox: Sandbox) -> Mapping[str, str]:
        """Give a sandbox that has just started what it may reach; returns its environment."""
        del place, sandbox
        return {}

    async def release(self, place: Place) -> None:
        """The sandbox is gone: take back what `furnish` gave."""
        del place
