"""The whole surface of the wire as one file, so that an SDK upgrade shows what it brings.

``python -m tests.wire.surface`` writes ``surface.json`` anew. Look at the difference first: each
new field needs a decision (supported, accepted and ignored, or refused) and its line in the ledger.
"""

import json
from pathlib import Path
from typing import Any

from gateway.wire.schemas import json_schemas

FILE = Path(__file__).with_name("surface.json")
_DROPPED = ("title", "description", "discriminator")


def surface() -> str:
    """One line for each body and each type, sorted."""
    bodies, definitions = json_schemas()
    lines = {name: _plain(schema) for name, schema in {**bodies, **definitions}.items()}
    shown = [
        f"{json.dumps(name)}: {json.dumps(lines[name], sort_keys=True, separators=(',', ':'))}"
        for name in sorted(lines)
    ]
    return "{\n" + ",\n".join(shown) + "\n}\n"


def _plain(schema: Any) -> Any:
    """Leave out what says nothing about the bytes."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _plain_value(key, value) for key, value in schema.items() if key not in _DROPPED}


def _plain_value(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _plain(inner) for name, inner in value.items()}
    if key == "enum":
        # `typing` takes Literal["a", "b"] for Literal["b", "a"]: the order depends on imports.
        return sorted(value)
    return _plain(value)


if __name__ == "__main__":
    FILE.write_text(surface(), encoding="utf-8")
