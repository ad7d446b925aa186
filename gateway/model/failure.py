"""From whatever went wrong with an endpoint to one `ModelError`.

Pure. The endpoint's own words are shown when they are words (an error object's message), cut
short, and without anything that was sent as a secret.
"""

import json
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from gateway.model.contract import Failure, ModelError

_WORDS = 300
"""Characters of an endpoint's own message that are passed on."""
_SHORTEST_SECRET = 4
_LONGEST_WAIT = 3600.0
_NUMBER = re.compile(r"\d+(\.\d+)?")
_OVERFLOW = re.compile(
    r"prompt is too long|input is too long|too many (input )?tokens|request_too_large"
    r"|context[ _-]?(length|window|limit|size)|maximum context",
    re.IGNORECASE,
)
_OVERLOADED = frozenset({503, 529})
_TRY_AGAIN = frozenset({408, 409})
_NOT_ALLOWED = frozenset({401, 402, 403})
_STATUS_OF_TYPE = {
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "invalid_request_error": 400,
}


def of_status(
    endpoint: str,
    status: int,
    body: bytes | str | None,
    headers: Mapping[str, str],
    *,
    now: float,
    secrets: Iterable[str] = (),
) -> ModelError:
    """An answer with a status that is no success.

    Args:
        endpoint: Its name, for the message.
        status: The HTTP status.
        body: As it came; need not be JSON.
        headers: Keys in lower case.
        now: Seconds since the Unix epoch, to read a `retry-after` that is a date.
        secrets: Texts that must not be in the message.
    """
    message = _message(body)
    kind, retryable = _kind(status, message or _text(body))
    if headers.get("x-should-retry") == "false":
        retryable = False
    words = "" if status in _NOT_ALLOWED else _clean(message, secrets)
    return ModelError(
        kind,
        _sentence(endpoint, status, words),
        retryable=retryable,
        retry_after=_retry_after(headers, now) if retryable else None,
    )


def of_event(endpoint: str, event: Mapping[str, Any], secrets: Iterable[str] = ()) -> ModelError:
    """An ``error`` event in the middle of a stream."""
    error = event.get("error")
    type_ = error.get("type") if isinstance(error, dict) else None
    body = json.dumps(event)
    status = _STATUS_OF_TYPE.get(type_ if isinstance(type_, str) else "", 500)
    return of_status(endpoint, status, body, {}, now=0, secrets=secrets)


def of_connection(endpoint: str, reason: str) -> ModelError:
    """The endpoint was not reached, fell silent, or stopped in the middle of its answer."""
    return ModelError(
        "request_failed", f"The model endpoint {endpoint!r} {reason}.", retryable=True
    )


def _kind(status: int, words: str) -> tuple[Failure, bool]:
    if status in _NOT_ALLOWED:
        return "billing", False
    if status == 413 or (status == 400 and _OVERFLOW.search(words)):  # noqa: PLR2004 - statuses
        return "context_overflow", False
    if status == 429:  # noqa: PLR2004 - too many requests
        return "rate_limited", True
    if status in _OVERLOADED:
        return "overloaded", True
    return "request_failed", status >= 500 or status in _TRY_AGAIN  # noqa: PLR2004 - server errors


def _sentence(endpoint: str, status: int, words: str) -> str:
    name = f"The model endpoint {endpoint!r}"
    if status == 402:  # noqa: PLR2004 - payment required
        return f"{name} wants payment (HTTP 402): see to its account."
    if status in _NOT_ALLOWED:
        return f"{name} refused the gateway's credentials (HTTP {status}): check its key."
    return f"{name} answered HTTP {status}" + (f": {words}" if words else ".")


def _message(body: bytes | str | None) -> str | None:
    """The message of an error object, in any of the forms servers use; None when there is none."""
    try:
        value = json.loads(body or "")
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    error = value.get("error", value)
    if isinstance(error, dict):
        error = error.get("message")
    if not isinstance(error, str):
        error = value.get("detail")
    return error if isinstance(error, str) else None


def _text(body: bytes | str | None) -> str:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""


def _clean(words: str | None, secrets: Iterable[str]) -> str:
    text = " ".join((words or "").split())
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "[redacted]")
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}..."


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    milliseconds, text = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    try:
        if _NUMBER.fullmatch(milliseconds):
            wait = float(milliseconds) / 1000
        elif _NUMBER.fullmatch(text):
            wait = float(text)
        else:
            wait = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT)
