"""The arguments of a tool as policies see them: typed, bounded, and nothing left to guess.

`read_shape` turns the JSON Schema of a tool into a `Shape`; `to_cedar` turns the arguments of a
call into a Cedar record of that shape, or says which argument policies could not judge. What a
schema leaves open (``anyOf``, ``$ref``, free objects) is `Opaque`: such arguments pass unseen, and
a policy that names one does not type-check. A call that a policy could misread is refused before
any policy is asked: an argument that was not declared, a number that Cedar cannot hold.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

MAX_DEPTH = 5
MAX_PROPERTIES = 400
MAX_TEXT = 100_000
"""Characters of one argument."""
_LONG = range(-(2**63), 2**63)
_DECIMAL_LIMIT = Decimal(2**63 - 1).scaleb(-4)
_DECIMAL_DIGITS = 4


class Unjudgeable(Exception):
    """An argument that policies cannot be asked about; the text names it and the rule."""


@dataclass(frozen=True, slots=True)
class Scalar:
    kind: Literal["String", "Long", "Bool", "decimal"]


@dataclass(frozen=True, slots=True)
class Many:
    """An array, of which policies see the set."""

    of: "Shape"


@dataclass(frozen=True, slots=True)
class Record:
    fields: tuple[tuple[str, "Field"], ...]
    open: bool = False
    """Properties that were not declared are the tool's business, not an error."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """Policies do not see it."""


@dataclass(frozen=True, slots=True)
class Field:
    shape: "Shape"
    required: bool


Shape: TypeAlias = Scalar | Many | Record | Opaque

_SCALARS: dict[str, Scalar] = {
    "string": Scalar("String"),
    "integer": Scalar("Long"),
    "boolean": Scalar("Bool"),
    "number": Scalar("decimal"),
}
_OPEN_WORDS = frozenset(
    {"$ref", "anyOf", "oneOf", "allOf", "not", "if", "const", "patternProperties"}
)


def read_shape(schema: Mapping[str, Any], *, unseen: frozenset[str] = frozenset()) -> Record:
    """Read the ``inputSchema`` of a tool.

    Args:
        schema: A JSON Schema of an object; anything odd in it becomes opaque, never an error.
        unseen: Properties that are content rather than control, such as the text of a file.
    """
    left = [MAX_PROPERTIES]
    shape = _read_record(schema, MAX_DEPTH, left)
    fields = tuple(
        (name, Field(Opaque(), field.required) if name in unseen else field)
        for name, field in shape.fields
    )
    return Record(fields, open=shape.open)


