"""What a key may do: ``sessions:read``, ``approvals:answer``, ``sessions:*``, ``*``.

Every endpoint needs one scope. A key without scopes, or with ``*``, may do everything in its
workspace; what rules the gateway itself (all of ``organization``, and every ``admin``) takes a key
of the organization, or a scope that names it.
"""

from collections.abc import Iterable

from gateway.errors import Forbidden, InvalidRequest

VERBS: dict[str, tuple[str, ...]] = {
    "agents": ("read", "write"),
    "environments": ("read", "write"),
    "sessions": ("read", "write"),
    "files": ("read", "write"),
    "models": ("read",),
    "approvals": ("read", "answer"),
    "policy": ("read", "admin"),
    "audit": ("read", "admin"),
    "organization": ("read", "admin"),
}
"""What can be done with each resource: looking at it first, the most powerful last."""

ALL = tuple(f"{resource}:{verb}" for resource, verbs in VERBS.items() for verb in verbs)
GRANTED = frozenset({*ALL, "*", *(f"{resource}:*" for resource in VERBS)})
"""What a key can be given."""

MOST = 64
"""Scopes that one key can have."""

_RESOURCES = {"organizations": "organization", "api_keys": "organization", "users": "organization"}
"""Where the first piece of a path is not the name of the resource."""


def needed(method: str, path: str) -> str:
    """The scope that an endpoint needs: of its resource, to read for GET, else the strongest."""
    piece = path.removeprefix("/wharfkeep").removeprefix("/v1/").partition("/")[0]
    resource = _RESOURCES.get(piece, piece)
    verbs = VERBS[resource]
    return f"{resource}:{verbs[0] if method == 'GET' else verbs[-1]}"


def check(scopes: frozenset[str] | None, scope: str, *, organization: bool) -> None:
    """Let a key through that has `scope`, in whichever way.

    Raises:
        Forbidden: It has not; the message names the scope.
    """
    if not _allow(scopes, scope, organization=organization):
        raise Forbidden(
            f"This API key does not have the scope {scope}.", code="api_key_scope_missing"
        )


def parse(texts: Iterable[str]) -> frozenset[str]:
    """Read the scopes of a new key.

    Raises:
        InvalidRequest: One of them does not exist, or there are none, or too many.
    """
    scopes = frozenset(texts)
    if not 1 <= len(scopes) <= MOST:
        raise InvalidRequest(f"scopes: must be 1 to {MOST}")
    for scope in sorted(scopes - GRANTED):
        raise InvalidRequest(f"scopes: {scope[:100]!r} is not one of {', '.join(sorted(GRANTED))}")
    return scopes


def _allow(scopes: frozenset[str] | None, scope: str, *, organization: bool) -> bool:
    resource, _, verb = scope.partition(":")
    if scopes is not None and not scopes.isdisjoint((scope, f"{resource}:*")):
        return True
    if scopes is None or "*" in scopes:
        return organization or not (resource == "organization" or verb == "admin")
    return False
