"""Names and media types of files (spec/resources F-3, F-12). Pure."""

import mimetypes
import re

from gateway.errors import InvalidRequest

MAX_NAME = 255
SNIFFED = 512
"""How many of a file's first bytes tell what it is."""
UNKNOWN = "application/octet-stream"

_FORBIDDEN = re.compile(r'[<>:"|?*\\/\x00-\x1f]')
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
)
_OFFICE = "application/vnd.openxmlformats-officedocument."
_MORE = {
    ".csv": "text/csv",
    ".docx": f"{_OFFICE}wordprocessingml.document",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".pptx": f"{_OFFICE}presentationml.presentation",
    ".toml": "application/toml",
    ".webp": "image/webp",
    ".xlsx": f"{_OFFICE}spreadsheetml.sheet",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
# A table of its own: the same name has the same type on every machine.
_TABLE = mimetypes.MimeTypes()
for _ending, _type in _MORE.items():
    _TABLE.add_type(_type, _ending)


def filename(given: str | None, mime_type: str) -> str:
    """The name a file is kept under: the last component, or ``unnamed`` and an extension.

    Raises:
        InvalidRequest: It is too long or has a character that no file name may have.
    """
    name = re.split(r"[/\\]", given or "")[-1]
    if not name:
        return "unnamed" + extension(mime_type)
    if len(name) > MAX_NAME:
        raise InvalidRequest(f"file: the filename must have at most {MAX_NAME} characters")
    if _FORBIDDEN.search(name) or name in (".", ".."):
        raise InvalidRequest(
            'file: the filename must not be . or .. nor hold < > : " | ? * or control characters'
        )
    return name


def tame(name: bytes) -> str:
    """A file name for a name that a program chose: what is not allowed becomes ``_``."""
    text = _FORBIDDEN.sub("_", name.decode("utf-8", "replace"))
    return text[:MAX_NAME]


def media_type(declared: str | None, name: str | None, head: bytes) -> str:
    """What kind of file it is: as the client says, or as its name says, or as its bytes say.

    Args:
        declared: The part's ``Content-Type``; its parameters are dropped.
        name: The file's name, if it has one.
        head: The first `SNIFFED` bytes.
    """
    said = (declared or "").partition(";")[0].strip().lower()
    if _TYPE.fullmatch(said) and said != UNKNOWN:
        return said
    guessed, encoding = _TABLE.guess_type(name or "", strict=True)
    if encoding == "gzip":
        return "application/gzip"
    return guessed or _sniff(head)


def extension(mime_type: str) -> str:
    """The usual ending of files of this type; empty if there is none."""
    return _TABLE.guess_extension(mime_type) or ""


def _sniff(head: bytes) -> str:
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return found
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "text/plain" if head and _is_text(head) else UNKNOWN


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # Only the end may be wrong, where a character was cut.
        return len(head) >= SNIFFED and error.start >= len(head) - 3
    return True
