"""What every section is, and sizes in bytes."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema


class Section(BaseModel):
    """A table of the file: unknown keys are refused, nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _size(value: object) -> object:
    """Read ``"2 GiB"`` and the like as bytes; leave anything else to the validator."""
    units = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
    if isinstance(value, str):
        number, _, unit = value.strip().partition(" ")
        if unit in units and number.isdigit():
            return int(number) * units[unit]
    return value


Bytes: TypeAlias = Annotated[
    int,
    BeforeValidator(_size),
    Field(gt=0),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "exclusiveMinimum": 0},
                {"type": "string", "pattern": "^[0-9]+ ([KMGT]i)?B$"},
            ]
        }
    ),
]
