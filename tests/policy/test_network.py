"""Which hosts an environment's networking allows, and by which rule (spec/core 3.4)."""

from typing import Any

import pytest

from gateway.policy.network import decide, matches, target_of
from sandbox.egress.rules import Target, Verdict
from tests.ledger.requirement import requirement

MCP = frozenset([Target("mcp.example", 443), Target("tools.example", 8080)])
REGISTRIES = frozenset([Target("packages.example", 443), Target("mirror.example", 8081)])


def verdict(networking: dict[str, Any], host: str, port: int = 443) -> Verdict:
    return decide(
        networking,
        Target(host, port),
        mcp_hosts=MCP,
        registry_hosts=REGISTRIES,
    )


def limited(*hosts: str, mcp: bool = False, packages: bool = False) -> dict[str, Any]:
    return {
        "type": "limited",
        "allowed_hosts": list(hosts),
        "allow_mcp_servers": mcp,
        "allow_package_managers": packages,
    }


@requirement("environments:network:unrestricted")
@pytest.mark.parametrize("port", [22, 80, 443, 8080])
def test_unrestricted_allows_every_host(port: int):
    assert verdict({"type": "unrestricted"}, "any.example", port) == Verdict(
        True, "network:unrestricted"
    )


@requirement("environments:network:unrestricted")
def test_unrestricted_does_not_send_mail():
    assert verdict({"type": "unrestricted"}, "any.example", 25) == Verdict(False, "network:port")


@requirement("environments:network:limited")
@pytest.mark.parametrize(
    ("pattern", "host", "allowed"),
    [
        ("example.com", "example.com", True),
        ("EXAMPLE.com", "example.com", True),
        ("example.com", "www.example.com", False),
        ("example.com", "example.com.evil.test", False),
        ("example.com", "evil-example.com", False),
        ("example.com", "examplescom", False),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.Example.com", "www.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("*.example.com", "www.example.com.evil.test", False),
        ("*.com", "example.com", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.11", False),
    ],
)
def test_limited_allows_what_is_listed(pattern: str, host: str, allowed: bool):
    assert matches(pattern, host) is allowed
    rule = f"network:allowed_hosts:{pattern.lower()}" if allowed else "network:not_allowed"
    assert verdict(limited("other.test", pattern), host) == Verdict(allowed, rule)


@requirement("environments:network:limited")
def test_limited_allows_the_ports_of_the_web_only():
    networking = limited("example.com")
    assert verdict(networking, "example.com", 80).allowed
    for port in (22, 25, 8080):
        assert verdict(networking, "example.com", port) == Verdict(False, "network:port")


@requirement("environments:network:switches")
def test_servers_of_the_agent_are_reached_only_where_the_switch_says_so():
    for host, port in (("mcp.example", 443), ("tools.example", 8080)):
        assert not verdict(limited(packages=True), host, port).allowed
        allowed = verdict(limited(mcp=True), host, port)
        assert allowed == Verdict(True, "network:mcp_servers")
    assert not verdict(limited(mcp=True), "tools.example", 443).allowed


@requirement("environments:network:switches")
def test_registries_are_reached_only_where_the_switch_says_so():
    for host, port in (("packages.example", 443), ("mirror.example", 8081)):
        assert not verdict(limited(mcp=True), host, port).allowed
        allowed = verdict(limited(packages=True), host, port)
        assert allowed == Verdict(True, "network:package_managers")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://Mcp.Example/path", Target("mcp.example", 443)),
        ("http://mcp.example:8080", Target("mcp.example", 8080)),
        ("https://user:secret@mcp.example/", Target("mcp.example", 443)),
        ("http://[::1]:1/", Target("::1", 1)),
        ("ftp://mcp.example", None),
        ("https://", None),
        ("https://mcp.example:0/", None),
        ("https://bad_[host/", None),
    ],
)
def test_a_web_address_leads_somewhere(url: str, target: Target | None):
    assert target_of(url) == target
