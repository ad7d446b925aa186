"""Reading request bodies: bounded in size, in time, and in what they may unpack to."""

import zlib
from collections.abc import AsyncGenerator

import anyio
import anyio.to_thread

from gateway.api.exchange import Exchange
from gateway.errors import InvalidRequest, TooLarge

SILENCE = 30.0
"""Seconds a client may send nothing in the middle of a body."""

WHOLE = 300.0
"""Seconds a whole body may take."""

_LARGE = 64 * 1024
"""Unpacking more than this takes long enough to be done beside the event loop."""


async def read(exchange: Exchange, most: int) -> bytes:
    """Read the body and undo its content encoding.

    Args:
        exchange: The request.
        most: Bytes it may have, on the way and unpacked.

    Raises:
        TooLarge: It has more.
        InvalidRequest: It is too slow, or its encoding or charset is not one we read
            (spec/resources E-32).
    """
    _check_charset(exchange.header(b"content-type"))
    encoding = exchange.header(b"content-encoding").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise InvalidRequest(
            f"content-encoding: {encoding[:40]!r} is not supported; send gzip or none",
            code="request_body_encoding_unsupported",
        )
    raw = await _receive(exchange, most)
    if encoding in ("", "identity"):
        return raw
    if len(raw) < _LARGE:
        return _unpack(raw, most)
    return await anyio.to_thread.run_sync(_unpack, raw, most)


async def pieces(exchange: Exchange, most: int, seconds: float) -> AsyncGenerator[bytes, None]:
    """Read a body that is too large to be held, as it comes.

    Args:
        exchange: The request.
        most: Bytes it may have.
        seconds: How long all of it may take.

    Raises:
        TooLarge: It has more.
        InvalidRequest: It is too slow, or its content is encoded (spec/resources E-32).
    """
    if exchange.header(b"content-encoding").strip().lower() not in ("", "identity"):
        raise InvalidRequest(
            "content-encoding: uploads are not unpacked; send none",
            code="request_body_encoding_unsupported",
        )
    _check_length(exchange, most)
    end, size, more = anyio.current_time() + seconds, 0, True
    while more:
        try:
            with anyio.fail_after(min(SILENCE, end - anyio.current_time())):
                piece, more = await exchange.receive()
        except TimeoutError as error:
            raise _too_slow() from error
        size += len(piece)
        if size > most:
            raise _too_large(most)
        yield piece


def _check_charset(content_type: str) -> None:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in ("utf-8", "utf8", "us-ascii"):
            raise InvalidRequest(
                f"content-type: charset {charset[:40]!r} is not supported; send UTF-8",
                code="unsupported_charset",
            )


async def _receive(exchange: Exchange, most: int) -> bytes:
    _check_length(exchange, most)
    parts: list[bytes] = []
    size = 0
    try:
        with anyio.fail_after(WHOLE):
            while True:
                with anyio.fail_after(SILENCE):
                    part, more = await exchange.receive()
                size += len(part)
                if size > most:
                    raise _too_large(most)
                parts.append(part)
                if not more:
                    return b"".join(parts)
    except TimeoutError as error:
        raise _too_slow() from error


def _check_length(exchange: Exchange, most: int) -> None:
    declared = exchange.header(b"content-length")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)


def _unpack(raw: bytes, most: int) -> bytes:
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = decoder.decompress(raw, most + 1)
    except zlib.error as error:
        raise _not_gzip() from error
    if len(plain) > most:
        raise TooLarge(
            f"The request body unpacks to more than {most} bytes.",
            code="request_body_too_large_after_decoding",
        )
    if not decoder.eof or decoder.unused_data:
        raise _not_gzip()
    return plain


def _not_gzip() -> InvalidRequest:
    return InvalidRequest(
        "The request body is not valid gzip.", code="request_body_encoding_invalid"
    )


def _too_slow() -> InvalidRequest:
    return InvalidRequest("The request body did not arrive in time.", code="request_body_timeout")


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {most} bytes.")
