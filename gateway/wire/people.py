"""The bodies that make keys and users: ours, in the manner of the SDK's."""

from typing import Literal, Required

from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12


class APIKeyCreateParams(TypedDict, total=False):
    name: Required[str]
    workspace_id: str | None
    """The default workspace, unless it says another."""
    organization: bool | None
    """The key is the organization's: it may name any workspace."""
    principal_id: str | None
    """The user or service account that acts with it."""
    scopes: list[str] | None
    """What it may do; everything in its workspace, unless it says so."""
    expires_in_seconds: int | None


class UserCreateParams(TypedDict, total=False):
    email: Required[str]
    name: str | None
    """The address, unless it says another."""
    role: Literal["admin", "billing", "claude_code_user", "developer", "user"] | None
