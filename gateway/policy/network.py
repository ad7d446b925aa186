"""Which hosts an environment's networking lets a session reach (spec/core 3.4). Pure.

``unrestricted`` is every host of the internet on every port but the one of mail. ``limited`` is
web ports only, and of the hosts: those that are listed, those of the agent's MCP servers and of
package registries where the switches say so. A session's repositories are reached in any case, each
by itself (`gateway.policy.repository`). Where addresses are concerned `sandbox.egress.dial` has the
last word.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from sandbox.egress import address
from sandbox.egress.rules import HTTP, HTTPS, Target, Verdict

MAIL = 25

_WEB = (HTTP, HTTPS)


def decide(
    networking: Mapping[str, Any],
    target: Target,
    *,
    mcp_hosts: Iterable[Target],
    registry_hosts: Iterable[Target],
) -> Verdict:
    """Whether `target` may be reached, and why: ``network:allowed_hosts:*.example.com``.

    `networking` is an environment's, with every field of its type.
    """
    if networking["type"] == "unrestricted":
        if target.port == MAIL:
            return Verdict(False, "network:port")
        return Verdict(True, "network:unrestricted")
    if target.port in _WEB:
        for pattern in networking["allowed_hosts"]:
            if matches(pattern, target.host):
                return Verdict(True, f"network:allowed_hosts:{pattern.lower()}")
    granted = (
        ("mcp_servers", mcp_hosts if networking["allow_mcp_servers"] else ()),
        ("package_managers", registry_hosts if networking["allow_package_managers"] else ()),
    )
    for name, targets in granted:
        if any(_covers(each, target) for each in targets):
            return Verdict(True, f"network:{name}")
    return Verdict(False, "network:not_allowed" if target.port in _WEB else "network:port")


def reaches_registries(networking: Mapping[str, Any]) -> bool:
    """Whether packages can be installed under it."""
    return networking["type"] == "unrestricted" or bool(networking["allow_package_managers"])


def matches(pattern: str, host: str) -> bool:
    """Whether a normalised host is the one named, or below ``*.`` of it at any depth."""
    pattern = pattern.lower().removesuffix(".")
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) >= len(pattern)
    return host == pattern


def target_of(url: str) -> Target | None:
    """Where a web address leads; None if it is not one."""
    try:
        parts = urlsplit(url)
        default = {"http": HTTP, "https": HTTPS}[parts.scheme]
        return Target(*address.split(parts.netloc.rpartition("@")[2], default))
    except (ValueError, KeyError):
        return None


def _covers(granted: Target, target: Target) -> bool:
    """A host that is granted on one web port is granted on both."""
    same_port = granted.port == target.port or {granted.port, target.port} <= set(_WEB)
    return same_port and granted.host == target.host
