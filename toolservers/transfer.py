"""File bytes in and out over a channel, as the program inside sees the files.

The last part of a path is never followed if it is a link; parents are resolved as for any program
in the sandbox. Permissions are the agent's own.
"""

from __future__ import annotations

import errno
import os
import stat

from toolservers.paths import reason
from toolservers.stream import write_all

_CHUNK = 65536


class TransferError(Exception):
    """The file cannot be sent or taken; the text says why."""


def open_to_send(path: str) -> tuple[int, int]:
    """Open a regular file; returns its descriptor and its size.

    Raises:
        TransferError: It is not there, not a regular file, or not readable.
    """
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise _transfer_error(error) from None
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise TransferError("not a regular file")
    return fd, found.st_size


def send(fd: int, channel: int) -> None:
    """Copy the rest of a file to the channel.

    Raises:
        OSError: The channel is gone, or the file cannot be read to its end.
    """
    while True:
        chunk = os.read(fd, _CHUNK)
        if not chunk:
            return
        write_all(channel, chunk)


def take(channel: int, path: str, *, mode: int, size: int | None) -> None:
    """Write what comes from the channel until its end; the file appears whole or not at all.

    Raises:
        TransferError: It cannot be written, or is not as long as `size` says.
    """
    try:
        directory = os.path.dirname(path)
        os.makedirs(directory, exist_ok=True)
        if os.path.isdir(path) and not os.path.islink(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        draft = os.path.join(directory, f".{os.urandom(8).hex()}.tmp")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as error:
        raise _transfer_error(error) from None
    try:
        try:
            send(channel, fd)
            if size not in (None, os.fstat(fd).st_size):
                raise OSError(errno.EIO, "the file did not arrive whole")
            os.fchmod(fd, mode & 0o7777)
        finally:
            os.close(fd)
        os.replace(draft, path)
    except OSError as error:
        _forget(draft)
        raise _transfer_error(error) from None


def skip(channel: int) -> None:
    """Read and forget what is left to read."""
    try:
        while os.read(channel, _CHUNK):
            pass
    except OSError:
        return


def _forget(draft: str) -> None:
    try:
        os.unlink(draft)
    except OSError:
        return  # somebody inside was faster


def _transfer_error(error: OSError | ValueError) -> TransferError:
    return TransferError(reason(error) if isinstance(error, OSError) else "not a valid path")
