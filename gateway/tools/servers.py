"""MCP servers of third parties, as the gate sees them: what tools they have, and calls to them.

A seam. Whoever connects to servers implements `Servers`; nothing but the gate is handed one.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import anyio

from gateway.tools.catalog import Found, Remote, Tool

DISCOVER_SECONDS = 20.0
"""How long a server may take to say what tools it has."""
MAX_TOOLS = 1000
"""Tools of one server that are looked at."""


class ServerFailed(Exception):
    """The server could not be asked, or what it answered is not MCP; the text says what to do."""


class Servers(Protocol):
    """Reaches MCP servers."""

    async def list_tools(self, session: str, name: str, url: str) -> Sequence[dict[str, Any]]:
        """Every tool of a server: the entries of ``tools/list``, all pages of it.

        Raises:
            ServerFailed: There is no such list to be had.
        """
        ...

    async def call(self, session: str, tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool and return the result of ``tools/call``. Whoever calls sets a deadline.

        Raises:
            ServerFailed: There is no result.
        """
        ...


class NoServers:
    """What stands here until something connects."""

    async def list_tools(
        self,
        session: str,  # noqa: ARG002 - the protocol's signature
        name: str,
        url: str,  # noqa: ARG002 - the same
    ) -> Sequence[dict[str, Any]]:
        raise ServerFailed(
            f"This version cannot connect to MCP servers; the session goes on without {name}."
        )

    async def call(
        self,
        session: str,  # noqa: ARG002 - the same
        tool: Tool,
        arguments: dict[str, Any],  # noqa: ARG002 - the same
    ) -> dict[str, Any]:
        raise ServerFailed(f"{tool.server} is not connected")


async def ask_all(servers: Servers, session: str, entries: Sequence[dict[str, Any]]) -> Found:
    """Ask the servers of an agent (its ``mcp_servers``), all at once and not for long."""
    remote: dict[str, Remote] = {}
    missing: dict[str, str] = {}

    async def ask(name: str, url: str) -> None:
        try:
            with anyio.fail_after(DISCOVER_SECONDS):
                listed = await servers.list_tools(session, name, url)
        except ServerFailed as error:
            missing[name] = str(error)
        except TimeoutError:
            missing[name] = f"{name} did not answer within {DISCOVER_SECONDS:g} seconds."
        else:
            remote[name] = Remote(url, tuple(filter(_is_tool, listed[:MAX_TOOLS])))

    async with anyio.create_task_group() as tasks:
        for entry in entries:
            tasks.start_soon(ask, entry["name"], entry["url"])
    return Found(remote, missing)


def _is_tool(definition: object) -> bool:
    """Whether a model can be told of it; the rest of what a server lists is passed over."""
    match definition:
        case {"name": str(name), "inputSchema": {"type": "object"}}:
            return bool(name)
        case _:
            return False
