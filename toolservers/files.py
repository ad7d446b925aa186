"""The tools read, write and edit."""

from __future__ import annotations

import errno
import os
import stat

from toolservers.call import ToolError
from toolservers.paths import reason, require_regular
from toolservers.stream import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from toolservers.call import Call
    from toolservers.host import Host
    from toolservers.paths import Roots

TEXT_LIMIT = 256 * 1024
IMAGE_LIMIT = 5 * 1024 * 1024 // 4 * 3
"""Raw bytes of an image: 5 MiB when encoded as base64."""
PDF_LIMIT = 20 * 1024 * 1024
DEADLINE = 30.0
_CHUNK = 65536
_NO_NEW_NAME = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
_MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".pdf": "application/pdf",
}


def read(arguments: dict[str, Any], call: Call, host: Host) -> str | list[dict[str, Any]]:
    """The text of a file or of some of its lines; an image or a PDF as its bytes."""
    path: str = arguments["file_path"]
    view_range: list[int] | None = arguments.get("view_range")
    if view_range and len(view_range) != 2:  # noqa: PLR2004 - first line and last line
        raise ToolError("view_range must be [start_line, end_line]")
    canonical = host.roots.resolve(path)
    try:
        fd = host.roots.open_regular(path, canonical)
        with os.fdopen(fd, "rb") as file:
            size = os.fstat(fd).st_size
            media_type = _MEDIA_TYPES.get(os.path.splitext(canonical)[1].lower())
            if media_type is not None:
                if view_range:
                    raise ToolError("view_range is not supported for image/PDF files")
                return [_block(file, path, canonical, size, media_type)]
            if size <= TEXT_LIMIT:
                return _select(file.read(TEXT_LIMIT).decode("utf-8"), view_range)
            if view_range:
                return Lines(path, view_range).read(file, call)
            raise ToolError(
                f"{path} is {size} bytes, exceeds {TEXT_LIMIT}-byte limit. Use the view_range "
                "parameter to read specific line ranges, e.g. view_range: [1, 500]."
            )
    except UnicodeDecodeError:
        raise ToolError(
            f"{path}: not valid UTF-8 text (binary files are only supported for image/PDF "
            "extensions)"
        ) from None
    except OSError as error:
        raise ToolError(f"{path}: {reason(error)}") from None


def write(arguments: dict[str, Any], call: Call, host: Host) -> str:
    """Put a file there whole, with its parent directories."""
    del call  # not worth a deadline: the content is here already
    path: str = arguments["file_path"]
    content: str = arguments["content"]
    canonical = host.roots.resolve(path)
    data = _encode(content)
    try:
        directory = host.roots.make_directory(path, os.path.dirname(canonical))
        replace(path, os.path.basename(canonical), directory, data)
    except OSError as error:
        raise ToolError(f"{path}: {reason(error)}") from None
    return f"wrote {len(content)} bytes to {path}"


def edit(arguments: dict[str, Any], call: Call, host: Host) -> str:
    """Replace the one occurrence of a text in a file, or all of them."""
    del call  # bounded by the size limit
    path: str = arguments["file_path"]
    old: str = arguments["old_string"]
    every = bool(arguments.get("replace_all"))
    canonical = host.roots.resolve(path)
    try:
        text = _read_for_edit(host.roots, path, canonical)
        count = text.count(old)
        if count == 0:
            raise ToolError(f"old_string not found in {path}")
        if count > 1 and not every:
            raise ToolError(f"old_string appears {count} times in {path} (must be unique)")
        data = _encode(text.replace(old, arguments["new_string"]))
        directory = host.roots.open_directory(path, os.path.dirname(canonical))
        replace(path, os.path.basename(canonical), directory, data)
    except OSError as error:
        raise ToolError(f"{path}: {reason(error)}") from None
    return f"edited {path} ({count} replacement(s))"


def replace(path: str, name: str, directory: int, data: bytes) -> None:
    """Put `data` in the place of a file at one instant; mode and owner stay as they were.

    `name` is the file's in `directory`, an open one, which is closed; `path` is what the caller
    called it. Where the directory permits no new name, or the file is a mount of its own, the file
    is overwritten instead.

    Raises:
        ToolError: It is there and no regular file.
        OSError: The file or its directory cannot be written.
    """
    try:
        old = _stat_writable(path, name, directory)
        try:
            _write_beside(name, directory, data, old)
        except OSError as error:
            if old is None or error.errno not in _NO_NEW_NAME:
                raise
            _overwrite(path, name, directory, data)
    finally:
        os.close(directory)


