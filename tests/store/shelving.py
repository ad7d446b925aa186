"""A gateway to be killed: it adds and deletes files for ever, and says on standard output what is done.

Usage: ``python -m tests.store.shelving URL DATA_DIR FOLDER``. A line ``+ID`` says that a file was
added, ``-ID`` that one was deleted.
"""

import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from gateway.clock import SystemClock, new_id
from gateway.settings import Files
from gateway.store.blobs import DiskBlobs, Stored
from gateway.store.records import FileRow
from gateway.store.shelf import Shelf
from tests.store.places import Place
from tests.store.rows import WORKSPACE

CONTENT = b"some bytes" * 5000


def described(blob: str, stored: Stored, **changes: Any) -> FileRow:
    row = FileRow(
        id=new_id("file"),
        workspace=WORKSPACE,
        filename="a.txt",
        mime_type="text/plain",
        size=stored.size,
        sha256=stored.sha256,
        blob=blob,
        downloadable=False,
        counted=True,
        scope=None,
        created_at=1,
        expires_at=None,
    )
    return replace(row, **changes)


async def content() -> AsyncGenerator[bytes]:
    yield CONTENT


async def run(url: str, data_dir: Path, folder: Path) -> None:
    async with Place(url, data_dir).open() as store:
        shelf = Shelf(store, DiskBlobs(folder / "blobs"), SystemClock(), Files())
        while True:
            rows = [await shelf.add(content(), described) for _ in range(2)]
            for row in rows:
                say(f"+{row.id}")
            await shelf.delete(workspace=WORKSPACE, id=rows[0].id)
            say(f"-{rows[0].id}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(run, sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
