"""JSON request bodies as text: what counts as JSON here, before any question of fields.

Stricter than `json.loads`: a duplicate key, NaN, a number that does not fit, a lone surrogate, a
NUL character (PostgreSQL cannot store one), absurd nesting and absurd numbers of keys are refused.
An empty body is ``{}`` (spec/core 1.1).
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from gateway.errors import InvalidRequest

MAX_DEPTH = 100
"""Arrays and objects inside one another."""

MAX_KEYS = 50_000
"""Keys in a whole body: each can be a mistake, and a million mistakes take seconds to list."""

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}|[dD][c-fC-F][0-9a-fA-F]{2})")


def read(raw: bytes) -> dict[str, Any]:
    """Read a request body.

    Raises:
        InvalidRequest: It is not UTF-8, not JSON in the sense above, or not an object.
    """
    if not raw.strip():
        return {}
    value = _load(raw)
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    # Only an escape can smuggle a NUL or half a surrogate pair past the decoder, and only many
    # brackets can nest deeply: ordinary bodies never pay for the walk.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH or _SUSPECT.search(raw):
        _walk(value)
    return value


def _load(raw: bytes) -> Any:
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object_reader(),
            parse_constant=_constant,
            parse_float=_float,
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest("The request body is not valid UTF-8.") from error
    except RecursionError as error:
        raise InvalidRequest(_too_deep()) from error
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}.") from error
    except ValueError as error:
        # The one other ValueError of `json`: Python refuses to read integers of absurd length.
        raise InvalidRequest("The request body holds a number that is too long.") from error


def _object_reader() -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    keys = 0

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal keys
        keys += len(pairs)
        if keys > MAX_KEYS:
            raise InvalidRequest(f"The request body has more than {MAX_KEYS} keys.")
        result = dict(pairs)
        if len(result) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            twice = counts.most_common(1)[0][0]
            raise InvalidRequest(f"The key {twice[:100]!r} appears twice in one JSON object.")
        return result

    return read_object


def _constant(name: str) -> Any:
    raise InvalidRequest(f"The request body is not valid JSON: {name} is not a JSON number.")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidRequest(f"The number {text[:40]} is too large.")
    return number


def _walk(root: Any) -> None:
    """Look at every string and every level; iterative, because depth is what it guards against."""
    todo: list[tuple[Any, str, int]] = [(root, "", 1)]
    while todo:
        value, path, depth = todo.pop()
        if isinstance(value, str):
            _check_text(value, path)
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise InvalidRequest(_too_deep())
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                if isinstance(key, str):
                    _check_text(key, path)
                todo.append((item, f"{path}.{key}" if path else str(key), depth + 1))


def _check_text(text: str, path: str) -> None:
    where = path or "The request body"
    if "\0" in text:
        raise InvalidRequest(f"{where}: text must not contain the NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{where}: text must not contain a lone surrogate.") from error


def _too_deep() -> str:
    return f"The request body is nested more than {MAX_DEPTH} levels deep."
