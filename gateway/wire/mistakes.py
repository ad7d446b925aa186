"""From a validator's complaints to one sentence for the client.

``tools.0.configs.1.name: Field required``: the path as the client wrote it, then the rule. Mistakes
in events name the event instead: ``user.message at events[0]: content: Field required``.
"""

from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails, ValidationError

from gateway.errors import InvalidRequest
from gateway.wire import limits
from gateway.wire.tighten import TEXT_OR_OBJECT, Schema, Tightened

MAX_SHOWN = 3
"""Mistakes told at once; the rest is only counted."""

EVENT_LISTS = ("events", "initial_events")
_MAX_LENGTH = 500


def refuse(error: ValidationError, tightened: Tightened, body: dict[str, Any]) -> InvalidRequest:
    """Turn `error` into the answer for the client who sent `body`."""
    found = error.errors(include_url=False, include_input=False)
    lines = [_line(detail, tightened, body) for detail in found[:MAX_SHOWN]]
    more = len(found) - len(lines)
    text = "; ".join(lines) + (f" (and {more} more)" if more > 0 else "")
    fields = {str(detail["loc"][0]) for detail in found if detail["loc"]}
    return InvalidRequest(text, code=_code(tightened, fields))


def at_event(events: str, index: int, kind: object) -> str:
    """How an event is named in a message (spec/core 6.2)."""
    name = kind if isinstance(kind, str) and len(kind) <= 64 else "event"  # noqa: PLR2004 - a type's length
    return f"{name} at {events}[{index}]"


def _code(tightened: Tightened, fields: set[str]) -> str | None:
    environment = tightened.name in ("EnvironmentCreate", "EnvironmentUpdate")
    return "invalid_metadata" if environment and fields == {"metadata"} else None


def _line(detail: ErrorDetails, tightened: Tightened, body: dict[str, Any]) -> str:
    path = _path(tightened, detail["loc"])
    if len(path) > 1 and path[0] in EVENT_LISTS and isinstance(path[1], int):
        event = body[path[0]][path[1]]
        kind = event.get("type") if isinstance(event, dict) else None
        place = at_event(path[0], path[1], kind)
        path = path[2:]
        prefix = f"{place}: {_dotted(path)}: " if path else f"{place}: "
    else:
        prefix = f"{_dotted(path)}: " if path else ""
    return prefix + _rule(detail)


def _rule(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if detail["loc"] and detail["loc"][-1] == TEXT_OR_OBJECT:
        return "Input should be a string or an object"
    match detail["type"]:
        case "string_pattern_mismatch":
            return limits.PATTERNS.get(context["pattern"], detail["msg"])
        case "value_error":
            return str(context["error"])
        case "model_attributes_type" | "dict_type":
            return "Input should be an object"
        case "union_tag_not_found":
            return f"{context['discriminator']} is required"
        case _:
            return detail["msg"][:_MAX_LENGTH]


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)[:_MAX_LENGTH]


def _path(tightened: Tightened, loc: tuple[str | int, ...]) -> list[str | int]:
    """Leave out the tags of chosen union members: the client did not write them."""
    path: list[str | int] = []
    schema: Schema | None = tightened.schema["schema"]
    for part in loc:
        schema = _bare(schema, tightened.definitions)
        if schema and schema["type"] == "tagged-union":
            schema = schema["choices"][part]
            continue
        if part != "[key]":
            path.append(part)
        schema = _member(schema, part) if schema else None
    return path


def _bare(schema: Schema | None, definitions: dict[str, Schema]) -> Schema | None:
    """Take the wrappings off that do not show in a path."""
    while schema:
        if schema["type"] == "definition-ref":
            schema = definitions[schema["schema_ref"]]
        elif schema["type"] in ("nullable", "function-before", "function-after", "function-wrap"):
            schema = schema["schema"]
        else:
            break
    return schema


def _member(schema: Schema, part: str | int) -> Schema | None:
    match schema["type"]:
        case "typed-dict":
            field: Schema | None = schema["fields"].get(part)
            return field["schema"] if field else None
        case "list":
            return schema["items_schema"]
        case "dict":
            return schema["values_schema"]
        case _:
            return None
