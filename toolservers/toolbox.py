"""From the name of a tool to its result.

This is the boundary of a tool call: whatever goes wrong in a tool becomes an error result that
the model can read, and the server goes on.
"""

from __future__ import annotations

from toolservers.call import Call, Cancelled, CommandFailed, ToolError
from toolservers.schemas import check_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Union

    from toolservers.host import Host

    Tool = Callable[[dict[str, Any], Call, Host], Union[str, list[dict[str, Any]]]]


def run_tool(name: str, arguments: dict[str, Any], call: Call, host: Host) -> dict[str, Any]:
    """Run the tool of that name; returns ``content`` and ``isError`` of an MCP result.

    Raises:
        Cancelled: The call was cancelled.
    """
    try:
        check_arguments(name, arguments)
        output = _find(name)(arguments, call, host)
    except CommandFailed as error:
        return _result(str(error), failed=True)
    except ToolError as error:
        return _result(f"{name}: {error}", failed=True)
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001 - the tool call supervisor: a bug must not end the server
        return _result(f"{name}: internal error: {error!r}", failed=True)
    return _result(output, failed=False)


def _find(name: str) -> Tool:
    # Imported by the first call that needs it: a sandbox is ready sooner.
    if name == "bash":
        from toolservers import bash

        return bash.bash
    if name in ("glob", "grep"):
        from toolservers import search

        return {"glob": search.glob, "grep": search.grep}[name]
    if name == "web_fetch":
        from toolservers.web import fetch

        return fetch.web_fetch
    if name == "web_search":
        from toolservers.web import search as web

        return web.web_search
    from toolservers import files

    return {"read": files.read, "write": files.write, "edit": files.edit}[name]


def _result(output: str | list[dict[str, Any]], *, failed: bool) -> dict[str, Any]:
    content = [{"type": "text", "text": output}] if isinstance(output, str) else output
    return {"content": content, "isError": failed}
