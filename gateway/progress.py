"""Follows the build of an environment's packages from outside, over the public API."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from time import sleep
from typing import Any
from urllib.parse import quote

from gateway.errors import GatewayError

_REQUEST_SECONDS = 30.0
_PAUSE_SECONDS = 0.5
_OVER = ("ready", "failed")


class Unanswered(GatewayError):
    """The gateway refused, or is not there."""


def follow(
    url: str, key: str, environment: str, *, retry: bool, wait: Callable[[float], None] = sleep
) -> Iterator[dict[str, Any]]:
    """Yield the build as the API shows it, with the lines that are new, until it is over.

    With `retry` one that failed is begun again first.

    Raises:
        Unanswered: The message is what the gateway said.
    """
    address = f"{url.rstrip('/')}/wharfkeep/v1/environments/{quote(environment, safe='')}/build"
    if retry:
        _ask(address, key, method="POST")
    seen = 0
    while True:
        build = _ask(f"{address}?after={seen}", key)
        seen = build["lines"][-1]["seq"] if build["lines"] else seen
        yield build
        if build["status"] in _OVER:
            return
        wait(_PAUSE_SECONDS)


def _ask(address: str, key: str, *, method: str = "GET") -> dict[str, Any]:
    if not address.startswith(("http://", "https://")):
        raise Unanswered(f"{address} is no address of a gateway")
    request = urllib.request.Request(  # noqa: S310 - checked above
        address, method=method, headers={"authorization": f"Bearer {key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as answer:  # noqa: S310 - as above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Unanswered(_message(error)) from error
    except (OSError, ValueError) as error:
        raise Unanswered(f"no gateway answers at {address}: {error}") from error


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return json.load(error)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {error.code}"
