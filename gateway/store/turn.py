"""Whose turn it is: work that one of several gateways on a database does, and another if it dies.

For a moment two gateways may both believe that it is theirs, so the work has to stand being done
twice. Where there are several, `gateway.store.presence.SharedTurn` decides.
"""

from typing import Protocol


class Turn(Protocol):
    """One piece of work that is done by one gateway at a time."""

    async def take(self) -> bool:
        """Whether it is this gateway's turn; once taken it mostly stays so until it ends."""
        ...


class SoleTurn:
    """The turn where there is one gateway."""

    async def take(self) -> bool:
        return True
