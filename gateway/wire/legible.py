"""JSON for people who decide by it: nothing in the text can hide, move or forge another part."""

import json
from typing import Any

MOST = 20_000
"""Characters shown; whoever reads more than that decides by something else."""


def legible(value: Any) -> str:
    """A JSON value on indented lines.

    Whatever is not a visible character, such as what steers a terminal or turns the direction of
    writing, is shown as its code. Text that is too long says how much is missing.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if len(text) > MOST:
        text = f"{text[:MOST]}\n... {len(text) - MOST:,} more characters"
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    return json.dumps(character)[1:-1]
