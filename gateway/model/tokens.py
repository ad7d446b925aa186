"""How many tokens something is, guessed from its size when nobody counts for us.

Within a fifth of the real number for prose and code in Latin script; images and PDFs by the
rules their sizes are billed with. Never used where the endpoint reports real counts.
"""

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

from gateway.model.contract import Request

CHARACTERS = 3.5
"""Characters of Latin text for one token."""
OTHER_SCRIPTS = 1.2
"""The same for scripts that tokenizers know less well."""
BLOCK = 5
"""What the frame around a turn, a block or a tool costs."""

_LATIN_END = 0x250
_MAX_IMAGE = 1_600
_PIXELS_PER_TOKEN = 750
_PDF_PAGE = 2_000
_PDF_BYTES_PER_PAGE = 60_000


def of_request(request: Request) -> int:
    """Everything the model would read."""
    tools = sum(BLOCK + of_json(tool) for tool in request.tools)
    return of_text(request.system) + tools + of_messages(request.messages)


def of_messages(messages: list[dict[str, Any]]) -> int:
    return sum(BLOCK + of_content(message["content"]) for message in messages)


def of_content(content: Any) -> int:
    """A turn's content: a text, or a list of blocks."""
    if isinstance(content, str):
        return of_text(content)
    return sum(_of_block(block) for block in content or [])


def of_text(text: str) -> int:
    if text.isascii():
        return round(len(text) / CHARACTERS)
    other = sum(1 for letter in text if ord(letter) >= _LATIN_END)
    return round((len(text) - other) / CHARACTERS + other / OTHER_SCRIPTS)


def of_json(value: Any) -> int:
    return of_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _of_block(block: dict[str, Any]) -> int:
    rule = _RULES.get(block.get("type", ""))
    return BLOCK + (of_json(block) if rule is None else rule(block))


def _of_image(source: dict[str, Any]) -> int:
    """Width times height over 750; the largest image the API keeps when only that is known."""
    size = _png_size(source.get("data") or "")
    if size is None:
        return _MAX_IMAGE
    return min(_MAX_IMAGE, size[0] * size[1] // _PIXELS_PER_TOKEN)


def _png_size(data: str) -> tuple[int, int] | None:
    try:
        head = base64.b64decode(data[:32], validate=True)
    except ValueError:
        return None
    if not head.startswith(b"\x89PNG"):
        return None
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _of_document(source: dict[str, Any]) -> int:
    if source.get("type") == "text":
        return of_text(source.get("data") or "")
    if source.get("type") == "content":
        return of_content(source.get("content"))
    size = len(source.get("data") or "") * 3 // 4
    return _PDF_PAGE * max(1, round(size / _PDF_BYTES_PER_PAGE))


_RULES: dict[str, Callable[[dict[str, Any]], int]] = {
    "text": lambda block: of_text(block.get("text") or ""),
    "thinking": lambda block: of_text(block.get("thinking") or ""),
    "image": lambda block: _of_image(block.get("source") or {}),
    "document": lambda block: _of_document(block.get("source") or {}),
    "tool_result": lambda block: of_content(block.get("content")),
    "tool_use": lambda block: of_text(block.get("name") or "") + of_json(block.get("input")),
}
