"""The bodies that change what policies decide: ours, in the manner of the SDK's."""

from typing import Literal, Required

from typing_extensions import TypedDict


class SwitchThrowParams(TypedDict, total=False):
    kind: Required[Literal["tool", "server", "agent", "user", "workspace"]]
    subject: Required[str]
    """A tool as policies name it, a server's name or URL, or an id."""
    reason: Required[str]
    """Why, for those whose calls it stops."""
    seconds: float
    """After which it lifts itself; without it somebody has to."""


class SwitchLiftParams(TypedDict, total=False):
    kind: Required[Literal["tool", "server", "agent", "user", "workspace"]]
    subject: Required[str]


class EnforcementParams(TypedDict, total=False):
    enforced: Required[bool]
    reason: str
    """Why it is switched off; needed then."""
    seconds: float
    """For how long, at most a day; needed then."""
