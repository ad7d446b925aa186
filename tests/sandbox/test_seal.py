"""Sealing: a hostile tree becomes one that is safe to share."""

import os
import stat
from pathlib import Path

import pytest

from sandbox.seal import MAX_DEPTH, Unfit, seal


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_everybody_may_read_and_nobody_gains_rights(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir()
    program, note = closed / "program", closed / "note"
    program.write_text("#!/bin/sh\n")
    note.write_text("hello")
    program.chmod(0o6700)
    note.chmod(0o600)
    closed.chmod(0o1700)
    seal(tmp_path)
    assert (mode(tmp_path), mode(closed), mode(program), mode(note)) == (0o755, 0o755, 0o755, 0o644)
    assert program.stat().st_uid == os.geteuid()


def test_links_are_kept_and_never_followed(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    outside.chmod(0o600)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").symlink_to(outside)
    (tree / "directory").symlink_to(tmp_path)
    (tree / "dangling").symlink_to("/nowhere")
    seal(tree)
    assert mode(outside) == 0o600
    assert (tree / "file").readlink() == outside
    assert (tree / "dangling").is_symlink()


def test_what_is_neither_file_nor_directory_goes(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    seal(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_odd_names_are_names(tmp_path: Path):
    odd = os.fsencode(tmp_path) + b"/line\nfeed \xff"
    with open(odd, "w"):  # noqa: PTH123 - no path object holds such a name
        os.chmod(odd, 0)  # noqa: PTH101 - the same
    seal(tmp_path)
    assert stat.S_IMODE(os.stat(odd).st_mode) == 0o644  # noqa: PTH116 - the same


def test_a_tree_without_end_is_refused(tmp_path: Path):
    place = tmp_path
    for _ in range(MAX_DEPTH + 1):
        place /= "d"
    place.mkdir(parents=True)
    with pytest.raises(Unfit, match="nested"):
        seal(tmp_path)


def test_a_link_in_place_of_the_tree_is_refused(tmp_path: Path):
    (tmp_path / "tree").symlink_to("/etc")
    with pytest.raises(OSError, match="directory"):
        seal(tmp_path / "tree")
