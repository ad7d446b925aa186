"""The ``anthropic-beta`` and ``anthropic-version`` headers (spec/resources E-4 to E-7)."""

import re
from collections.abc import Iterable
from datetime import date

from gateway.errors import InvalidRequest, NotFound

MANAGED_AGENTS = "managed-agents-2026-04-01"
LATEST_VERSION = "2026-10-21"

_VERSION = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def parse_betas(lines: Iterable[str]) -> tuple[str, ...]:
    """The beta values of all ``anthropic-beta`` lines, each once, in the order given."""
    values = (value.strip() for line in lines for value in line.split(","))
    return tuple(dict.fromkeys(value for value in values if value))


def require(betas: Iterable[str], needed: str = MANAGED_AGENTS, *, strict: bool) -> None:
    """Hide a beta endpoint from clients that did not ask for it, if the operator is `strict`.

    Raises:
        NotFound: The header is missing (spec/core 6.10).
    """
    if strict and needed not in betas:
        raise NotFound(f"This endpoint is in beta: send the header 'anthropic-beta: {needed}'.")


def parse_version(lines: Iterable[str]) -> str:
    """The API version asked for; a missing header means the latest.

    Raises:
        InvalidRequest: The header is not a date.
    """
    version = next((line.strip() for line in lines if line.strip()), LATEST_VERSION)
    if not _is_date(version):
        raise InvalidRequest(
            f"anthropic-version: {version[:40]!r} is not a version; send {LATEST_VERSION!r}"
        )
    return version


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return bool(_VERSION.fullmatch(text))
