"""Files in a model's request: the conversation names them, the request carries their bytes.

Endpoints do not know our files, so an image or a document with a file as its source is sent as
base64 or as text. The newest files go first; what no longer fits, or is gone, becomes a sentence.
"""

import base64
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import anyio
from anyio import to_thread

from gateway.clock import Clock
from gateway.errors import ApiError
from gateway.model.contract import Capabilities, Model, ModelError, Part, Request
from gateway.store.records import FileRow
from gateway.store.shelf import Shelf
from gateway.store.store import Store

Json: TypeAlias = dict[str, Any]

_REQUESTS = 8
"""Full requests that may be held in memory at the same time; others wait for room."""


class WithFiles:
    """A `Model` that sends files along.

    The ids were checked when they came into the log, so nothing is asked about workspaces here.
    """

    def __init__(self, model: Model, store: Store, shelf: Shelf, clock: Clock) -> None:
        self._model = model
        self._store = store
        self._shelf = shelf
        self._clock = clock
        self._room = _Room(_REQUESTS * shelf.settings.inline)

    def capabilities(self, model: str) -> Capabilities:
        return self._model.capabilities(model)

    async def stream(self, request: Request) -> AsyncGenerator[Part, None]:
        named = _files(request)
        rows = await self._chosen(named) if named else {}
        async with self._room.taken(sum(row.size for row in rows.values())):
            stream = self._model.stream(await self._fill(request, rows) if named else request)
            async with aclosing(stream) as parts:  # pyright: ignore[reportArgumentType] - a generator
                async for part in parts:
                    yield part

    async def _chosen(self, named: Sequence[str]) -> dict[str, FileRow]:
        """Those of the files that are sent: the last ones of the conversation, as many as fit."""
        named = list(dict.fromkeys(reversed(named)))
        now, left = self._clock.now(), self._shelf.settings.inline
        known = {row.id: row for row in await self._store.files.named(ids=named)}
        chosen: dict[str, FileRow] = {}
        for name in named:
            row = known.get(name)
            if row is not None and row.readable(now) and row.size <= left:
                chosen[name] = row
                left -= row.size
        return chosen

    async def _fill(self, request: Request, rows: dict[str, FileRow]) -> Request:
        sources: dict[str, Json] = {}
        for name, row in rows.items():
            try:
                sources[name] = await self._source(row)
            except FileNotFoundError:
                continue  # deleted meanwhile
            except ApiError as error:
                raise ModelError("request_failed", error.message, retryable=True) from error

        def send(block: Json) -> Json:
            source = sources.get(block["source"]["file_id"])
            return _NOTE if source is None else {**block, "source": source}

        messages = [
            {**message, "content": _replaced(message["content"], send)}
            for message in request.messages
        ]
        return replace(request, messages=messages)

    async def _source(self, row: FileRow) -> Json:
        async with aclosing(self._shelf.open(row)) as chunks:
            data = b"".join([chunk async for chunk in chunks])
        if row.mime_type.startswith("text/"):
            text = data.decode("utf-8", "replace")
            return {"type": "text", "media_type": "text/plain", "data": text}
        encoded = await to_thread.run_sync(base64.b64encode, data)
        return {"type": "base64", "media_type": row.mime_type, "data": encoded.decode()}


class _Room:
    """Bytes that may be in memory; whoever wants more waits, but one may always have all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._freed = anyio.Condition()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncGenerator[None]:
        async with self._freed:
            while self._used and self._used + size > self._most:
                await self._freed.wait()
            self._used += size
        try:
            yield
        finally:
            self._used -= size
            with anyio.CancelScope(shield=True):
                async with self._freed:
                    self._freed.notify_all()


_NOTE: Json = {"type": "text", "text": "[a file was here that is no longer available]"}


def _files(request: Request) -> list[str]:
    """The ids of the files in a conversation, in its order."""
    return [
        block["source"]["file_id"]
        for message in request.messages
        for block in _blocks(message["content"])
    ]


def _blocks(content: str | Sequence[Json]) -> Iterator[Json]:
    if isinstance(content, str):
        return
    for block in content:
        if _is_file(block):
            yield block
        elif block.get("type") == "tool_result":
            yield from _blocks(block.get("content") or ())


def _replaced(content: str | Sequence[Json], send: Callable[[Json], Json]) -> str | list[Json]:
    if isinstance(content, str):
        return content
    made: list[Json] = []
    for block in content:
        if _is_file(block):
            made.append(send(block))
        elif block.get("type") == "tool_result" and isinstance(block.get("content"), list):
            made.append({**block, "content": _replaced(block["content"], send)})
        else:
            made.append(block)
    return made


def _is_file(block: Json) -> bool:
    source = block.get("source")
    return isinstance(source, dict) and source.get("type") == "file"
