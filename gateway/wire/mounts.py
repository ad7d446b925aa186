"""Where files and repositories appear in a session's sandbox (spec/resources F-22, D-27). Pure."""

from collections.abc import Iterable

from gateway.errors import InvalidRequest

UPLOADS = "/mnt/session/uploads"
WORKSPACE = "/workspace"

_MAX_NAME = 255
"""Bytes of one name of a Linux file."""


def mount_path(given: str | None, file: str) -> str:
    """The absolute path below `UPLOADS` for what a client asks for.

    Args:
        given: As sent, relative or absolute, perhaps rooted already; checked for ``..`` before.
        file: The id of the original, which is the name of a file without a path.

    Raises:
        InvalidRequest: It names no file below `UPLOADS`.
    """
    path = f"/{given}" if given is not None else f"/{file}"
    names = [name for name in path.split("/") if name]
    root = UPLOADS.strip("/").split("/")
    if names[: len(root)] == root:
        names = names[len(root) :]
    if not names:
        raise InvalidRequest(f"mount_path: must name a file below {UPLOADS}")
    if any(len(name.encode()) > _MAX_NAME for name in names):
        raise InvalidRequest(f"mount_path: no name in it may have more than {_MAX_NAME} bytes")
    return "/".join((UPLOADS, *names))


def checkout_path(given: str | None, name: str) -> str:
    """The absolute path below `WORKSPACE` of a repository.

    Args:
        given: As sent; checked for ``..`` and to be below `WORKSPACE` before.
        name: The last part of the repository's URL, its place when there is no path.

    Raises:
        InvalidRequest: It cannot be a directory there.
    """
    names = [part for part in (given or f"{WORKSPACE}/{name}").split("/") if part]
    if any(len(part.encode()) > _MAX_NAME for part in names):
        raise InvalidRequest(f"mount_path: no name in it may have more than {_MAX_NAME} bytes")
    return "/" + "/".join(names)


def check_distinct(path: str, others: Iterable[str]) -> None:
    """Check that a file or repository fits beside others.

    Raises:
        InvalidRequest: One of them has the same path, or one would be below another.
    """
    for other in others:
        if other == path:
            raise InvalidRequest(f"mount_path: {path} is taken by another resource")
        if other.startswith(f"{path}/") or path.startswith(f"{other}/"):
            raise InvalidRequest(f"mount_path: {path} and {other} cannot be one inside the other")
