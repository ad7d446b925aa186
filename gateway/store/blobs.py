"""Bytes by key: on disk here, in an S3-compatible store in `gateway.store.s3`.

A key is chosen by whoever writes; ``/`` in it is only a separator. A blob is written once, appears
whole or not at all, and never changes. What a key belongs to, and whether anything still needs it,
is not known here.
"""

import hashlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

from anyio import to_thread

from gateway.clock import new_id
from gateway.errors import Internal, TooLarge

CHUNK = 1024**2
"""Bytes that are read or written at once."""

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,199}){0,7}")
_INCOMING = ".incoming"


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written."""

    size: int
    sha256: str
    """In hex."""


class Blobs(Protocol):
    """A place for bytes. Keys are 1 to 8 names of ``A-Z a-z 0-9 . _ -``, with ``/`` between."""

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, max_bytes: int) -> Stored:
        """Write a blob; memory does not grow with its size.

        It is durable when this returns. If it raises, or is cancelled, there is no such blob.

        Raises:
            TooLarge: There are more than `max_bytes`.
            Internal: The place is full or does not answer.
        """
        ...

    def open(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read a blob in chunks of up to `CHUNK`; leave it with ``aclose``.

        Raises:
            FileNotFoundError: There is no such blob.
            Internal: The place does not answer.
        """
        ...

    def path(self, key: str) -> Path | None:
        """The file that holds the blob, if this place has files; nobody may write to it.

        It can be linked to, read and mounted. It may be gone when the blob is deleted.
        """
        ...

    async def delete(self, key: str) -> None:
        """Delete a blob if it is there.

        Raises:
            Internal: The place does not answer.
        """
        ...

    async def exists(self, key: str) -> bool: ...

    async def aclose(self) -> None: ...


class DiskBlobs:
    """Blobs as files below a directory that no other process writes to.

    Args:
        root: Made if need be, closed to other users. What a killed process was still writing is
            removed.

    Raises:
        OSError: It cannot be used.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        for unfinished in self._incoming.iterdir():
            unfinished.unlink()

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, max_bytes: int) -> Stored:
        draft = self._incoming / new_id("blob")
        digest, size = hashlib.sha256(), 0
        try:
            with draft.open("xb", buffering=0) as file:
                async for chunk in in_chunks(chunks):
                    size += len(chunk)
                    if size > max_bytes:
                        raise too_large(max_bytes)
                    await to_thread.run_sync(_write, file, chunk, digest)
                await to_thread.run_sync(_publish, file, draft, self._place(key), self._root)
        except OSError as error:
            raise Internal(f"the file cannot be stored: {error.strerror}") from error
        finally:
            draft.unlink(missing_ok=True)
        return Stored(size, digest.hexdigest())

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        file = await to_thread.run_sync(self._place(key).open, "rb", 0)
        try:
            while chunk := await to_thread.run_sync(file.read, CHUNK):
                yield chunk
        finally:
            file.close()

    def path(self, key: str) -> Path | None:
        return self._place(key)

    async def delete(self, key: str) -> None:
        place = self._place(key)
        try:
            await to_thread.run_sync(_remove, place)
        except OSError as error:
            raise Internal(f"the stored file cannot be deleted: {error.strerror}") from error

    async def exists(self, key: str) -> bool:
        return await to_thread.run_sync(self._place(key).is_file)

    async def aclose(self) -> None:
        pass

    def _place(self, key: str) -> Path:
        return self._root / checked(key)


def checked(key: str) -> str:
    """Return the key.

    Raises:
        ValueError: It is not one.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of a blob: {key[:100]!r}")
    return key


async def in_chunks(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Join pieces of any size into chunks of `CHUNK` bytes or a little more."""
    waiting: list[bytes] = []
    size = 0
    async for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)


def too_large(most: int) -> TooLarge:
    return TooLarge(f"the file is larger than {most} bytes")


def _write(file: FileIO, chunk: bytes, digest: Any) -> None:
    digest.update(chunk)
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def _publish(file: FileIO, draft: Path, target: Path, root: Path) -> None:
    """Give a finished file its name, so that it survives whatever happens next."""
    os.fchmod(file.fileno(), 0o444)
    os.fsync(file.fileno())
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft.rename(target)
    try:
        for directory in target.parents:
            _sync(directory)
            if directory == root:
                break
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _remove(place: Path) -> None:
    try:
        place.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return
    _sync(place.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