def to_cedar(shape: Record, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the JSON form of a Cedar record.

    Raises:
        Unjudgeable: One is undeclared, of the wrong type, or out of Cedar's range.
    """
    return _record(shape, arguments, "")


def declare(shape: Shape) -> str:
    """The type of a shape in Cedar's schema language; opaque fields are left out."""
    match shape:
        case Scalar(kind):
            return kind
        case Many(of):
            return f"Set<{declare(of)}>"
        case Record(fields):
            declared = (
                f"{quote(name)}{'' if field.required else '?'}: {declare(field.shape)}"
                for name, field in fields
                if visible(field.shape)
            )
            return f"{{ {', '.join(declared)} }}"
        case _:
            raise AssertionError("opaque shapes are not declared")


def quote(text: str) -> str:
    """A string literal of Cedar's."""
    plain = json.dumps(text, ensure_ascii=False)
    return "".join(
        character if character.isprintable() else f"\\u{{{ord(character):x}}}"
        for character in plain
    )


def visible(shape: Shape) -> bool:
    """Whether policies see anything of it."""
    match shape:
        case Opaque():
            return False
        case Many(of):
            return visible(of)
        case _:
            return True


def _read(schema: object, depth: int, left: list[int]) -> Shape:
    left[0] -= 1
    if not isinstance(schema, Mapping) or depth == 0 or left[0] < 0:
        return Opaque()
    if _OPEN_WORDS & schema.keys():
        return Opaque()
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [each for each in kind if each != "null"]
        kind = kinds[0] if len(kinds) == 1 else None
    if kind == "object":
        return _read_record(schema, depth, left) if schema.get("properties") else Opaque()
    if kind == "array":
        inner = _read(schema.get("items"), depth - 1, left)
        return Many(inner) if visible(inner) else Opaque()
    return _SCALARS.get(kind, Opaque()) if isinstance(kind, str) else Opaque()


def _read_record(schema: Mapping[str, Any], depth: int, left: list[int]) -> Record:
    properties = schema.get("properties")
    required = schema.get("required")
    listed = required if isinstance(required, list) else []
    names = {name for name in listed if isinstance(name, str)}
    fields: list[tuple[str, Field]] = []
    for name, inner in (properties if isinstance(properties, Mapping) else {}).items():
        shape = _read(inner, depth - 1, left) if _is_nameable(name) else Opaque()
        # An argument that may be null is one that may be missing: Cedar has no null.
        fields.append((name, Field(shape, name in names and not _nullable(inner))))
    # Only what says so takes anything: JSON Schema's default would leave every tool open.
    return Record(tuple(fields), open=bool(schema.get("additionalProperties")))


def _is_nameable(name: str) -> bool:
    """Cedar's JSON gives a meaning to ``__entity`` and the like, and has no half characters."""
    return not name.startswith("__") and name.encode(errors="ignore").decode() == name


def _nullable(schema: object) -> bool:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return isinstance(kind, list) and "null" in kind


def _value(shape: Shape, value: Any, path: str) -> Any:
    match shape:
        case Many(of):
            if not isinstance(value, list):
                raise Unjudgeable(f"{path} must be an array")
            return [_value(of, each, f"{path}.{index}") for index, each in enumerate(value)]
        case Record():
            if not isinstance(value, dict):
                raise Unjudgeable(f"{path} must be an object")
            return _record(shape, value, f"{path}.")
        case _:
            assert isinstance(shape, Scalar), "opaque values are left out"
            return _scalar(shape.kind, value, path)


def _record(shape: Record, given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    fields = dict(shape.fields)
    undeclared = [name for name in given if name not in fields]
    if undeclared and not shape.open:
        raise Unjudgeable(f"{prefix}{undeclared[0]} is not an argument of this tool")
    record: dict[str, Any] = {}
    for name, field in fields.items():
        if given.get(name) is None:
            if field.required:
                raise Unjudgeable(f"{prefix}{name} is missing")
        elif visible(field.shape):
            record[name] = _value(field.shape, given[name], f"{prefix}{name}")
    return record


def _scalar(kind: str, value: Any, path: str) -> Any:
    if kind == "String":
        return _text(value, path)
    if kind == "Bool":
        if not isinstance(value, bool):
            raise Unjudgeable(f"{path} must be true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unjudgeable(f"{path} must be a number")
    return _long(value, path) if kind == "Long" else _decimal(value, path)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise Unjudgeable(f"{path} must be a string")
    if len(value) > MAX_TEXT:
        raise Unjudgeable(f"{path} is longer than the {MAX_TEXT:,} characters that policies read")
    return value


def _long(value: float, path: str) -> int:
    if not math.isfinite(value) or int(value) != value or int(value) not in _LONG:
        raise Unjudgeable(f"{path} must be a whole number of 64 bits")
    return int(value)


def _decimal(value: float, path: str) -> dict[str, Any]:
    exact = Decimal(str(value))
    if (
        not exact.is_finite()
        or abs(exact) > _DECIMAL_LIMIT
        or exact != round(exact, _DECIMAL_DIGITS)
    ):
        raise Unjudgeable(
            f"{path} needs more than the {_DECIMAL_DIGITS} decimal places or the range that"
            " policies can compare"
        )
    return {"__extn": {"fn": "decimal", "arg": f"{exact:.{_DECIMAL_DIGITS}f}"}}
