"""Finding files by name and by content, with and without ripgrep."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toolservers.peer import Server
from toolservers.call import ToolError
from toolservers.pattern import expand, find

RIPGREP = shutil.which("rg")


@pytest.fixture
def plain_path(tmp_path: Path) -> str:
    """A PATH on which there is no ripgrep."""
    folder = tmp_path / "nothing"
    folder.mkdir()
    return str(folder)


def make_files(workdir: Path) -> None:
    contents = {
        "a.txt": b"foo\nbar\n",
        "crlf": b"foo\r\nbar\r\n",
        "latin": b"f\xff foo\n",
        "bom": b"\xef\xbb\xbffoo\n",
        "utf16": "\ufefffoo\n".encode("utf-16-le"),
        "binary": b"\0foo\n",
        "long": b"x" * 2001 + b"foo\n",
        "not-long": b"x" * 1990 + b"foo\n",
        "no-newline": b"foo",
        "empty": b"",
        "sub/b": b"foo\n",
        "sub.txt": b"foo\n",
        "sub/.hidden/c": b"foo\n",
        ".gitignore": b"sub\n*.txt\n",
        ".git/config": b"foo\n",
        "deep/.git/x": b"foo\n",
        "node_modules/x": b"foo\n",
        "deep/node_modules/x": b"foo\n",
        "with space/: odd\t": b"foo\n",
        "ü": "föo foo\n".encode(),
    }
    for name, content in contents.items():
        path = workdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (workdir / "link").symlink_to("a.txt")
    (workdir / "linked").symlink_to("sub")
    os.mkfifo(workdir / "fifo")


@pytest.mark.skipif(RIPGREP is None, reason="compares with ripgrep, which is not installed here")
@pytest.mark.parametrize("pattern", ["foo", "^foo$", "o+", "bar|föo", "[^x]foo", "absent", "^$"])
@pytest.mark.parametrize("path", [".", "sub", "a.txt", "binary", "deep/node_modules", "absent"])
def test_the_results_do_not_depend_on_ripgrep(
    workdir: Path, plain_path: str, pattern: str, path: str
):
    make_files(workdir)
    call = ("grep", {"pattern": pattern, "path": path})
    with Server(workdir) as with_it, Server(workdir, env={"PATH": plain_path}) as without:
        assert with_it.call(*call) == without.call(*call)


@pytest.mark.parametrize("ripgrep", [True, False])
def test_what_is_searched_and_what_is_not(workdir: Path, plain_path: str, ripgrep: bool):
    make_files(workdir)
    env = {} if ripgrep else {"PATH": plain_path}
    with Server(workdir, env=env) as server:
        text, failed = server.call("grep", {"pattern": "foo$"})
    names = [line.removeprefix(f"{workdir}/").split(":")[0] for line in text.splitlines()]
    assert not failed
    assert names == sorted(names, key=lambda name: name.encode().split(b"/"))
    assert set(names) == {
        *("a.txt", "bom", "crlf", "latin", "long", "no-newline", "not-long", "sub.txt", "sub/b"),
        *("sub/.hidden/c", "with space/", "ü"),
    }


@pytest.mark.parametrize("ripgrep", [True, False])
def test_long_results_are_cut_at_a_line(workdir: Path, plain_path: str, ripgrep: bool):
    (workdir / "many").write_text("match\n" * 50_000)
    env = {} if ripgrep else {"PATH": plain_path}
    with Server(workdir, env=env) as server:
        text, failed = server.call("grep", {"pattern": "match"})
    assert not failed
    *lines, last = text.splitlines()
    assert last == "[output truncated at 102400 bytes]"
    assert len(text) <= 102400 + len(last)
    assert lines == [f"{workdir}/many:{number}:match" for number in range(1, len(lines) + 1)]


def test_a_regular_expression_that_takes_for_ever_ends_with_its_deadline(
    workdir: Path, plain_path: str
):
    (workdir / "a").write_text("a" * 50 + "b\n")
    with Server(workdir, env={"PATH": plain_path}) as server:
        deadline = {"wharfkeep/deadline_ms": 500}
        text, failed = server.call("grep", {"pattern": "(a+)+$"}, **deadline)
        assert failed
        assert text.startswith("grep: timed out after 0.")
        assert server.ok("echo fine") == "fine"


@pytest.mark.parametrize("pattern", ["(", "[", "*a", "a{2,1}", "(?P<n>a)(?P<n>b)"])
@pytest.mark.parametrize("ripgrep", [True, False])
def test_a_bad_regular_expression_is_told(
    workdir: Path, plain_path: str, pattern: str, ripgrep: bool
):
    env = {} if ripgrep else {"PATH": plain_path}
    with Server(workdir, env=env) as server:
        text, failed = server.call("grep", {"pattern": pattern})
    if RIPGREP and ripgrep and pattern == "*a":
        return  # ripgrep takes it for the letter
    assert failed
    assert text.startswith("grep: ")
    assert "Traceback" not in text


def test_a_ripgrep_that_the_agent_made_is_not_run(workdir: Path):
    programs = workdir / "bin"
    programs.mkdir()
    (programs / "rg").write_text("#!/bin/sh\necho forged\n")
    (programs / "rg").chmod(0o755)
    (workdir / "a").write_text("x\n")
    with Server(workdir, env={"PATH": f"{programs}:{os.environ['PATH']}"}) as server:
        assert server.call("grep", {"pattern": "x", "path": "a"}) == (f"{workdir}/a:1:x", False)


@pytest.mark.parametrize(
    ("pattern", "plain"),
    [
        ("a", ["a"]),
        ("{a,b}", ["a", "b"]),
        ("x/{a,b}.{c,d}", ["x/a.c", "x/a.d", "x/b.c", "x/b.d"]),
        ("{a,{b,c}}", ["a", "b", "c"]),
        ("a{,b}", ["a", "ab"]),
        ("{a}", ["{a}"]),
        ("{a", ["{a"]),
        ("a}", ["a}"]),
        ("{{a,b}", ["{a", "{b"]),
    ],
)
def test_braces_stand_for_alternatives(pattern: str, plain: list[str]):
    assert expand(pattern) == plain


@pytest.mark.parametrize("pattern", ["{a,b}" * 10, "{" * 5000, "x" * 5000])
def test_patterns_cannot_explode(pattern: str):
    with pytest.raises(ToolError):
        expand(pattern)


@settings(max_examples=50)
@given(pattern=st.text("ab*?[]{},/.!\\", max_size=12))
def test_any_pattern_finds_only_what_is_below(workdir_tree: Path, pattern: str):
    try:
        found = find(str(workdir_tree), pattern, lambda: None)
    except ToolError:
        return
    assert len(found) == len(set(found))
    for path in found:
        assert Path(path).resolve().is_relative_to(workdir_tree)


@pytest.fixture(scope="module")
def workdir_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("find").resolve() / "root"
    (root / "a/b/ab").mkdir(parents=True)
    (root / "b.a").touch()
    (root / "a/b/out").symlink_to("/")
    (root / "a/up").symlink_to("..")
    (root / "bb").symlink_to("a/b")
    return root


def test_two_stars_reach_everything_below_but_not_through_links(workdir_tree: Path):
    found = {path.removeprefix(f"{workdir_tree}/") for path in find(str(workdir_tree), "**", _ok)}
    assert found == {"a", "a/b", "a/b/ab", "a/up", "b.a", "bb"}


def _ok() -> None:
    return


def test_a_deep_tree_is_searched(server: Server, workdir: Path):
    server.ok("d=$(printf 'd/%.0s' $(seq 500)); mkdir -p $d; echo found > $d/x")
    assert server.call("glob", {"pattern": "**/x"})[0].endswith("/d/x")
    assert server.call("grep", {"pattern": "found"})[0].endswith("/x:1:found")


def test_at_most_200_paths_are_listed_the_newest_first(server: Server, workdir: Path):
    for number in range(300):
        path = workdir / f"{number}.txt"
        path.touch()
        os.utime(path, (0, number))
    paths = server.call("glob", {"pattern": "*.txt"})[0].splitlines()
    assert paths == [f"{workdir}/{number}.txt" for number in range(299, 99, -1)]


def test_a_glob_ends_with_its_deadline(server: Server, workdir: Path):
    text, failed = server.call("glob", {"pattern": "**"}, **{"wharfkeep/deadline_ms": 0.000001})
    assert failed
    assert text.startswith("glob: timed out after ")
