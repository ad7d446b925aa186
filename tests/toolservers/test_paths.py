"""Which paths lie inside."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolservers.call import ToolError
from toolservers.paths import Roots, canonicalize

NAMES = st.sampled_from(["a", "b", "up", "loop", "out", "in", "absent", ".", "..", "", "file"])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree").resolve() / "root"
    (root / "a/b/a").mkdir(parents=True)
    (root / "file").touch()
    (root / "a/up").symlink_to("..")
    (root / "a/b/in").symlink_to(root / "a")
    (root / "out").symlink_to("../..")
    (root / "a/out").symlink_to("/")
    (root / "loop").symlink_to("a/loop")
    (root / "a/loop").symlink_to("../loop")
    (root / "b").symlink_to("absent/../a")
    return root


def resolve(tree: Path, path: str) -> Path | None:
    """What a path leads to, if it may be followed."""
    try:
        return Path(Roots(str(tree), []).resolve(path))
    except ToolError:
        return None


@given(st.lists(NAMES, max_size=8))
def test_what_is_inside_is_what_the_kernel_says(tree: Path, parts: list[str]):
    # The tools collapse `..` before they follow links, as the reference does.
    path = "/".join(parts)
    plain = Path(os.path.normpath(tree / path))
    resolved = resolve(tree, path)
    if resolved is None:
        assert "loop" in parts or not plain.resolve().is_relative_to(tree)
        return
    assert resolved.is_relative_to(tree)
    assert canonicalize(str(resolved)) == str(resolved)
    if plain.exists():
        assert plain.samefile(resolved)


@given(st.text(st.characters(exclude_categories=[]), max_size=50))
def test_no_text_does_more_than_be_refused(tree: Path, path: str):
    resolved = resolve(tree, path)
    assert resolved is None or resolved.is_relative_to(tree)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/passwd", "is outside the session's working directory"),
        ("..", "is outside the session's working directory"),
        ("out/x", "is outside the session's working directory"),
        ("a/out/etc", "is outside the session's working directory"),
        ("loop", "too many levels of symbolic links"),
        ("x" * 256, "file name too long"),
        ("x/" * 3000, "file name too long"),
        ("a\0b", "not a valid path"),
        ("\ud800", "not a valid path"),
    ],
)
def test_a_refusal_says_why(tree: Path, path: str, text: str):
    with pytest.raises(ToolError) as caught:
        Roots(str(tree), []).resolve(path)
    assert str(caught.value).startswith(f"path {path!r}")
    assert str(caught.value).endswith(text)


def test_other_directories_are_reached_by_absolute_paths(tree: Path, tmp_path: Path):
    roots = Roots(str(tree), [str(tmp_path)])
    assert roots.resolve(f"{tmp_path}/x") == f"{tmp_path.resolve()}/x"
    with pytest.raises(ToolError, match="and its other permitted directories"):
        roots.resolve("/etc")


def test_a_neighbour_with_a_longer_name_is_outside(tree: Path):
    with pytest.raises(ToolError):
        Roots(str(tree), []).resolve(f"{tree}-more")
