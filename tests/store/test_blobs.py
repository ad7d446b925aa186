"""Blobs: whole or not there, on disk and in a real S3-compatible store."""

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from gateway.errors import Internal, StartError, TooLarge
from gateway.settings import Files
from gateway.store.blobs import CHUNK, Blobs, DiskBlobs, Stored
from gateway.store.s3 import open_s3
from tests.store import bucket

SECONDS = 30.0
LARGE = 20 * CHUNK + 1
"""More than one part of an upload to S3."""


@pytest.fixture(scope="session")
def s3() -> Generator[Files]:
    if bucket.program() is None:
        pytest.skip("there is no versitygw, the S3-compatible server of these tests")
    with tempfile.TemporaryDirectory() as folder, bucket.serve(Path(folder)) as settings:
        yield settings


@pytest.fixture(params=["disk", "s3"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Blobs]:
    if request.param == "disk":
        opened: Blobs = DiskBlobs(tmp_path / "blobs")
    else:
        settings: Files = request.getfixturevalue("s3")
        prefix = f"{settings.url}/{tmp_path.name}"
        opened = open_s3(settings.model_copy(update={"url": prefix}))
    yield opened
    await opened.aclose()


async def pieces(*parts: bytes) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part


async def endless(size: int = LARGE) -> AsyncGenerator[bytes]:
    """Some bytes, and then nothing more for ever."""
    yield b"x" * size
    await anyio.sleep_forever()


async def content(blobs: Blobs, key: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.open(key)])


@pytest.mark.parametrize("size", [0, 1, CHUNK, LARGE])
async def test_a_blob_comes_back_as_it_was(blobs: Blobs, size: int):
    data = os.urandom(size)
    cut = size // 3
    stored = await blobs.put("files/a", pieces(data[:cut], b"", data[cut:]), max_bytes=size)
    assert stored == Stored(size, hashlib.sha256(data).hexdigest())
    assert await blobs.exists("files/a")
    assert await content(blobs, "files/a") == data


async def test_a_blob_is_read_in_chunks(blobs: Blobs):
    await blobs.put("files/a", pieces(b"x" * LARGE), max_bytes=LARGE)
    sizes = [len(chunk) async for chunk in blobs.open("files/a")]
    assert len(sizes) > 5
    assert max(sizes) < 10 * CHUNK


async def test_keys_have_folders_and_do_not_get_in_each_others_way(blobs: Blobs):
    for key in ("a", "archives/sesn_1/1.tar.zst", "archives/sesn_1/2.tar.zst", "archives/x"):
        await blobs.put(key, pieces(key.encode()), max_bytes=100)
    await blobs.delete("archives/sesn_1/1.tar.zst")
    assert not await blobs.exists("archives/sesn_1/1.tar.zst")
    assert await content(blobs, "archives/sesn_1/2.tar.zst") == b"archives/sesn_1/2.tar.zst"
    assert await content(blobs, "a") == b"a"


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".incoming/x", "a b"])
async def test_what_is_no_key_is_refused(blobs: Blobs, key: str):
    for call in (blobs.delete, blobs.exists):
        with pytest.raises(ValueError, match="not a key"):
            await call(key)
    with pytest.raises(ValueError, match="not a key"):
        await blobs.put(key, pieces(b"x"), max_bytes=1)
    with pytest.raises(ValueError, match="not a key"):
        blobs.path(key)


async def test_what_is_not_there_is_not_found_and_may_be_deleted(blobs: Blobs):
    with pytest.raises(FileNotFoundError):
        await content(blobs, "files/none")
    await blobs.delete("files/none")
    assert not await blobs.exists("files/none")


@pytest.mark.parametrize("size", [11, LARGE])
async def test_a_blob_above_the_limit_does_not_appear(blobs: Blobs, size: int):
    with pytest.raises(TooLarge, match="larger than 10 bytes"):
        await blobs.put("files/a", pieces(b"x" * size), max_bytes=10)
    assert not await blobs.exists("files/a")


async def test_a_source_that_fails_leaves_no_blob_and_its_error_comes_out(blobs: Blobs):
    async def failing() -> AsyncGenerator[bytes]:
        yield b"x" * LARGE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await blobs.put("files/a", failing(), max_bytes=2 * LARGE)
    assert not await blobs.exists("files/a")


async def test_a_cancelled_upload_ends_at_once_and_leaves_no_blob(blobs: Blobs):
    with anyio.fail_after(SECONDS):
        with anyio.move_on_after(0.2) as scope:
            await blobs.put("files/a", endless(), max_bytes=2 * LARGE)
        assert scope.cancelled_caught
        assert not await blobs.exists("files/a")


async def test_many_uploads_at_once_do_not_mix(blobs: Blobs):
    async def put(number: int) -> None:
        await blobs.put(f"files/{number}", pieces(*[bytes([number])] * 1000), max_bytes=1000)

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(put, number)
    for number in range(20):
        assert await content(blobs, f"files/{number}") == bytes([number]) * 1000


async def test_a_blob_on_disk_is_a_file_that_nobody_may_write_to(tmp_path: Path):
    blobs = DiskBlobs(tmp_path / "blobs")
    await blobs.put("files/a", pieces(b"hello"), max_bytes=5)
    path = blobs.path("files/a")
    assert path is not None
    assert path.read_bytes() == b"hello"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700


async def test_what_a_killed_process_was_writing_is_removed_at_the_next_start(tmp_path: Path):
    blobs = DiskBlobs(tmp_path / "blobs")
    await blobs.put("files/kept", pieces(b"hello"), max_bytes=5)
    (tmp_path / "blobs/.incoming/blob_1").write_bytes(b"half")
    again = DiskBlobs(tmp_path / "blobs")
    assert list((tmp_path / "blobs/.incoming").iterdir()) == []
    assert await content(again, "files/kept") == b"hello"


async def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path):
    blobs = DiskBlobs(tmp_path / "blobs")
    (tmp_path / "blobs/.incoming").rmdir()
    with pytest.raises(Internal, match=os.strerror(errno.ENOENT)):
        await blobs.put("files/a", pieces(b"x"), max_bytes=1)
    assert not await blobs.exists("files/a")


async def test_a_store_that_does_not_answer_is_told_in_one_line(s3: Files):
    wrong = s3.model_copy(update={"secret_access_key": SecretStr("not this one")})
    blobs = open_s3(wrong)
    with anyio.fail_after(SECONDS), pytest.raises(Internal, match="does not answer") as caught:
        await blobs.put("files/a", pieces(b"x"), max_bytes=1)
    assert "\n" not in caught.value.message
    assert "not this one" not in caught.value.message


@pytest.mark.parametrize("url", ["s3:", "s3:///x", "https://bucket", "bucket", "s3://b?x=y"])
def test_an_address_that_names_no_bucket_is_refused_at_the_start(url: str):
    with pytest.raises(StartError, match=r"files\.url"):
        open_s3(Files(url=url))