class Lines:
    """The lines of a range of a large file; only they count against the limit."""

    def __init__(self, path: str, view_range: list[int]) -> None:
        self._path = path
        self._range = view_range
        self._first = max(0, view_range[0] - 1)
        """Zero-based."""
        self._end = view_range[1] if view_range[1] > 0 else None
        self._kept = bytearray()

    def read(self, file: Any, call: Call) -> str:
        """The lines, joined by line feeds, without the one after the last of them."""
        number = 0
        more = self._end is None or self._end > self._first
        while more:
            call.check(DEADLINE)
            line: bytes = file.readline(_CHUNK)
            if self._first <= number:
                self._keep(line)
            if line.endswith(b"\n"):
                number += 1
            more = bool(line) and (self._end is None or number < self._end)
        if number == self._end and self._kept.endswith(b"\n"):
            del self._kept[-1:]
        return self._kept.decode("utf-8")

    def _keep(self, line: bytes) -> None:
        self._kept += line
        if len(self._kept) <= TEXT_LIMIT:
            return
        if self._end == self._first + 1:
            raise ToolError(
                f"line {self._end} of {self._path} alone exceeds {TEXT_LIMIT}-byte limit. The "
                "read tool cannot return part of a line, so view_range cannot narrow this further."
            )
        raise ToolError(
            f"view_range [{self._range[0]}, {self._range[1]}] of {self._path} exceeds "
            f"{TEXT_LIMIT}-byte limit. Narrow the view_range to read a smaller portion."
        )


def _select(text: str, view_range: list[int] | None) -> str:
    if not view_range:
        return text
    first, last = view_range
    lines = text.split("\n")
    return "\n".join(lines[max(0, first - 1) : last if last > 0 else None])


def _block(file: Any, path: str, canonical: str, size: int, media_type: str) -> dict[str, Any]:
    is_pdf = media_type == "application/pdf"
    limit = PDF_LIMIT if is_pdf else IMAGE_LIMIT
    if size > limit:
        raise ToolError(f"{path} is {size} bytes, exceeds {limit}-byte limit for image/PDF files.")
    import binascii

    data = binascii.b2a_base64(file.read(limit), newline=False).decode("ascii")
    if not is_pdf:
        return {"type": "image", "data": data, "mimeType": media_type}
    from urllib.parse import quote

    uri = "file://" + quote(os.fsencode(canonical))
    return {
        "type": "resource",
        "resource": {"uri": uri, "mimeType": media_type, "blob": data},
    }


def _read_for_edit(roots: Roots, path: str, canonical: str) -> str:
    fd = roots.open_regular(path, canonical)
    with os.fdopen(fd, "rb") as file:
        size = os.fstat(fd).st_size
        if size > TEXT_LIMIT:
            raise ToolError(
                f"{path} is {size} bytes, exceeds {TEXT_LIMIT}-byte limit. The edit tool loads "
                "the whole file and cannot modify a file this large."
            )
        try:
            return file.read(TEXT_LIMIT).decode("utf-8")
        except UnicodeDecodeError:
            raise ToolError(f"{path}: not valid UTF-8 text (cannot edit binary files)") from None


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ToolError("the text holds half of a surrogate pair") from None


def _stat_writable(path: str, name: str, directory: int) -> os.stat_result | None:
    """What is there now; None if nothing."""
    try:
        old = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    require_regular(path, old)
    if not os.access(name, os.W_OK, dir_fd=directory, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return old


def _write_beside(name: str, directory: int, data: bytes, old: os.stat_result | None) -> None:
    draft = f".{os.urandom(8).hex()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(draft, flags, 0o666, dir_fd=directory)
    try:
        try:
            write_all(fd, data)
            if old is not None:
                _keep_owner(fd, old)
                os.fchmod(fd, stat.S_IMODE(old.st_mode))
        finally:
            os.close(fd)
        os.replace(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(draft, dir_fd=directory)
        raise


def _keep_owner(fd: int, old: os.stat_result) -> None:
    new = os.fstat(fd)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.fchown(fd, old.st_uid, old.st_gid)  # EPERM: the file is overwritten instead


def _overwrite(path: str, name: str, directory: int, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, dir_fd=directory)
    try:
        require_regular(path, os.fstat(fd))
        os.ftruncate(fd, 0)
        write_all(fd, data)
    finally:
        os.close(fd)
