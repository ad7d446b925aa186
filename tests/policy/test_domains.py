"""What an agent's domain lists cover."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.domains import Domains
from tests.ledger.requirement import requirement


@requirement("web:domains:match")
@pytest.mark.parametrize(
    ("entry", "host", "covered"),
    [
        ("example.com", "example.com", True),
        ("Example.COM", "example.com", True),
        ("example.com", "www.example.com", True),
        ("example.com", "a.b.example.com", True),
        ("example.com", "notexample.com", False),
        ("example.com", "example.com.evil.org", False),
        ("www.example.com", "example.com", False),
        ("example.com", "example.org", False),
    ],
)
def test_an_entry_covers_its_host_and_what_is_below(entry: str, host: str, covered: bool):
    assert Domains(allowed=(entry,)).permit(host) is covered
    assert Domains(blocked=(entry,)).permit(host) is not covered


@requirement("web:domains:path")
@pytest.mark.parametrize(
    ("entry", "target", "covered"),
    [
        ("example.com/docs", "/docs", True),
        ("example.com/docs", "/docs/a", True),
        ("example.com/docs", "/docs?x", True),
        ("example.com/docs/", "/docs/a", True),
        ("example.com/docs", "/docsx", False),
        ("example.com/docs", "/", False),
        ("example.com/", "/any", True),
    ],
)
def test_a_path_covers_what_is_below_it(entry: str, target: str, covered: bool):
    assert Domains(allowed=(entry,)).permit("www.example.com", target) is covered


def test_no_list_permits_everything():
    assert Domains().permit("anything.example")
    assert Domains.of({"allowed_domains": None}) == Domains()


def test_the_lists_of_a_configuration():
    config = {"name": "web_fetch", "allowed_domains": ["a.org"], "max_content_tokens": 5}
    assert Domains.of(config) == Domains(allowed=("a.org",))
    assert Domains.of({"blocked_domains": ["b.org"]}) == Domains(blocked=("b.org",))


@given(
    st.lists(st.sampled_from(["a.org", "b.a.org", "c.org"])),
    st.sampled_from(["a.org", "x.b.a.org", "d.org"]),
)
def test_a_host_is_blocked_exactly_if_it_would_have_been_allowed(entries: list[str], host: str):
    if entries:
        allowed = Domains(allowed=tuple(entries)).permit(host)
        assert allowed is not Domains(blocked=tuple(entries)).permit(host)
