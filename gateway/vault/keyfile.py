"""Keys of 32 bytes in files of their own: made once, readable for their owner only."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from gateway.errors import StartError

KEY_BYTES = 32
AUDIT_KEY = "audit.key"
"""The file in the data directory that holds the key of the audit trail."""


def audit_key(data_dir: Path, file: Path | None) -> bytes:
    """The key of the audit trail: in `file`, which has to be there, or else in the data directory.

    Raises:
        StartError: As `key_at`, or `file` is not there.
    """
    if file is None:
        with suppress(OSError):  # what is wrong is said below
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return key_at(data_dir / AUDIT_KEY)
    try:
        return _read(file)
    except OSError as error:
        raise StartError(f"cannot use {file} (audit.key_file): {error.strerror}") from error


def key_at(place: Path) -> bytes:
    """The key in this file; it is made if there is none.

    Raises:
        StartError: The key cannot be read or made, or is none, or others may read it.
    """
    try:
        _make(place)
        return _read(place)
    except OSError as error:
        raise StartError(f"cannot use {place}: {error.strerror}") from error


def _make(place: Path) -> None:
    """Write a new key whole or not at all; somebody else's that came first stays."""
    if place.exists():
        return
    draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            place.hardlink_to(draft)
        except FileExistsError:
            return
        directory = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        draft.unlink(missing_ok=True)


def _read(place: Path) -> bytes:
    with place.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise StartError(f"{place} must be readable for its owner only: chmod 600 {place}")
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise StartError(f"{place} is not a key of {KEY_BYTES} bytes: put back the one that was")
    return key
