"""From bytes to text: by what the document begins with, what its server says, what it says itself.

Bytes that fit none of these are UTF-8 if they can be, and otherwise what old pages are written in.
No document fails here: what cannot be decoded shows as U+FFFD.
"""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NAME = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_REAL = re.compile(
    r"utf-?(8|16|32)|us-ascii|ascii|latin|iso|windows|cp\d|koi8|mac|tis|gb|big5|euc|shift|sjis",
    re.IGNORECASE,
)
"""Encodings of text; Python knows others that take long, or are none."""
_LOOK_AHEAD = 2048
_OLD = "cp1252"


def decode(body: bytes, content_type: str = "", *, page: bool = False) -> str:
    """The text of a document; a `page` may name its encoding in its first lines."""
    encoding = _of_mark(body) or named(content_type)
    if not encoding and page:
        encoding = named(body[:_LOOK_AHEAD].decode("latin-1"))
        if encoding.startswith("utf-16"):
            encoding = "utf-8"  # else these lines could not have been read
    if encoding:
        return body.decode(encoding, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        # One broken byte does not make it an old page, and neither does a cut at the end.
        start = body[: error.start]
        modern = any(byte > 0x7F for byte in start) or error.start > len(body) - 4  # noqa: PLR2004 - ASCII, and the longest UTF-8 sequence
        return body.decode("utf-8" if modern else _OLD, "replace")


def named(text: str) -> str:
    """The encoding after ``charset=``, by Python's name; empty if there is none that is real."""
    match = _NAME.search(text)
    if match is None or not _REAL.match(match.group(1)):
        return ""
    name = match.group(1).lower()
    if name in ("iso-8859-1", "latin1", "ascii", "us-ascii"):
        return _OLD  # what browsers take it for
    try:
        return codecs.lookup(name).name
    except LookupError:
        return ""


def _of_mark(body: bytes) -> str:
    return next((encoding for mark, encoding in _MARKS if body.startswith(mark)), "")
