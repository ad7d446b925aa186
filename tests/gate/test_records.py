"""Where what happens has to be put on record: what changes things waits until it can be."""

from collections.abc import Generator

import anyio
import pytest

from gateway.model.script import Script
from tests.e2e.conversation import SECONDS, of
from tests.e2e.script import call, step, turn
from tests.gate.shop import Shop, begin, open_shop

NOWHERE = "http://127.0.0.1:9/records"
"""The discard port, where nobody listens."""
REFUND = call("mcp__pay__refund", charge="ch_1", cents=1)
LOOK = call("mcp__pay__get_charge", charge="ch_1")
SCRIPT = Script.model_validate(
    {
        "turns": [
            turn("refund", step(None, REFUND), "{last_result}"),
            turn("look", step(None, LOOK), "{last_result}"),
        ]
    }
)


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Generator[Shop]:
    audit = {"http_url": NOWHERE, "require_delivery": True}
    with open_shop(tmp_path_factory.mktemp("shop"), SCRIPT, audit=audit) as shop:
        yield shop


async def test_writes_wait_while_records_do_not_arrive_and_reads_go_on(shop: Shop):
    async with shop.person("Ann").async_client() as ann:
        talk = await begin(ann)
        with anyio.fail_after(SECONDS):
            result = None
            while result is None or not result.is_error:  # the first record has to fail first
                result = of(await talk.turn("refund"), "agent.mcp_tool_result")[-1]
        assert "could not be put on record" in result.content[0].text
        shown = await talk.turn("look")
        assert not of(shown, "agent.mcp_tool_result")[-1].is_error
        records = shop.audit(talk.id)
    assert [record["outcome"] for record in records[-3:]] == ["allow", "deny", "allow"]
    assert records[-2]["body"]["rule"] == "audit:undelivered"
