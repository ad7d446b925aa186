"""A program that reads the text of a PDF, page by page."""

from __future__ import annotations

import io
import logging
import time

from toolservers.web.reader import answer, fail, open_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pypdf import PdfReader

MAX_PAGES = 500
SECONDS = 25.0
"""After which no further page is begun."""
MAX_CHARACTERS = 4_000_000

_BROKEN = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError)
"""What a parser stumbles over in a broken file, beside its own errors."""


def main() -> None:
    started = time.monotonic()
    body = open_document()
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except (ImportError, SyntaxError):
        fail("PDFs cannot be read with this Python")
        raise
    logging.disable(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(body))
        if reader.is_encrypted and not reader.decrypt(""):
            fail("the PDF is protected by a password")
        title = (reader.metadata.title if reader.metadata else None) or ""
        pages = _pages(reader, started)
    except (PyPdfError, *_BROKEN) as error:
        fail(f"the PDF is broken: {type(error).__name__}: {str(error)[:100]}")
        raise
    except (RecursionError, MemoryError):
        fail("the PDF is too complex")
        raise
    answer("\n\n".join(pages), title=title[:500], markdown=False)


def _pages(reader: PdfReader, started: float) -> list[str]:
    """The text of each page behind a line that numbers it, until there is enough of it."""
    texts: list[str] = []
    characters = 0
    total = len(reader.pages)
    for number, page in enumerate(reader.pages, 1):
        late = time.monotonic() - started > SECONDS
        if number > MAX_PAGES or characters > MAX_CHARACTERS or late:
            texts.append(f"[Cut here: {number - 1} of {total} pages were read.]")
            break
        text = page.extract_text().strip()
        characters += len(text)
        texts.append(f"[page {number} of {total}]\n{text}")
    if not characters:
        fail("the PDF holds no text, only pictures of it")
    return texts
