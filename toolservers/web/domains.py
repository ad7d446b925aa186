"""Which hosts a web tool may reach, by the lists of its configuration (spec/core 2.7.1).

The gateway decides by this module; inside it only makes a refusal say why.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def permits(host: str, target: str, allowed: Sequence[str], blocked: Sequence[str]) -> bool:
    """Whether a URL may be fetched or shown. An empty list of allowed domains allows all.

    Args:
        host: As in `Address.host`.
        target: Path and query; matters only to entries with a path.
        allowed: Domains, each with an optional path.
        blocked: The same; what is blocked stays so even if it is allowed.
    """
    if any(covers(entry, host, target) for entry in blocked):
        return False
    return not allowed or any(covers(entry, host, target) for entry in allowed)


def covers(entry: str, host: str, target: str = "/") -> bool:
    """Whether a domain, or a domain and a path, stands for this address or a part of it.

    A domain covers itself and what is below it; a path covers itself and what is below it.
    """
    domain, slash, path = entry.partition("/")
    domain = domain.lower()
    if host != domain and not host.endswith("." + domain):
        return False
    if not slash or not path:
        return True
    path = "/" + path.rstrip("/")
    return target.startswith(path) and target[len(path) : len(path) + 1] in ("", "/", "?")
