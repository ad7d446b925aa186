"""The SDK's request types made strict: one rewritten core schema for each.

A plain adapter of an SDK ``TypedDict`` drops unknown keys, leaves ``Iterable`` fields unread and
answers a wrong union member with every branch's complaints. `tighten` rewrites the schema instead:
header fields go, extras are refused, iterables become lists, unions are chosen by their ``type``
(or ``name``) before anything is checked, nothing is coerced, and the limits of `limits.py` are
built in. It knows no endpoint; `requests.py` does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, cast

from pydantic import TypeAdapter
from pydantic_core import CoreSchema, SchemaValidator

from gateway.wire import limits

Schema: TypeAlias = dict[str, Any]
"""A pydantic core schema."""

HEADER_FIELDS = ("betas", "workspace_id", "user_profile_id")
TEXT_OR_OBJECT = "(object)"
"""The tag of the object in a union of a string and objects."""

_DISCRIMINATORS = ("type", "name")
_COERCIBLE = ("bool", "int", "float", "str", "list", "dict")
_INNER = ("schema", "items_schema", "keys_schema", "values_schema", "extras_schema")


@dataclass(frozen=True)
class Tightened:
    """A strict validator and the schema it was made from."""

    name: str
    schema: Schema
    validator: SchemaValidator
    definitions: dict[str, Schema]

    def validate(self, value: Any) -> Any:
        """Return `value` as it is on the wire.

        Raises:
            pydantic_core.ValidationError: With one line for each mistake.
        """
        return self.validator.validate_python(value)


def tighten(
    params: type, *, lax: bool = False, drop: tuple[str, ...] = (), keep: tuple[str, ...] = ()
) -> Tightened:
    """Build the strict validator of an SDK ``TypedDict``.

    Args:
        params: The SDK's type of the request body.
        lax: Unknown fields are ignored and left out instead of refused.
        drop: Fields that travel in the path, next to `HEADER_FIELDS`.
        keep: Those of `HEADER_FIELDS` that travel in this body after all.
    """
    source = cast("Schema", TypeAdapter(params).core_schema)
    rewriter = _Rewriter(lax=lax)
    for definition in source.get("definitions", ()):
        rewriter.sources[definition["ref"]] = definition
    body: Schema = source["schema"] if source["type"] == "definitions" else source
    top = body if body["type"] == "typed-dict" else rewriter.sources[body["schema_ref"]]
    dropped = {*HEADER_FIELDS, *drop} - {*keep}
    top = {**top, "fields": {k: v for k, v in top["fields"].items() if k not in dropped}}
    schema = rewriter.rewrite(top)
    definitions = {ref: rewriter.rewrite(s) for ref, s in rewriter.sources.items()}
    whole = {"type": "definitions", "schema": schema, "definitions": [*definitions.values()]}
    validator = SchemaValidator(cast("CoreSchema", whole))
    return Tightened(limits.short_name(params), whole, validator, definitions)


@dataclass
class _Rewriter:
    lax: bool
    sources: dict[str, Schema] = field(default_factory=dict[str, Schema])

    def rewrite(self, schema: Schema) -> Schema:
        kind: str = schema["type"]
        special: dict[str, Callable[[Schema], Schema]] = {
            "typed-dict": self._object,
            "union": self._union,
            "generator": self._list,
            "json-or-python": lambda s: self.rewrite(s["json_schema"]),
            "datetime": _text_of_a_datetime,
        }
        if kind in special:
            return special[kind](schema)
        # Serialisers and class metadata mean nothing to a validator of plain dicts.
        kept = {k: v for k, v in schema.items() if k not in ("metadata", "serialization")}
        if kind in _COERCIBLE:
            kept["strict"] = True
        return {k: self.rewrite(v) if k in _INNER else v for k, v in kept.items()}

    def _object(self, schema: Schema) -> Schema:
        name = limits.short_name(schema["cls"])
        fields = {key: self._field(f"{name}.{key}", f) for key, f in schema["fields"].items()}
        kept = {k: v for k, v in schema.items() if k not in ("metadata", "serialization")}
        if "extras_schema" not in schema:
            kept["extra_behavior"] = "ignore" if self.lax else "forbid"
        return limits.forgetful(name, {**kept, "strict": True, "fields": fields})

    def _field(self, path: str, source: Schema) -> Schema:
        return {
            "type": "typed-dict-field",
            "required": source["required"],
            "schema": limits.bounded(path, self.rewrite(source["schema"])),
        }

    def _list(self, schema: Schema) -> Schema:
        return {
            "type": "list",
            "strict": True,
            "items_schema": self.rewrite(schema["items_schema"]),
        }

    def _union(self, schema: Schema) -> Schema:
        """Choose the member first, then check it alone."""
        choices = [c[0] if isinstance(c, tuple) else c for c in schema["choices"]]
        objects = [c for c in choices if self._resolve(c)["type"] in ("typed-dict", "union")]
        scalars = [self.rewrite(c) for c in choices if c not in objects]
        if not objects:
            return _one_or_many(scalars)
        chosen = self._tagged(objects)
        if not scalars:
            return chosen
        return {
            "type": "tagged-union",
            "discriminator": _text_or_object,
            "choices": {"text": _one_scalar(scalars), TEXT_OR_OBJECT: chosen},
        }

    def _tagged(self, objects: list[Schema]) -> Schema:
        flat = [m for o in objects for m in self._members(o)]
        if len(flat) == 1:
            return self.rewrite(flat[0])
        for key in _DISCRIMINATORS:
            tags = [self._tag(member, key) for member in flat]
            if all(tags):
                choices = {tag: self.rewrite(m) for tag, m in zip(tags, flat, strict=True)}
                return {"type": "tagged-union", "discriminator": key, "choices": choices}
        raise TypeError(f"a union without a discriminator: {[m.get('ref') for m in flat]}")

    def _members(self, schema: Schema) -> list[Schema]:
        resolved = self._resolve(schema)
        if resolved["type"] != "union":
            return [schema]
        inner = (c[0] if isinstance(c, tuple) else c for c in resolved["choices"])
        return [member for choice in inner for member in self._members(choice)]

    def _tag(self, member: Schema, key: str) -> str | None:
        """The one value that `key` must have in `member`, if it is always there."""
        found = self._resolve(member)["fields"].get(key)
        if found is None or not found["required"] or found["schema"]["type"] != "literal":
            return None
        expected: list[str] = found["schema"]["expected"]
        return expected[0] if len(expected) == 1 else None

    def _resolve(self, schema: Schema) -> Schema:
        while schema["type"] == "definition-ref":
            schema = self.sources[schema["schema_ref"]]
        return schema


def _one_or_many(scalars: list[Schema]) -> Schema:
    """A list of values beside words that stand for one."""
    lists = [s for s in scalars if s["type"] == "list"]
    if not lists:
        return _one_scalar(scalars)
    words = _one_scalar([s for s in scalars if s["type"] != "list"])
    choices = {"text": words, limits.LIST: lists[0]}
    return {"type": "tagged-union", "discriminator": _text_or_list, "choices": choices}


def _one_scalar(scalars: list[Schema]) -> Schema:
    """Open strings swallow the literals that the SDK lists beside them as examples."""
    texts = [s for s in scalars if s["type"] == "str"]
    if texts:
        return texts[0]
    expected = [value for s in scalars for value in s["expected"]]
    return {"type": "literal", "expected": expected}


def _text_or_object(value: Any) -> str:
    return "text" if isinstance(value, str) else TEXT_OR_OBJECT


def _text_or_list(value: Any) -> str:
    return "text" if isinstance(value, str) else limits.LIST


def _text_of_a_datetime(schema: Schema) -> Schema:
    """A timestamp stays the text it came as, once it is known to be one."""

    def check(value: Any, inner: Callable[[Any], datetime]) -> Any:
        if not isinstance(value, str):
            raise ValueError("must be an RFC 3339 timestamp")  # noqa: TRY004 - a validator's error
        inner(value)
        return value

    return {
        "type": "function-wrap",
        "function": {"type": "no-info", "function": check},
        "schema": {**schema, "strict": False},
    }
