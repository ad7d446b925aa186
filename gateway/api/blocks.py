"""Files that events name: checked when the events arrive, before anything is queued.

The log keeps ids, and the model's requests get the bytes (`gateway.model.inline`). Only a rubric is
read at once, because its text is what the agent and the grader are shown (spec/core 6.3).
"""

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

from gateway.api.context import Gateway
from gateway.errors import InvalidRequest, NotFound
from gateway.store.records import FileRow
from gateway.wire.mistakes import at_event

Json: TypeAlias = dict[str, Any]

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_PDF = "application/pdf"
_RUBRIC = 262_144
"""Characters of a rubric (spec/resources G-2)."""


async def settle(
    gateway: Gateway, workspace: str, events: Sequence[Json], *, name: str = "events"
) -> list[Json]:
    """Check every file that the events name; return the events with their rubrics as text.

    Args:
        gateway: Where files are.
        workspace: Whose they must be.
        events: Parsed events.
        name: What the request calls them.

    Raises:
        NotFound: A file is not there, or has expired.
        InvalidRequest: It is not of a kind that can be used there.
    """
    named = [found for event in events for found in _named(event)]
    if not named:
        return list(events)
    ids = {source["file_id"] for _, source, _ in named}
    rows = {r.id: r for r in await gateway.store.files.some(workspace=workspace, ids=ids)}
    settled: list[Json] = []
    for index, event in enumerate(events):
        where = at_event(name, index, event["type"])
        for path, source, kind in _named(event):
            row = _readable(gateway, rows, source["file_id"], f"{where}: {path}.file_id")
            if kind == "rubric":
                text = await _text(gateway, row, f"{where}: {path}.file_id")
                event = {**event, "rubric": {"type": "text", "content": text}}  # noqa: PLW2901 - made anew
            else:
                _check_kind(gateway, row, kind, f"{where}: {path}.file_id")
        settled.append(event)
    return settled


def _named(event: Json) -> Iterator[tuple[str, Json, str]]:
    """Where an event names a file: the path, the object with the id, and what it is to be."""
    rubric = event.get("rubric") or {}
    if rubric.get("type") == "file":
        yield "rubric", rubric, "rubric"
    for place, block in enumerate(event.get("content") or ()):
        source: Any = block.get("source")  # the source of a search result is a text
        if isinstance(source, dict) and source.get("type") == "file":
            yield f"content.{place}.source", source, block["type"]


def _readable(gateway: Gateway, rows: dict[str, FileRow], file: str, where: str) -> FileRow:
    row = rows.get(file)
    if row is None:
        raise NotFound(f"{where}: file {file} not found")
    if not row.readable(gateway.clock.now()):
        raise NotFound(f"{where}: file {file} has expired", code="file_expired")
    return row


def _check_kind(gateway: Gateway, row: FileRow, kind: str, where: str) -> None:
    if kind == "image" and row.mime_type not in IMAGES:
        raise InvalidRequest(f"{where}: {row.mime_type} is not an image that models read")
    if kind == "document" and row.mime_type != _PDF and not row.mime_type.startswith("text/"):
        raise InvalidRequest(
            f"{where}: {row.mime_type} is neither PDF nor text; add the file to the session's"
            " resources instead"
        )
    if row.size > gateway.config.files.inline:
        raise InvalidRequest(
            f"{where}: a message can carry files of {gateway.config.files.inline} bytes"
        )


async def _text(gateway: Gateway, row: FileRow, where: str) -> str:
    """The text of a rubric."""
    if row.size > 4 * _RUBRIC:
        raise InvalidRequest(f"{where}: a rubric has at most {_RUBRIC} characters")
    try:
        async with aclosing(gateway.shelf.open(row)) as chunks:
            text = b"".join([chunk async for chunk in chunks]).decode()
    except FileNotFoundError as error:
        raise NotFound(f"{where}: file {row.id} not found") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{where}: a rubric must be text in UTF-8") from error
    if not text.strip() or "\0" in text or len(text) > _RUBRIC:
        raise InvalidRequest(f"{where}: a rubric must be text of 1 to {_RUBRIC} characters")
    return text
