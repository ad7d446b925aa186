"""What the sandbox of web tools may reach, and where the key goes."""

import pytest

from gateway.policy.domains import Domains
from gateway.tools.reach import Fetching, Reach, Searching
from gateway.tools.search import Brave, Engine, Searxng, Tavily
from sandbox.egress.rules import Denied, Request, Target, Verdict
from tests.ledger.requirement import requirement

OWNER = "sesn_1.web"
API = Target("api.search.brave.com", 80)


def ask(target: Target, *headers: tuple[bytes, bytes]) -> Request:
    return Request(method="GET", scheme="http", target=target, path="/", headers=headers)


async def test_nothing_can_be_reached_while_nothing_runs():
    reach = Reach(None)
    with reach.opened(OWNER, Fetching(Domains())):
        assert (await reach.decide(OWNER, Target("a.example", 443))).allowed
        assert not (await reach.decide("sesn_2.web", Target("a.example", 443))).allowed
    assert not (await reach.decide(OWNER, Target("a.example", 443))).allowed


@requirement("web:network:own")
@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        (Target("a.example", 80), True),
        (Target("www.a.example", 8443), True),
        (Target("a.example", 25), False),
        (Target("b.example", 443), False),
    ],
)
async def test_a_fetch_reaches_its_domains(target: Target, allowed: bool):
    reach = Reach(None)
    with reach.opened(OWNER, Fetching(Domains(allowed=("a.example",)))):
        verdict = await reach.decide(OWNER, target)
    assert (verdict.allowed, verdict.private) == (allowed, False)


async def test_two_calls_reach_what_either_needs_and_no_longer_than_it_runs():
    reach = Reach(None)
    a, b = Target("a.example", 80), Target("b.example", 80)
    with reach.opened(OWNER, Fetching(Domains(allowed=("a.example",)))):
        with reach.opened(OWNER, Fetching(Domains(allowed=("b.example",)))):
            assert (await reach.decide(OWNER, a)).allowed
            assert (await reach.decide(OWNER, b)).allowed
        assert (await reach.decide(OWNER, a)).allowed
        assert not (await reach.decide(OWNER, b)).allowed


async def test_only_named_hosts_may_be_private():
    reach = Reach(None)
    with reach.opened(OWNER, Fetching(Domains(), frozenset({"intranet.example"}))):
        assert (await reach.decide(OWNER, Target("intranet.example", 80))).private
        assert not (await reach.decide(OWNER, Target("a.intranet.example", 80))).private


async def test_the_key_is_attached_to_searches():
    reach = Reach(Brave("", "secret"))
    with reach.opened(OWNER, Searching(Brave("", "secret"))):
        assert await reach.decide(OWNER, API) == Verdict(True, "web_search:engine")
        forged = (b"x-subscription-token", b"forged")
        sent = await reach.rewrite(OWNER, ask(API, (b"accept", b"x"), forged))
    assert sent.scheme == "https"
    assert sent.headers == ((b"accept", b"x"), (b"x-subscription-token", b"secret"))
    assert sent.server == Target("api.search.brave.com", 443)


async def test_the_key_goes_to_no_other_host_and_to_no_fetch():
    reach = Reach(Brave("", "secret"))
    with reach.opened(OWNER, Fetching(Domains())):
        other = ask(Target("a.example", 80))
        assert await reach.rewrite(OWNER, other) == other
        assert not (await reach.decide(OWNER, API)).allowed
        with pytest.raises(Denied):
            await reach.rewrite(OWNER, ask(API))


@pytest.mark.parametrize(
    ("chosen", "target", "private"),
    [
        (Searxng("http://10.0.0.5:8888", ""), Target("10.0.0.5", 8888), True),
        (Tavily("https://search.corp.example", "k"), Target("search.corp.example", 80), True),
        (Tavily("", "k"), Target("api.tavily.com", 443), False),
    ],
)
async def test_an_engine_may_be_private_if_the_operator_says_where_it_is(
    chosen: Engine, target: Target, private: bool
):
    reach = Reach(chosen)
    with reach.opened(OWNER, Searching(chosen)):
        verdict = await reach.decide(OWNER, target)
        assert (verdict.allowed, verdict.private) == (True, private)
        assert not (await reach.decide(OWNER, Target(target.host, 22))).allowed


async def test_an_engine_without_a_key_is_asked_as_it_is():
    chosen = Searxng("http://10.0.0.5:8888", "")
    reach = Reach(chosen)
    request = ask(Target("10.0.0.5", 8888))
    with reach.opened(OWNER, Searching(chosen)):
        assert await reach.rewrite(OWNER, request) == request
