"""The result of a tool call: what an MCP server said, as the content blocks clients see.

Whatever comes from a tool server is hostile. Unknown shapes become text, nothing is followed or
fetched, and sizes are bounded here. Block shapes: spec/core 6.1.
"""

from dataclasses import dataclass, field
from typing import Any

SPILL_CHARACTERS = 100_000
"""Text beyond this goes to a file; the model sees a preview and the path (spec/core 2.7.1)."""

PREVIEW_CHARACTERS = 2_000
MAX_BLOCKS = 64
_IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


@dataclass(frozen=True, slots=True)
class Result:
    """What a call came to, in wire blocks."""

    content: list[dict[str, Any]]
    is_error: bool = False
    answered: bool = field(default=False, compare=False)
    """The tool itself said this; else it may have done anything."""
    spent: dict[str, Any] | None = None
    """What the call adds to the session: ``usage``, by wire name, and ``cost``, in cents."""

    def text(self) -> str:
        """All text of the result, joined by newlines."""
        return "\n".join(block["text"] for block in self.content if block["type"] == "text")


def failure(message: str) -> Result:
    """A result that tells the model what went wrong."""
    return Result([{"type": "text", "text": message}], is_error=True)


def from_mcp(answer: dict[str, Any]) -> Result:
    """Read a ``tools/call`` result (MCP 2025-06-18 and later)."""
    blocks = answer.get("content")
    if not isinstance(blocks, list):
        return failure("the tool server sent a result without content")
    content = [_block(block) for block in blocks[:MAX_BLOCKS]]
    return Result(content, is_error=answer.get("isError") is True, answered=True)


def _block(block: object) -> dict[str, Any]:
    match block:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image", "data": str(data), "mimeType": str(media)} if media in _IMAGE_TYPES:
            return {"type": "image", "source": _base64(data, media)}
        case {"type": "resource", "resource": {"blob": str(data), "mimeType": "application/pdf"}}:
            return {"type": "document", "source": _base64(data, "application/pdf")}
        case {"type": "resource", "resource": {"text": str(text)}}:
            return {"type": "text", "text": text}
        case {"type": str(kind)}:
            return {"type": "text", "text": f"[{kind[:64]} content is not shown]"}
        case _:
            return {"type": "text", "text": "[unreadable content]"}


def _base64(data: str, media: str) -> dict[str, Any]:
    return {"type": "base64", "media_type": media, "data": data}


def oversized(result: Result) -> str | None:
    """The whole text of a result that is too long to show, or None."""
    length = sum(len(block["text"]) for block in result.content if block["type"] == "text")
    return result.text() if length > SPILL_CHARACTERS else None


def shorten(result: Result, text: str, path: str) -> Result:
    """Replace the text of an oversized result by its beginning and where the rest is."""
    preview = (
        f"{text[:PREVIEW_CHARACTERS]}\n\n[{len(text)} characters of output; all of it is in {path}]"
    )
    others = [block for block in result.content if block["type"] != "text"]
    return Result([{"type": "text", "text": preview}, *others], result.is_error)
