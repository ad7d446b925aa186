"""Where files of a session go."""

import pytest

from gateway.errors import InvalidRequest
from gateway.wire.mounts import UPLOADS, check_distinct, mount_path


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (None, "file_1"),
        ("a", "a"),
        ("/a", "a"),
        ("//a///b", "a/b"),
        (f"{UPLOADS}/a", "a"),
        (f"{UPLOADS}{UPLOADS}/a", UPLOADS.strip("/") + "/a"),
        ("/mnt/session/outputs/a", "mnt/session/outputs/a"),
        ("é" * 127, "é" * 127),
    ],
)
def test_every_path_is_rooted_once(given: str | None, path: str):
    assert mount_path(given, "file_1") == f"{UPLOADS}/{path}"


@pytest.mark.parametrize("given", ["/", UPLOADS, f"{UPLOADS}/", "é" * 128])
def test_what_names_no_file_is_refused(given: str):
    with pytest.raises(InvalidRequest, match="mount_path"):
        mount_path(given, "file_1")


def test_no_two_files_share_a_place():
    check_distinct("/u/a", ["/u/ab", "/u/b/a", "/u/b"])
    for other in ("/u/a", "/u/a/b", "/u"):
        with pytest.raises(InvalidRequest, match="mount_path"):
            check_distinct("/u/a", ["/u/b", other])
