"""Names and addresses: how a host is written, and which addresses are never dialled for a sandbox.

Nothing here looks anything up. `normalise` gives every host one spelling, so that rules can
compare strings; `is_address` knows numbers in any spelling a resolver would take (``127.1``,
``0x7f000001``, ``017700000001``); `refusal` judges an address that a name resolved to.
"""

import re
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

MAX_HOST = 253

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}")

_METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
        ),
    )
)
"""Where clouds tell a machine its secrets."""

_REFUSED: tuple[tuple[str, tuple[IPv4Network | IPv6Network, ...]], ...] = tuple(
    (kind, tuple(map(ip_network, networks)))
    for kind, networks in (
        ("unspecified", ("0.0.0.0/8", "255.255.255.255/32")),
        ("loopback", ("127.0.0.0/8", "::1/128")),
        ("link_local", ("169.254.0.0/16", "fe80::/10")),
        ("shared", ("100.64.0.0/10",)),
        # Each of these holds an IPv4 address that something on the way would take out again.
        (
            "embedded",
            (
                "::ffff:0:0/96",
                "::ffff:0:0:0/96",
                "::/96",
                "64:ff9b::/96",
                "64:ff9b:1::/48",
                "2002::/16",
                "2001::/32",
            ),
        ),
        ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
    )
)


class BadHost(ValueError):
    """The text is not a host; the argument says what is wrong with it."""


def normalise(host: str) -> str:
    """The one spelling of a host: lower case, no trailing dot, IPv6 without brackets.

    A name that is not ASCII has to come as punycode.

    Raises:
        BadHost: It is neither a host name nor an address.
    """
    text = host.lower()
    if text.startswith("[") and text.endswith("]"):
        try:
            literal = IPv6Address(text[1:-1])
        except ValueError as error:
            raise BadHost("not an IPv6 address") from error
        if literal.scope_id is not None:
            raise BadHost("an address of one link only")
        return str(literal)
    text = text.removesuffix(".")
    if not text or len(text) > MAX_HOST:
        raise BadHost(f"a host name has 1 to {MAX_HOST} characters")
    if not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise BadHost("not a host name")
    return text


def split(authority: str, port: int | None = None) -> tuple[str, int]:
    """Read ``HOST`` or ``HOST:PORT`` and normalise the host.

    `port` is what holds if none is written; without it one has to be.

    Raises:
        BadHost: It is something else, such as a host with credentials before it.
    """
    host, colon, number = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, number = authority, "" if port is None else str(port)
    if not _PORT.fullmatch(number) or not 0 < int(number) < 2**16:
        raise BadHost("not HOST:PORT")
    return normalise(host), int(number)


def is_address(host: str) -> bool:
    """Whether a normalised host is an address in any spelling, and not a name.

    As resolvers and browsers see it: its last label is a number.
    """
    return ":" in host or bool(_NUMBER.fullmatch(host.rpartition(".")[2]))


def parse(address: str) -> IPv4Address | IPv6Address:
    """Read an address as a resolver writes it; a zone behind ``%`` is dropped."""
    return ip_address(address.partition("%")[0])


def refusal(address: IPv4Address | IPv6Address) -> str | None:
    """Why an address is never dialled, as one word; None for one of the public internet."""
    if address in _METADATA:
        return "metadata"
    if address.is_multicast:
        return "multicast"
    for kind, networks in _REFUSED:
        if any(address in network for network in networks if network.version == address.version):
            return kind
    return None if address.is_global and not address.is_reserved else "reserved"


def exemptible(reason: str) -> bool:
    """Whether a host that an operator exempts may be dialled in spite of the `reason`."""
    return reason in ("loopback", "link_local", "shared", "private", "reserved")
