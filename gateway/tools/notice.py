"""What a client has to know of a session's surroundings: the session goes on without it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Notice:
    """One ``session.error`` that is tried again by itself (spec/core 8.3)."""

    type: str
    """The ``error.type``."""
    message: str
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    """What that type has besides."""
