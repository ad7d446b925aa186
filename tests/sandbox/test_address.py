"""How hosts are written, and which addresses nobody in a sandbox is connected to."""

import pytest

from sandbox.egress import address
from sandbox.egress.address import BadHost


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("example.com.", "example.com"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("under_score.example", "under_score.example"),
        ("localhost", "localhost"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "::1"),
        ("[2001:DB8:0:0::1]", "2001:db8::1"),
    ],
)
def test_a_host_has_one_spelling(written: str, meant: str):
    assert address.normalise(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        ".",
        "example.com..",
        ".example.com",
        "a..b",
        "user@example.com",
        "example.com/path",
        "example.com:80",
        "exa mple.com",
        "example.com\t",
        "example.com\0.evil.example",
        "example.com%00.evil.example",
        "*.example.com",
        "-a.example",
        "a-.example",
        "münchen.example",
        "example。com",
        "a" * 64 + ".example",
        "a." * 127 + "a",
        "::1",
        "[::1",
        "[1.2.3.4]",
        "[fe80::1%eth0]",
    ],
)
def test_what_is_not_a_host_is_refused(written: str):
    with pytest.raises(BadHost):
        address.normalise(written)


@pytest.mark.parametrize(
    ("authority", "port", "meant"),
    [
        ("example.com:8080", None, ("example.com", 8080)),
        ("example.com", 80, ("example.com", 80)),
        ("example.com:443", 80, ("example.com", 443)),
        ("[::1]:443", None, ("::1", 443)),
        ("[::1]", 80, ("::1", 80)),
    ],
)
def test_an_authority_is_a_host_and_a_port(
    authority: str, port: int | None, meant: tuple[str, int]
):
    assert address.split(authority, port) == meant


@pytest.mark.parametrize(
    "authority",
    [
        "example.com",
        "example.com:",
        "example.com:0",
        "example.com:65536",
        "example.com:+80",
        "example.com:8 0",
        "example.com:443:443",
        "user:password@example.com:443",
        "example.com@evil.example:443",
        "[::1]",
        "::1:443",
        ":443",
    ],
)
def test_an_authority_without_one_of_them_or_with_more_is_refused(authority: str):
    with pytest.raises(BadHost):
        address.split(authority)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0x7f.0.0.0x1",
        "0177.0.0.01",
        "0",
        "0.0.0.0",
        "a.b.0x",
        "::1",
        "::ffff:127.0.0.1",
    ],
)
def test_an_address_is_known_in_any_spelling(host: str):
    assert address.is_address(host)


@pytest.mark.parametrize("host", ["1password.example", "example.com", "0x7f.example", "3com.a1"])
def test_a_name_with_digits_is_a_name(host: str):
    assert not address.is_address(host)


@pytest.mark.parametrize(
    ("kind", "addresses"),
    [
        ("metadata", "169.254.169.254 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254"),
        ("loopback", "127.0.0.1 127.255.255.254 ::1"),
        ("link_local", "169.254.1.1 fe80::1 fe80::1%eth0"),
        ("private", "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 fc00::1 fd12::1 fec0::1"),
        ("shared", "100.64.0.1 100.127.255.254"),
        ("unspecified", "0.0.0.0 0.1.2.3 255.255.255.255"),
        ("multicast", "224.0.0.1 239.1.1.1 ff02::1"),
        ("reserved", "240.0.0.1 198.18.0.1 192.0.2.1 203.0.113.1 2001:db8::1 100::1"),
        (
            "embedded",
            ":: ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808",
        ),
        ("embedded", "64:ff9b:1::a00:1 2002:7f00:1:: 2002:808:808:: 2001:0:4136:e378::1"),
    ],
)
def test_addresses_that_are_not_of_the_public_internet_are_refused(kind: str, addresses: str):
    found = {text: address.refusal(address.parse(text)) for text in addresses.split()}
    assert found == dict.fromkeys(addresses.split(), kind)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700:4700::1111"])
def test_addresses_of_the_public_internet_are_not(text: str):
    assert address.refusal(address.parse(text)) is None


def test_an_exemption_is_no_way_to_metadata_or_through_an_address_within_an_address():
    exemptible = {"loopback", "link_local", "private", "shared", "reserved"}
    never = {"metadata", "multicast", "unspecified", "embedded"}
    assert {kind for kind in exemptible | never if address.exemptible(kind)} == exemptible
