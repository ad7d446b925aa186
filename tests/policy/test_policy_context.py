"""Every fact that the schema names is there for policies to look at."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.policy.enterprise import Enterprise
from tests.policy import shop
from tests.policy.shop import call, facts

SESSION = replace(
    shop.SESSION,
    id="sesn_7",
    read_private=True,
    read_untrusted=True,
    data_label="secret",
    spent_cents=701,
    spend_cap_cents=702,
    calls_last_minute=703,
)
AGENT = replace(shop.AGENT, version=7)
KNOWN: dict[str, Any] = {"session": SESSION, "agent": AGENT, "source_ip": "192.0.2.7"}


def judged(condition: str, **more: Any) -> bool:
    """Whether a policy that permits nothing but calls under `condition` permits this one."""
    text = f'@id("only") permit (principal, action, resource) when {{ {condition} }};'
    enterprise: Enterprise = shop.enterprise(text)
    asked = call("pay.refund", charge="c", cents=100)
    return enterprise.decide(asked, facts("pay", **{**KNOWN, **more})).outcome == "allow"


@pytest.mark.parametrize(
    "condition",
    [
        'context.agent == Agent::"agent_1"',
        "context.agent.version == 7",
        'context.user == User::"user_1"',
        'context.user.kind == "user"',
        f'context.workspace == Workspace::"{shop.AGENT.workspace}"',
        f'context.agent.workspace == Workspace::"{shop.AGENT.workspace}"',
        'context.session.id == "sesn_7"',
        "context.session.read_private",
        "context.session.read_untrusted",
        'context.session.data_label == "secret"',
        "context.session.spent_cents == 701",
        "context.session.spend_cap_cents == 702",
        "context.session.calls_last_minute == 703",
        "!context.approval.granted",
        "!(context.approval has by)",
        'context.now > datetime("2026-01-01")',
        'context.now < datetime("2027-01-01")',
        'context.tool == "refund"',
        f'context.tool_digest == "{shop.call("pay.refund").tool.digest}"',
        'context has source_ip && context.source_ip.isInRange(ip("192.0.2.0/24"))',
        'resource.kind == "pay"',
    ],
)
def test_a_policy_sees(condition: str):
    assert judged(condition)
    assert not judged(f"!({condition})")


def test_a_request_from_nowhere_has_no_address():
    assert judged("!(context has source_ip)", source_ip=None)


def test_an_address_that_is_none_is_denied_and_not_passed_over():
    assert not judged("true", source_ip="nowhere")
