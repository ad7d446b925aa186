"""The SDK's response models as trees of field names, to fill in what a body leaves unset.

Every field a model has is there, null when unset, but for `ABSENT_WHEN_UNSET`. A model is read once
and nothing is validated afterwards. Keys the model does not have are left out, so that nothing
internal can leak; `Shape.strangers` finds them in tests.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Protocol, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel

Json: TypeAlias = Mapping[str, Any]

_USAGE = (
    "active_seconds",
    "cache_creation",
    "cache_read_input_tokens",
    "input_tokens",
    "list_cost",
    "output_tokens",
    "server_tool_use",
)
ABSENT_WHEN_UNSET = frozenset(
    {
        ("AgentToolUseEvent", "evaluated_permission"),
        ("AgentToolUseEvent", "evaluation"),
        ("AgentToolUseEvent", "session_thread_id"),
        ("AgentMCPToolUseEvent", "evaluated_permission"),
        ("AgentMCPToolUseEvent", "evaluation"),
        ("AgentMCPToolUseEvent", "session_thread_id"),
        ("AgentCustomToolUseEvent", "session_thread_id"),
        ("AgentThreadMessageReceivedEvent", "from_agent_name"),
        ("AgentThreadMessageSentEvent", "to_agent_name"),
        ("UserToolConfirmationEvent", "session_thread_id"),
        ("UserCustomToolResultEvent", "session_thread_id"),
        ("UserToolResultEvent", "session_thread_id"),
        ("SessionUpdatedEvent", "agent"),
        ("SessionUpdatedEvent", "budget"),
        ("SessionUpdatedEvent", "metadata"),
        ("SessionUpdatedEvent", "title"),
        ("SpanModelUsage", "speed"),
        ("SessionStats", "active_seconds"),
        ("SessionStats", "duration_seconds"),
        *(("SessionUsage", name) for name in _USAGE),
        *(("SessionThreadUsage", name) for name in _USAGE),
        *(("SessionUsageSnapshot", name) for name in _USAGE),
    }
)
"""(SDK model, field) pairs that are left out instead of null (spec/core 5.2, 6.4, 12a)."""


class Shape(Protocol):
    """What a JSON value looks like to clients."""

    def fill(self, value: Any) -> Any:
        """Return `value` with everything that is unset; raise `KeyError` for what cannot be."""
        ...

    def strangers(self, value: Any, path: str) -> Iterable[str]:
        """Yield the paths of keys that no client should see."""
        ...


def shape_of(annotation: Any) -> Shape:
    """Read a model, or a union of models."""
    shape = _shape_of(annotation)
    if shape is None:
        raise TypeError(f"not a response model: {annotation}")
    return shape


_ABSENT: Any = object()
_REQUIRED: Any = object()


class _Object:
    """The fields of one model: name, what stands in when unset, and the shape of the value."""

    def __init__(self, model: type[BaseModel]) -> None:
        model.model_rebuild()
        self._model = model.__name__
        names = sorted(model.model_fields, key=lambda name: name not in ("type", "id"))
        names.sort(key=lambda name: name != "type")
        self._fields: list[tuple[str, Any, Shape | None]] = []
        for name in names:
            shape = _shape_of(model.model_fields[name].annotation)
            self._fields.append((name, _stand_in(model, name), shape))

    def fill(self, value: Any) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, stand_in, shape in self._fields:
            found = value.get(name, stand_in)
            if found is _ABSENT:
                continue
            if found is _REQUIRED:
                raise KeyError(f"{self._model}.{name}")
            result[name] = found if shape is None or found is None else shape.fill(found)
        return result

    def strangers(self, value: Any, path: str) -> Iterable[str]:
        known = {name: shape for name, _, shape in self._fields}
        for name, inner in value.items():
            where = f"{path}.{name}" if path else name
            shape = known.get(name)
            if name not in known:
                yield where
            elif shape is not None and inner is not None:
                yield from shape.strangers(inner, where)


class _List:
    def __init__(self, item: Shape) -> None:
        self._item = item

    def fill(self, value: Any) -> list[Any]:
        return [self._item.fill(item) for item in value]

    def strangers(self, value: Any, path: str) -> Iterable[str]:
        for index, item in enumerate(value):
            yield from self._item.strangers(item, f"{path}.{index}")


class _Choice:
    """A union: the member is known by its ``type``, or its ``name`` where that says it too."""

    def __init__(self, key: str, members: dict[str, Shape]) -> None:
        self._key = key
        self._members = members

    def fill(self, value: Any) -> Any:
        shape = self._find(value)
        return shape.fill(value) if shape else value

    def strangers(self, value: Any, path: str) -> Iterable[str]:
        shape = self._find(value)
        return shape.strangers(value, path) if shape else ()

    def _find(self, value: Any) -> Shape | None:
        if not isinstance(value, Mapping):
            return None
        tag = value.get(self._key)
        if tag not in self._members:
            raise KeyError(f"no response has {self._key} {tag!r}")
        return self._members[tag]


@cache
def _object(model: type[BaseModel]) -> _Object:
    return _Object(model)


def _shape_of(annotation: Any) -> Shape | None:
    """The shape of a field; None for plain values, which are shown as they are."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shape_of(arguments[0])
    if origin is list:
        item = _shape_of(arguments[0])
        return _List(item) if item else None
    if origin in (Union, UnionType):
        return _union([a for a in arguments if a is not NoneType])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        # A model that declares its extras is open, like a JSON Schema: shown as it came.
        return None if "__pydantic_extra__" in annotation.__annotations__ else _object(annotation)
    return None


def _union(arguments: list[Any]) -> Shape | None:
    members = [a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)]
    if len(arguments) == 1 or not members:
        return _shape_of(arguments[0]) if len(arguments) == 1 else None
    # The config of a built-in tool may leave its type out, but never its name.
    for key in ("name", "type"):
        tags = [_constant(member, key) for member in members]
        if all(tags) and len(set(tags)) == len(members):
            return _Choice(key, dict(zip(map(str, tags), map(_object, members), strict=True)))
    raise TypeError(f"a union without a discriminator: {members}")


def _constant(model: type[BaseModel], name: str) -> str | None:
    """The one value that the field can have, if its type says so."""
    field = model.model_fields.get(name)
    if field is None:
        return None
    kinds = get_args(field.annotation) if not field.is_required() else (field.annotation,)
    values = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    return values[0] if len(values) == 1 else None


def _stand_in(model: type[BaseModel], name: str) -> Any:
    short = model.__name__.removeprefix("Beta").removeprefix("ManagedAgents")
    if (short, name) in ABSENT_WHEN_UNSET:
        return _ABSENT
    constant = _constant(model, name) if name == "type" else None
    if constant is None and model.model_fields[name].is_required():
        return _REQUIRED
    return constant
