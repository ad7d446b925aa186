"""MCP as this server speaks it: what each method means, in both eras of the protocol.

A request of the 2026-07-28 revision carries its protocol version with it and needs nothing before
it. Earlier revisions begin with ``initialize``. Both may come on one connection. Not here: bytes,
threads and time, which are `toolservers.connection`'s.
"""

from __future__ import annotations

from toolservers.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    UNSUPPORTED_VERSION,
    RpcError,
)
from toolservers.schemas import TOOLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from toolservers.jsonrpc import Request

    Tools = tuple[dict[str, Any], ...]

MODERN_VERSIONS = ("2026-07-28",)
HANDSHAKE_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
SUPPORTED_VERSIONS = (*MODERN_VERSIONS, *HANDSHAKE_VERSIONS)

THREAD_KEY = "wharfkeep/thread"
"""In a call's ``_meta``: whose shell to use; at most 256 characters."""
DEADLINE_KEY = "wharfkeep/deadline_ms"
"""In a call's ``_meta``: milliseconds the call may take, queueing included."""
SETTINGS_KEY = "wharfkeep/settings"
"""In a call's ``_meta``: an object, what the tool is told beside its arguments."""

_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
_SERVER = {"name": "wharfkeep-tools", "version": "1"}
_STAMP = {"io.modelcontextprotocol/serverInfo": _SERVER}
_CAPABILITIES: dict[str, Any] = {"tools": {}}
_CACHING = {"ttlMs": 3_600_000, "cacheScope": "public"}
"""The tools are part of the program: the same for everybody until it ends."""
_MAX_THREAD = 256


class ToolCall:
    """A valid ``tools/call``, for the connection to run."""

    def __init__(self, request: Request, tools: Tools, *, modern: bool) -> None:
        """Raises `RpcError` for parameters that fit none of `tools`."""
        name = request.params.get("name")
        arguments = request.params.get("arguments")
        if not isinstance(name, str) or all(tool["name"] != name for tool in tools):
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name}")
        if arguments is not None and not isinstance(arguments, dict):
            raise RpcError(INVALID_PARAMS, "Invalid params: arguments must be an object")
        self.name: str = name
        self.arguments: dict[str, Any] = arguments or {}
        self.thread = _thread(request)
        self.seconds = _seconds(request)
        self.settings = _settings(request)
        self.progress_token = _progress_token(request)
        self._modern = modern

    def result(self, result: dict[str, Any]) -> dict[str, Any]:
        """A tool's result in the form of the request's era."""
        return _complete(result) if self._modern else result


class Session:
    """What one connection has agreed on."""

    def __init__(self, tools: Tools = TOOLS) -> None:
        self._tools = tools
        self._initialized = False

    def answer(self, request: Request) -> dict[str, Any] | ToolCall:
        """The result of a request, or the call that will produce it.

        Raises:
            RpcError: There is no such method, or the request is not valid.
        """
        if request.method == "initialize":
            return self._initialize(request)
        if _VERSION_KEY in request.meta or request.method == "server/discover":
            _check_envelope(request)
            return _answer_modern(request, self._tools)
        if request.method == "ping":
            return {}
        if request.method not in ("tools/list", "tools/call"):
            raise _no_method(request)
        if not self._initialized:
            raise RpcError(INVALID_REQUEST, "Invalid request: initialize first")
        if request.method == "tools/list":
            return {"tools": list(self._tools)}
        return ToolCall(request, self._tools, modern=False)

    def _initialize(self, request: Request) -> dict[str, Any]:
        version = request.params.get("protocolVersion")
        if not isinstance(version, str):
            raise RpcError(INVALID_PARAMS, "Invalid params: protocolVersion must be a string")
        self._initialized = True
        return {
            "protocolVersion": version if version in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[0],
            "capabilities": _CAPABILITIES,
            "serverInfo": _SERVER,
        }


def _answer_modern(request: Request, tools: Tools) -> dict[str, Any] | ToolCall:
    if request.method == "tools/call":
        return ToolCall(request, tools, modern=True)
    if request.method == "tools/list":
        return _complete({"tools": list(tools), **_CACHING})
    if request.method == "server/discover":
        versions = list(SUPPORTED_VERSIONS)
        discovered = {"supportedVersions": versions, "capabilities": _CAPABILITIES}
        return _complete({**discovered, **_CACHING})
    raise _no_method(request)


def _check_envelope(request: Request) -> None:
    missing = [key for key in (_VERSION_KEY, _CAPABILITIES_KEY) if key not in request.meta]
    if missing:
        raise RpcError(INVALID_PARAMS, f"Invalid params: _meta lacks {', '.join(missing)}")
    version = request.meta[_VERSION_KEY]
    if not isinstance(version, str):
        raise RpcError(INVALID_PARAMS, f"Invalid params: {_VERSION_KEY} must be a string")
    if version not in MODERN_VERSIONS:
        data = {"supported": list(SUPPORTED_VERSIONS), "requested": version}
        raise RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)
    if not isinstance(request.meta[_CAPABILITIES_KEY], dict):
        raise RpcError(INVALID_PARAMS, f"Invalid params: {_CAPABILITIES_KEY} must be an object")


def _complete(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "resultType": "complete", "_meta": _STAMP}


def _no_method(request: Request) -> RpcError:
    return RpcError(METHOD_NOT_FOUND, "Method not found", request.method)


def _thread(request: Request) -> str:
    thread = request.meta.get(THREAD_KEY, "")
    if not isinstance(thread, str) or len(thread) > _MAX_THREAD:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {THREAD_KEY} must be a short string")
    return thread


def _seconds(request: Request) -> float | None:
    deadline = request.meta.get(DEADLINE_KEY)
    if deadline is None:
        return None
    if isinstance(deadline, bool) or not isinstance(deadline, (int, float)) or deadline <= 0:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {DEADLINE_KEY} must be above 0")
    return deadline / 1000


def _settings(request: Request) -> dict[str, Any]:
    settings = request.meta.get(SETTINGS_KEY, {})
    if not isinstance(settings, dict):
        raise RpcError(INVALID_PARAMS, f"Invalid params: {SETTINGS_KEY} must be an object")
    return settings


def _progress_token(request: Request) -> int | str | None:
    token = request.meta.get("progressToken")
    return token if isinstance(token, (int, str)) and not isinstance(token, bool) else None
