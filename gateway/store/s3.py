"""Blobs in a bucket of Amazon S3, or of any store that speaks its protocol.

Blobs go up in parts, a few at a time; one that fails never shows. The parts it had stay hidden in
the bucket until a lifecycle rule removes them: every bucket should have one for unfinished uploads.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
from anyio import from_thread, to_thread

from gateway.errors import Internal, StartError
from gateway.settings import Files
from gateway.store.blobs import CHUNK, Stored, checked, in_chunks, too_large

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

_PART = 8 * 1024**2
"""Bytes of one part of an upload; there may be 10,000 parts."""
_PARTS_AT_ONCE = 2
_TRANSFERS = 16
"""Uploads at the same time; each keeps a thread."""
_CONNECT = timedelta(seconds=10)
_REQUEST = timedelta(seconds=60)
_RETRIES = 3


class S3Blobs:
    """Blobs of one bucket; see `gateway.store.blobs.Blobs`."""

    def __init__(self, store: "S3Store") -> None:
        self._store = store
        self._limiter = anyio.CapacityLimiter(_TRANSFERS)

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, max_bytes: int) -> Stored:
        source = _Source(chunks, max_bytes)
        try:
            # In a thread, because there a cancellation reaches the source and ends the upload.
            await to_thread.run_sync(self._send, checked(key), source, limiter=self._limiter)
        finally:
            await source.aclose()
        return Stored(source.size, source.digest.hexdigest())

    def _send(self, key: str, source: "_Source") -> None:
        import obstore

        with _translated():
            obstore.put(self._store, key, source, chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE)

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        import obstore

        with _translated():
            found = await obstore.get_async(self._store, checked(key))
            stream = found.stream(min_chunk_size=CHUNK)
        while True:
            with _translated():
                chunk = await anext(stream, None)
            if chunk is None:
                return
            yield bytes(chunk)

    def path(self, key: str) -> Path | None:
        checked(key)
        return None

    async def delete(self, key: str) -> None:
        import obstore

        with _translated():
            await obstore.delete_async(self._store, checked(key))

    async def exists(self, key: str) -> bool:
        import obstore

        try:
            with _translated():
                await obstore.head_async(self._store, checked(key))
        except FileNotFoundError:
            return False
        return True

    async def aclose(self) -> None:
        pass


def open_s3(settings: Files) -> S3Blobs:
    """Open the bucket that the settings name; nothing is sent yet.

    Raises:
        StartError: The settings name none, or the library is not installed.
    """
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise StartError("S3-compatible stores need obstore: install wharfkeep[s3]") from error
    parts = urlsplit(settings.url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise StartError("files.url must be s3://BUCKET or s3://BUCKET/PREFIX")
    options: ClientConfig = {
        "allow_http": (settings.endpoint or "").startswith("http://"),
        "connect_timeout": _CONNECT,
        "timeout": _REQUEST,
    }
    store = S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=_config(settings),
        client_options=options,
        retry_config={"max_retries": _RETRIES, "retry_timeout": _REQUEST},
    )
    return S3Blobs(store)


class _Source:
    """An asynchronous source of bytes for a thread that wants an iterator."""

    def __init__(self, chunks: AsyncIterable[bytes], most: int) -> None:
        self._chunks = in_chunks(chunks)
        self._most = most
        self.size = 0
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk = from_thread.run(self._next)
        if chunk is None:
            raise StopIteration
        self.size += len(chunk)
        if self.size > self._most:
            raise too_large(self._most)
        self.digest.update(chunk)
        return chunk

    async def _next(self) -> bytes | None:
        return await anext(self._chunks, None)

    async def aclose(self) -> None:
        await self._chunks.aclose()


def _config(settings: Files) -> "S3Config":
    config: S3Config = {"virtual_hosted_style_request": settings.virtual_hosted}
    if settings.endpoint is not None:
        config["endpoint"] = settings.endpoint
    if settings.region is not None:
        config["region"] = settings.region
    if settings.access_key_id is not None:
        config["access_key_id"] = settings.access_key_id
    if settings.secret_access_key is not None:
        config["secret_access_key"] = settings.secret_access_key.get_secret_value()
    return config


@contextmanager
def _translated() -> Generator[None]:
    """Whatever the library raises leaves as an error of ours; a missing blob is one already."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError("there is no such blob") from error
    except (BaseError, OSError) as error:
        first = str(error).partition("\n")[0]
        raise Internal(f"the store of files does not answer: {first}") from error
