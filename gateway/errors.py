"""Every error the gateway raises on purpose, and how each looks on the wire.

    GatewayError
    ├── ApiError                 answered to a client, in the API's own envelope (spec/core 10.1)
    │   ├── InvalidRequest       400 invalid_request_error
    │   ├── Unauthenticated      401 authentication_error
    │   ├── Forbidden            403 permission_error
    │   ├── NotFound             404 not_found_error
    │   ├── MethodNotAllowed     405 invalid_request_error
    │   ├── Conflict             409 conflict_error (never retried: x-should-retry false)
    │   ├── PreconditionFailed   412 conflict_error
    │   ├── TooLarge             413 request_too_large
    │   ├── RateLimited          429 rate_limit_error
    │   ├── Internal             500 api_error
    │   └── Overloaded           529 overloaded_error
    ├── Fenced                   this runner lost its lease; whatever it holds is stale
    ├── ConfigError              the operator's configuration; one line, exit status 2
    └── StartError               the machine: disk, port, lock, sandbox; one line, exit status 1

A message is a sentence for the person who reads it. It names the field and the rule, and it never
carries a secret.
"""

from typing import Any, ClassVar


class GatewayError(Exception):
    """The root of the tree."""


class ApiError(GatewayError):
    """An answer to a client.

    Args:
        message: One sentence that names the field and the rule.
        code: A stable ``error.details.error_code`` (spec/core 10.1), if the case has one.
        details: More keys of ``error.details``; only together with `code`.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    retry: ClassVar[bool | None] = None
    """What ``x-should-retry`` says; None leaves the header out (spec/core 10.2)."""

    def __init__(
        self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = details or {}


class InvalidRequest(ApiError):
    status = 400
    type = "invalid_request_error"


class Unauthenticated(ApiError):
    status = 401
    type = "authentication_error"


class Forbidden(ApiError):
    status = 403
    type = "permission_error"


class NotFound(ApiError):
    status = 404
    type = "not_found_error"


class MethodNotAllowed(ApiError):
    status = 405
    type = "invalid_request_error"

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__(f"{method[:20]} is not allowed here; use {' or '.join(allowed)}.")
        self.allowed = allowed


class Conflict(ApiError):
    status = 409
    type = "conflict_error"
    retry = False


class PreconditionFailed(ApiError):
    status = 412
    type = "conflict_error"
    retry = False


class TooLarge(ApiError):
    status = 413
    type = "request_too_large"


class RateLimited(ApiError):
    status = 429
    type = "rate_limit_error"


class Internal(ApiError):
    status = 500
    type = "api_error"


class Overloaded(ApiError):
    status = 529
    type = "overloaded_error"


class Fenced(GatewayError):
    """This runner lost its lease; whatever it holds is stale."""


class ConfigError(GatewayError):
    """The configuration cannot be used."""


class StartError(GatewayError):
    """The machine does not let the gateway start."""
