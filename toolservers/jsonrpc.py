"""JSON-RPC messages as lines: strict about what comes in, plain about what goes out."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
UNSUPPORTED_VERSION = -32022
BUSY = -32000
"""Ours: as many calls are running as this server runs at once."""

_MAX_DIGITS = 400


class RpcError(Exception):
    """A request that gets an error instead of a result."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.id: int | str | None = None
        """The request's, as far as it is known."""


class Request:
    """A request or, without an id, a notification."""

    def __init__(self, id_: int | str | None, method: str, params: dict[str, Any]) -> None:
        self.id = id_
        self.method = method
        self.params = params
        meta = params.get("_meta")
        self.meta: dict[str, Any] = meta if isinstance(meta, dict) else {}


def parse(line: bytes) -> Request | None:
    """The message of a line; None for a response, which nobody here asked for.

    Raises:
        RpcError: The line is no JSON, or no message.
    """
    try:
        message = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise RpcError(PARSE_ERROR, "Parse error") from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, "Invalid request: not a JSON-RPC 2.0 message")
    if "method" not in message and ("result" in message or "error" in message):
        return None
    id_ = _check_id(message["id"]) if "id" in message else None
    method = message.get("method")
    params = message.get("params", {})
    if not isinstance(method, str) or not isinstance(params, dict):
        error = RpcError(INVALID_REQUEST, "Invalid request: method or params of the wrong type")
        error.id = id_
        raise error
    return Request(id_, method, params)


def result_line(id_: int | str, result: dict[str, Any]) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": id_, "result": result})


def error_line(id_: int | str | None, error: RpcError) -> bytes:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return _encode({"jsonrpc": "2.0", "id": id_, "error": body})


def notification_line(method: str, params: dict[str, Any]) -> bytes:
    return _encode({"jsonrpc": "2.0", "method": method, "params": params})


def _encode(message: dict[str, Any]) -> bytes:
    # File names and output can hold halves of surrogate pairs, which UTF-8 has no form for.
    return _ENCODER.encode(message).encode("utf-8", "replace")


def _check_id(id_: Any) -> int | str:
    if isinstance(id_, bool) or not isinstance(id_, (int, str)):
        raise RpcError(INVALID_REQUEST, "Invalid request: the id is no string or whole number")
    return id_


def _parse_int(digits: str) -> int:
    # Python before 3.11 takes hours over a number of megabytes.
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number this long is no number")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_parse_int, parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
