"""The error envelope and the headers of every answer (spec/core 10, spec/resources 8.2, 8.3)."""

from typing import Any, TypeAlias

from pydantic_core import to_json

from gateway.errors import ApiError, Overloaded, RateLimited, Unauthenticated

Headers: TypeAlias = list[tuple[bytes, bytes]]
"""Raw ASGI headers."""

RETRY_AFTER = 1.0
"""Seconds a client is told to wait when nobody knows better."""


def error_body(error: ApiError, request_id: str) -> dict[str, Any]:
    """The JSON of a failed request; ``details`` only when there is a code."""
    inner: dict[str, Any] = {"type": error.type, "message": error.message}
    if error.code is not None:
        inner["details"] = {"error_code": error.code, **error.details}
    return {"type": "error", "error": inner, "request_id": request_id}


def error_bytes(error: ApiError, request_id: str) -> bytes:
    return to_json(error_body(error, request_id))


def headers(
    request_id: str, *, workspace: str | None = None, organization: str | None = None
) -> Headers:
    """The headers of any answer; the workspace only after authentication."""
    found = [(b"request-id", request_id.encode())]
    if workspace is not None:
        found.append((b"anthropic-workspace-id", workspace.encode()))
    if organization is not None:
        found.append((b"anthropic-organization-id", organization.encode()))
    return found


def error_headers(
    error: ApiError,
    request_id: str,
    *,
    workspace: str | None = None,
    organization: str | None = None,
    retry_after: float | None = None,
) -> Headers:
    """The headers of a failed request: as above, and what a client should do next."""
    if isinstance(error, Unauthenticated):
        workspace = organization = None
    found = headers(request_id, workspace=workspace, organization=organization)
    if error.retry is not None:
        found.append((b"x-should-retry", b"true" if error.retry else b"false"))
    if retry_after is None and isinstance(error, RateLimited | Overloaded):
        retry_after = RETRY_AFTER
    if retry_after is not None:
        found.append((b"retry-after", f"{retry_after:g}".encode()))
    return found
