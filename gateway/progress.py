"""Follows the build of an environment's packages from outside, over the public API."""

from collections.abc import Callable, Iterator
from time import sleep
from typing import Any
from urllib.parse import quote

from gateway.remote import ask

_PAUSE_SECONDS = 0.5
_OVER = ("ready", "failed")


def follow(
    url: str, key: str, environment: str, *, retry: bool, wait: Callable[[float], None] = sleep
) -> Iterator[dict[str, Any]]:
    """Yield the build as the API shows it, with the lines that are new, until it is over.

    With `retry` one that failed is begun again first.

    Raises:
        Unanswered: The message is what the gateway said.
    """
    path = f"environments/{quote(environment, safe='')}/build"
    if retry:
        ask(url, key, path, method="POST")
    seen = 0
    while True:
        build = ask(url, key, path, query={"after": seen})
        seen = build["lines"][-1]["seq"] if build["lines"] else seen
        yield build
        if build["status"] in _OVER:
            return
        wait(_PAUSE_SECONDS)
