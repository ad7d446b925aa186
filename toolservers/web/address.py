"""A URL taken apart, the way web tools compare and send it; the gateway uses the same module.

Two spellings of one address come out the same: letters of host and scheme in lower case,
international names in punycode, no default port, no fragment.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit

MAX_URL = 2048

_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)")
_DOTTED = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)")
_ODD = re.compile(r"[\x00-\x20\x7f\\]")
_MAX_HOST = 253
_KEPT = "/%:=&?~+!$,;'@()*[]-._"


class Address:
    """An absolute http or https URL."""

    __slots__ = ("host", "port", "scheme", "target")

    def __init__(self, scheme: str, host: str, port: int, target: str) -> None:
        self.scheme = scheme
        self.host = host
        """A name in lower case, or an IP address; IPv6 without brackets."""
        self.port = port
        self.target = target
        """Path and query, as a request has them."""

    @property
    def authority(self) -> str:
        """Host and port as in a URL; the port only if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    def __str__(self) -> str:
        return self.origin + self.target

    def join(self, reference: str) -> Address:
        """Where a link or a redirect on this page leads.

        Raises:
            ValueError: Nowhere that can be fetched.
        """
        return parse(urljoin(str(self), reference.strip()))


def parse(url: str, *, most: int = MAX_URL) -> Address:
    """Take a URL of at most that many characters apart.

    Raises:
        ValueError: It is no http or https URL, or one with credentials; the text says so.
    """
    if len(url) > most:
        raise ValueError(f"a URL has at most {most} characters")
    if _ODD.search(url):
        raise ValueError("a URL has no spaces, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("it is not a valid URL") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise ValueError("only absolute http and https URLs can be fetched")
    if "@" in parts.netloc:
        raise ValueError("a URL must not hold a user name or a password")
    target = quote(parts.path or "/", safe=_KEPT)
    if parts.query:
        target += "?" + quote(parts.query, safe=_KEPT)
    return Address(parts.scheme, _host(parts.hostname), port or _PORTS[parts.scheme], target)


def _host(name: str) -> str:
    if ":" in name:
        return name  # checked by urlsplit, which has seen the brackets
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("its host name is not valid") from None
    name = name.lower().rstrip(".")
    if len(name) > _MAX_HOST or not _NAME.fullmatch(name):
        raise ValueError("its host name is not valid")
    if _NUMBER.fullmatch(name) and not _DOTTED.fullmatch(name):
        raise ValueError("its host is a number; write an address as four decimal numbers")
    return name
