"""Multipart bodies as they arrive: texts are collected, the file is handed on piece by piece.

Nothing is held back or spooled: whoever takes the pieces decides where they go and how fast. What
the parts mean is said by a `gateway.wire.forms.Form`.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import InvalidRequest
from gateway.wire.filenames import SNIFFED
from gateway.wire.forms import Form

MAX_TEXT = 64 * 1024
"""Bytes of everything in a body but the file."""
MAX_PARTS = 20


class Upload:
    """One multipart body, read once: `begin`, then `pieces` to the end, then `fields`.

    Args:
        form: Which parts there may be.
        content_type: Of the request.
        body: Its bytes as they come.
        strict: Refuse parts that the form does not name.

    Raises:
        InvalidRequest: The content type is not ``multipart/form-data`` with a boundary.
    """

    def __init__(
        self, form: Form, content_type: str, body: AsyncIterator[bytes], *, strict: bool
    ) -> None:
        self.filename: str | None = None
        """Of the file, as sent; known after `begin`."""
        self.content_type: str | None = None
        """Of the file, as sent; known after `begin`."""
        self.head = b""
        """The first `SNIFFED` bytes of the file; known after `pieces`."""
        self._form = form
        self._body = body
        self._strict = strict
        self._parts = _Parts(_boundary(content_type))
        self._texts: dict[str, bytearray] = {}
        self._size = 0
        self._found = False
        self._file = self._read()

    async def begin(self) -> None:
        """Read up to the first byte of the file.

        Raises:
            InvalidRequest: There is no file, or what comes before it is wrong.
        """
        if await anext(self._file, None) is None:
            raise InvalidRequest(f"{self._form.file}: Field required")

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes of the file; the rest of the body is read and checked too.

        Raises:
            InvalidRequest: The body is broken, or a part is wrong.
        """
        async for piece in self._file:
            if len(self.head) < SNIFFED:
                self.head += piece[: SNIFFED - len(self.head)]
            yield piece

    def fields(self) -> dict[str, Any]:
        """The texts that have come so far, as the form reads them.

        Raises:
            InvalidRequest: One of them breaks its rule.
        """
        try:
            texts = {name: bytes(value).decode() for name, value in self._texts.items()}
        except UnicodeDecodeError as error:
            raise InvalidRequest("The form holds text that is not UTF-8.") from error
        return self._form.parse(texts)

    async def _read(self) -> AsyncGenerator[bytes, None]:
        """Read on and yield what belongs to the file, ``b""`` where it begins."""
        while True:
            for part, piece in self._parts.take():
                if (own := self._take(part, piece)) is not None:
                    yield own
            chunk = await anext(self._body, None)
            if chunk is None:
                break
            self._parts.feed(chunk)
        self._parts.close()

    def _take(self, part: "_Part", piece: bytes | None) -> bytes | None:
        """Take a part's beginning, which has no piece, or a piece of it."""
        if piece is None:
            self._open(part)
            return b"" if part.name == self._form.file else None
        if part.name == self._form.file:
            return piece
        self._size += len(piece)
        if self._size > MAX_TEXT:
            raise InvalidRequest(f"The form has more than {MAX_TEXT} bytes beside its file.")
        self._texts[part.name] += piece
        return None

    def _open(self, part: "_Part") -> None:
        self._form.check_name(part.name, strict=self._strict)
        if part.name in self._texts or (part.name == self._form.file and self._found):
            raise InvalidRequest(f"{part.name[:100]}: given twice")
        if part.name == self._form.file:
            self._found = True
            self.filename, self.content_type = part.filename, part.content_type
        else:
            self._texts[part.name] = bytearray()


@dataclass(frozen=True, slots=True)
class _Part:
    """The head of one part."""

    name: str
    filename: str | None
    content_type: str | None


class _Parts:
    """The push parser, turned into steps to take one after the other."""

    def __init__(self, boundary: bytes) -> None:
        self._steps: list[tuple[_Part, bytes | None]] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._part: _Part | None = None
        self._count = 0
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._on_data,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidRequest(f"The multipart body is broken: {error}.") from error

    def take(self) -> list[tuple[_Part, bytes | None]]:
        """What was read since the last time: a part without bytes where it begins."""
        steps, self._steps = self._steps, []
        return steps

    def close(self) -> None:
        if not self._ended:
            raise InvalidRequest("The multipart body ends before its last boundary.")

    def _begin(self) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise InvalidRequest(f"The form has more than {MAX_PARTS} parts.")
        self._headers = {}

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_headers(self) -> None:
        self._part = _part(self._headers)
        self._steps.append((self._part, None))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        assert self._part is not None, "headers come before data"
        self._steps.append((self._part, data[start:end]))

    def _end(self) -> None:
        self._ended = True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidRequest("content-type: must be multipart/form-data with a boundary")
    return boundary


def _part(headers: dict[bytes, bytes]) -> _Part:
    kind, options = parse_options_header(headers.get(b"content-disposition", b""))
    if kind != b"form-data" or b"name" not in options:
        raise InvalidRequest("Every part of the form needs a Content-Disposition with a name.")
    filename, content_type = options.get(b"filename"), headers.get(b"content-type")
    try:
        return _Part(
            name=options[b"name"].decode(),
            filename=None if filename is None else filename.decode(),
            content_type=None if content_type is None else content_type.decode("latin-1"),
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest("The names in the form must be UTF-8.") from error
