"""MCP servers are asked for their tools all at once, and one that fails keeps none of the others."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from gateway.tools import servers
from gateway.tools.catalog import Tool, build
from gateway.tools.servers import MAX_TOOLS, NoServers, ServerFailed, ask_all

SCHEMA = {"type": "object"}
ENTRIES = [
    {"name": name, "url": f"https://{name}.example/mcp"} for name in ("good", "slow", "broken")
]
ODD = [None, "tool", {}, {"name": 7, "inputSchema": SCHEMA}, {"name": "", "inputSchema": SCHEMA}]


class Three:
    """Servers that answer, that do not, and that fail."""

    async def list_tools(
        self,
        session: str,
        name: str,
        url: str,
    ) -> Sequence[Any]:
        assert (session, url) == ("sesn_1", f"https://{name}.example/mcp")
        if name == "slow":
            await anyio.sleep_forever()
        if name == "broken":
            raise ServerFailed("broken speaks another language")
        good = {"name": "a", "inputSchema": SCHEMA}
        return [*ODD, good, {"name": "b", "inputSchema": {"type": "string"}}, *[good] * MAX_TOOLS]

    async def call(self, session: str, tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError(f"nobody calls {tool.name} of {session} with {arguments}")


async def test_one_that_fails_or_is_silent_takes_nothing_from_the_others(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(servers, "DISCOVER_SECONDS", 0.05)
    with anyio.fail_after(10):
        found = await ask_all(Three(), "sesn_1", ENTRIES)
    assert set(found.remote) == {"good"}
    assert {tool["name"] for tool in found.remote["good"].tools} == {"a"}
    assert len(found.remote["good"].tools) < MAX_TOOLS
    assert found.missing == {
        "broken": "broken speaks another language",
        "slow": "slow did not answer within 0.05 seconds.",
    }


async def test_where_nothing_connects_each_server_is_said_to_be_missing():
    found = await ask_all(NoServers(), "sesn_1", ENTRIES)
    assert found.remote == {}
    assert set(found.missing) == {"good", "slow", "broken"}
    tool = build([{"type": "agent_toolset_20260401"}], "cloud").tools["bash"]
    with pytest.raises(ServerFailed):
        await NoServers().call("sesn_1", tool, {})
