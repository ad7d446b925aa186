"""What a model gets of the files in a conversation."""

import base64
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.clock import SystemClock
from gateway.model.contract import Answer, Capabilities, Part, Request
from gateway.model.inline import WithFiles
from gateway.settings import Files
from gateway.store.blobs import DiskBlobs, Stored
from gateway.store.records import FileRow
from gateway.store.shelf import Shelf
from gateway.store.store import Store, open_store
from tests.ledger.requirement import requirement

CLOCK = SystemClock()
ROW = FileRow(
    id="file_1",
    workspace="wrkspc_1",
    filename="a",
    mime_type="image/png",
    size=0,
    sha256="",
    blob=None,
    downloadable=False,
    counted=True,
    scope=None,
    created_at=1,
    expires_at=None,
)
GONE = {"type": "text", "text": "[a file was here that is no longer available]"}


class Listener:
    """A model that says nothing and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.hold = anyio.Event()
        self.hold.set()

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(endpoint=model)

    async def stream(self, request: Request) -> AsyncGenerator[Part]:
        self.asked.append(request)
        await self.hold.wait()
        yield Answer(content=[], stop_reason="end_turn", endpoint="", model=request.model)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    store = await open_store("", tmp_path / "data", clock=CLOCK)
    yield store
    await store.aclose()


@pytest.fixture
def shelf(store: Store, tmp_path: Path) -> Shelf:
    return Shelf(store, DiskBlobs(tmp_path / "blobs"), CLOCK, Files(inline=1000))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def model(store: Store, shelf: Shelf, listener: Listener) -> WithFiles:
    return WithFiles(listener, store, shelf, CLOCK)


async def add(shelf: Shelf, name: str, content: bytes, kind: str = "image/png") -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        yield content

    def describe(blob: str, stored: Stored) -> FileRow:
        return replace(ROW, id=name, mime_type=kind, size=stored.size, blob=blob)

    await shelf.add(chunks(), describe)


def block(file: str, kind: str = "image", **more: Any) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "file", "file_id": file}, **more}


def ask(*messages: list[dict[str, Any]]) -> Request:
    made = [{"role": "user", "content": content} for content in messages]
    return Request(model="m", system="", messages=made, tools=[])


async def sent(model: WithFiles, listener: Listener, request: Request) -> list[Any]:
    async for _ in model.stream(request):
        pass
    return [message["content"] for message in listener.asked.pop().messages]


def encoded(content: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"type": "base64", "media_type": kind, "data": base64.b64encode(content).decode()}


@requirement("files:events:content")
async def test_files_are_sent_as_base64_or_as_text(
    shelf: Shelf, model: WithFiles, listener: Listener
):
    await add(shelf, "file_png", b"picture")
    await add(shelf, "file_pdf", b"%PDF", "application/pdf")
    await add(shelf, "file_md", "né".encode(), "text/markdown")
    text = {"type": "text", "text": "Look"}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [text, block("file_png")]}
    search = {"type": "search_result", "source": "https://a.example", "content": [text]}
    asked = ask(
        [text, block("file_png"), search],
        [block("file_pdf", "document", title="T"), block("file_md", "document"), result],
    )
    before = repr(asked)
    first, second = await sent(model, listener, asked)
    assert first == [text, {"type": "image", "source": encoded(b"picture")}, search]
    plain = {"type": "text", "media_type": "text/plain", "data": "né"}
    assert second == [
        {"type": "document", "source": encoded(b"%PDF", "application/pdf"), "title": "T"},
        {"type": "document", "source": plain},
        {**result, "content": [text, first[1]]},
    ]
    assert repr(asked) == before, "the conversation itself keeps the ids"


async def test_a_request_without_files_is_passed_on_untouched(model: WithFiles, listener: Listener):
    asked = ask([{"type": "text", "text": "Hi"}])
    async for _ in model.stream(asked):
        pass
    assert listener.asked[0] is asked
    assert model.capabilities("m").endpoint == "m"


async def test_what_is_gone_is_said(
    shelf: Shelf, model: WithFiles, listener: Listener, store: Store
):
    await add(shelf, "file_1", b"picture")
    await add(shelf, "file_2", b"picture")
    await shelf.delete(workspace="wrkspc_1", id="file_1")
    (row,) = await store.files.named(ids=["file_2"])
    await shelf.blobs.delete(str(row.blob))
    asked = ask([block("file_1"), block("file_2"), block("file_none")])
    assert await sent(model, listener, asked) == [[GONE, GONE, GONE]]


async def test_the_newest_files_are_sent_and_older_ones_left_out(
    shelf: Shelf, model: WithFiles, listener: Listener
):
    for number in range(3):
        await add(shelf, f"file_{number}", bytes([number]) * 400)
    asked = ask([block("file_0")], [block("file_1")], [block("file_2"), block("file_2")])
    kept = {"type": "image", "source": encoded(b"\2" * 400)}
    older = {"type": "image", "source": encoded(b"\1" * 400)}
    assert await sent(model, listener, asked) == [[GONE], [older], [kept, kept]]


async def test_full_requests_wait_for_room(shelf: Shelf, model: WithFiles, listener: Listener):
    await add(shelf, "file_1", b"x" * 1000)
    listener.hold = anyio.Event()

    async def run() -> None:
        async for _ in model.stream(ask([block("file_1")])):
            pass

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(run)
            while len(listener.asked) < 8:  # noqa: ASYNC110 - a request has no event to wait for
                await anyio.sleep(0.01)
            await anyio.wait_all_tasks_blocked()
            assert len(listener.asked) == 8
            listener.hold.set()
    assert len(listener.asked) == 12
