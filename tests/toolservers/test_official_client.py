"""The official MCP client drives every tool, in each of its modes and over each transport."""

import base64
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import EmbeddedResource, ImageContent, TextContent

from tests.toolservers.peer import PATIENCE, PYTHON, ROOT

MODES = ["auto", "legacy", "2026-07-28"]
PNG = b"\x89PNG\r\n\x1a\n"


@asynccontextmanager
async def connected(workdir: Path, mode: str) -> AsyncGenerator[Client]:
    parameters = StdioServerParameters(
        command=PYTHON,
        args=["-m", "toolservers", "--stdio", "--workdir", str(workdir)],
        cwd=ROOT,
    )
    with anyio.fail_after(PATIENCE):
        async with Client(stdio_client(parameters), mode=mode) as client:
            yield client


async def text(client: Client, tool: str, **arguments: Any) -> tuple[str, bool]:
    result = await client.call_tool(tool, arguments)
    block = result.content[0]
    assert isinstance(block, TextContent)
    return block.text, result.is_error


@pytest.mark.parametrize("mode", MODES)
async def test_every_tool_works(workdir: Path, mode: str):
    async with connected(workdir, mode) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["bash", "edit", "glob", "grep", "read", "write"]
        assert await text(client, "write", file_path="a/b.txt", content="one\ntwo\n") == (
            "wrote 8 bytes to a/b.txt",
            False,
        )
        edited = await text(client, "edit", file_path="a/b.txt", old_string="two", new_string="2")
        assert edited == ("edited a/b.txt (1 replacement(s))", False)
        assert await text(client, "read", file_path="a/b.txt") == ("one\n2\n", False)
        assert await text(client, "glob", pattern="**/*.txt") == (f"{workdir}/a/b.txt", False)
        assert await text(client, "grep", pattern="^2$") == (f"{workdir}/a/b.txt:2:2", False)
        assert await text(client, "bash", command="cd a && cat b.txt") == ("one\n2", False)
        assert await text(client, "bash", command="pwd; false") == (f"{workdir}/a", True)


@pytest.mark.parametrize("mode", MODES)
async def test_images_and_pdfs_arrive_as_what_they_are(workdir: Path, mode: str):
    (workdir / "a.png").write_bytes(PNG)
    (workdir / "a.pdf").write_bytes(b"%PDF-")
    async with connected(workdir, mode) as client:
        image = (await client.call_tool("read", {"file_path": "a.png"})).content[0]
        pdf = (await client.call_tool("read", {"file_path": "a.pdf"})).content[0]
    assert isinstance(image, ImageContent)
    assert (base64.b64decode(image.data), image.mime_type) == (PNG, "image/png")
    assert isinstance(pdf, EmbeddedResource)
    assert pdf.resource.mime_type == "application/pdf"
    assert pdf.model_dump()["resource"]["blob"] == base64.b64encode(b"%PDF-").decode()


@pytest.mark.parametrize("mode", MODES)
async def test_progress_reaches_the_callback(workdir: Path, mode: str):
    seen: list[tuple[float, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message))

    async with connected(workdir, mode) as client:
        await client.call_tool("bash", {"command": "echo working"}, progress_callback=note)
    assert seen == [(8, "working")]


@pytest.mark.parametrize("mode", MODES)
async def test_leaving_a_call_kills_its_command(workdir: Path, mode: str):
    begun = workdir / "begun"
    os.mkfifo(begun)
    async with connected(workdir, mode) as client:
        async with anyio.create_task_group() as tasks:
            call = {"command": "echo x > begun; sleep 1000"}
            tasks.start_soon(client.call_tool, "bash", call)
            await anyio.to_thread.run_sync(begun.read_bytes)
            tasks.cancel_scope.cancel()
        assert await text(client, "bash", command="true") == (
            "bash: bash session terminated; restart required",
            True,
        )


@pytest.mark.parametrize("mode", MODES)
async def test_calls_run_at_the_same_time(workdir: Path, mode: str):
    os.mkfifo(workdir / "meet")
    texts: list[str] = []

    async def run(client: Client, thread: str, command: str) -> None:
        meta: Any = {"wharfkeep/thread": thread}
        result = await client.call_tool("bash", {"command": command}, meta=meta)
        assert isinstance(result.content[0], TextContent)
        texts.append(result.content[0].text)

    async with connected(workdir, mode) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(run, client, "one", "cat meet")
        tasks.start_soon(run, client, "two", "echo met > meet")
    assert sorted(texts) == ["", "met"]


@pytest.mark.parametrize("mode", MODES)
async def test_an_unknown_tool_is_a_protocol_error(workdir: Path, mode: str):
    async with connected(workdir, mode) as client:
        with pytest.raises(MCPError, match="Unknown tool: rm"):
            await client.call_tool("rm", {})
