"""From the bytes of an answer to text, by what they are: a page, a PDF, or text already.

Pages and PDFs are read by other processes with little memory and little time: what strangers
write can make a parser run for ever, and this process could not stop its own.
"""

from __future__ import annotations

import json
import re
import tempfile

from toolservers.call import ToolError
from toolservers.capture import capture
from toolservers.paths import reason
from toolservers.web.charset import decode, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from toolservers.call import Call
    from toolservers.host import Host
    from toolservers.web.address import Address
    from toolservers.web.client import Response

SECONDS = 40.0
"""For one document, download excluded."""

_MAX_OUTPUT = 16 * 1024 * 1024
_LOOK_AHEAD = 4096
_UNSUPPORTED = "unsupported_content_type"
_PAGES = ("text/html", "application/xhtml+xml")
_UNKNOWN = ("", "application/octet-stream", "binary/octet-stream")
_TEXT = re.compile(
    r"text/.*|application/(.*\+)?(json|xml|yaml|toml|javascript|ecmascript|x-ndjson|x-sh|sql)|"
    r"application/x-(javascript|yaml|httpd-php|tex)|message/rfc822"
)
_PAGE = re.compile(rb"\s*(<!doctype\s+html|<html|<head|<body)", re.IGNORECASE)


class Document:
    """What was read."""

    def __init__(self, text: str, *, title: str = "", markdown: bool = False) -> None:
        self.text = text
        self.title = title
        self.markdown = markdown


def read(url: Address, response: Response, call: Call, host: Host) -> Document:
    """Turn an answer into text.

    Raises:
        ToolError: It is of another kind, or cannot be read.
        Cancelled: The call was cancelled.
    """
    body = response.body
    declared = response.headers.get("content-type", "")
    kind = declared.partition(";")[0].strip().lower()
    # What a document begins with is believed before what its server says of it.
    if body.startswith(b"%PDF-"):
        if response.cut:
            raise ToolError("the PDF is too large to be read")
        return _run("pdf", body, [], call, host)
    readable = kind in (*_UNKNOWN, *_PAGES) or _TEXT.fullmatch(kind)
    if not readable or _is_binary(body, declared):
        raise ToolError(f"{_UNSUPPORTED}: {kind or 'unknown'} cannot be read as text")
    if kind in _PAGES or (kind in _UNKNOWN and _looks_like_page(body)):
        return _run("page", body, [declared, str(url)], call, host)
    return Document(decode(body, declared))


def _is_binary(body: bytes, declared: str) -> bool:
    wide = named(declared).startswith(("utf-16", "utf-32"))
    marked = body.startswith((b"\xff\xfe", b"\xfe\xff"))
    return not wide and not marked and b"\0" in body[:_LOOK_AHEAD]


def _looks_like_page(body: bytes) -> bool:
    return _PAGE.match(body[:_LOOK_AHEAD]) is not None


def _run(reader: str, body: bytes, arguments: list[str], call: Call, host: Host) -> Document:
    """Have the program of that name read the document."""
    if host.libraries is None:
        raise ToolError("the parsers are not installed; an operator starts this with --libraries")
    try:
        with tempfile.NamedTemporaryFile(prefix="document-") as file:
            file.write(body)
            file.flush()
            argv = [*host.python(f"toolservers.web.{reader}"), host.libraries, file.name]
            done = capture([*argv, *arguments], call, host, limit=_MAX_OUTPUT, seconds=SECONDS)
    except OSError as error:
        raise ToolError(f"the document cannot be read: {reason(error)}") from None
    if done.status != 0:
        lines = done.errors.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1][:200] if lines else f"its reader ended with {done.status}"
        raise ToolError(f"the document cannot be read: {why}")
    said = json.loads(done.output)
    return Document(said["text"], title=said["title"], markdown=said["markdown"])
