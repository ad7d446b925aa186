"""Asks a running gateway over its public API: what the command line does from outside."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from gateway.errors import GatewayError

_REQUEST_SECONDS = 30.0


class Unanswered(GatewayError):
    """The gateway refused, or is not there."""


def ask(
    url: str,
    key: str,
    path: str,
    *,
    query: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
    method: str = "",
) -> dict[str, Any]:
    """Ask for something below ``/wharfkeep/v1/`` and return what is answered.

    Args:
        url: Where the gateway is.
        key: An API key.
        path: What follows ``/wharfkeep/v1/``, its pieces quoted.
        query: Parameters; a list repeats its name, and None is left out.
        body: Sent as JSON.
        method: POST if there is a body, else GET, unless said otherwise.

    Raises:
        Unanswered: The message is what the gateway said.
    """
    address = f"{url.rstrip('/')}/wharfkeep/v1/{path}"
    if not address.startswith(("http://", "https://")):
        raise Unanswered(f"{address} is no address of a gateway")
    given = {name: value for name, value in (query or {}).items() if value is not None}
    request = urllib.request.Request(  # noqa: S310 - checked above
        f"{address}?{urlencode(given, doseq=True)}" if given else address,
        data=None if body is None else json.dumps(body).encode(),
        method=method or ("GET" if body is None else "POST"),
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
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
