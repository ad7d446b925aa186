"""The same inputs to the SDK's own tools and to ours, in twin directories.

The results are equal unless `DIFFERENCES` says otherwise, and there the two are as written.
"""

import base64
import os
import shutil
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from anthropic.lib.tools import ToolError
from anthropic.lib.tools._beta_functions import (
    aclose_runnable_tool,  # pyright: ignore[reportPrivateUsage] - what the SDK's runner closes shells with
)
from anthropic.lib.tools.agent_toolset import AgentToolContext, beta_agent_toolset_20260401

from tests.toolservers.peer import Server

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

LOOKING: list[tuple[str, dict[str, Any]]] = [
    ("read", {"file_path": "text.txt"}),
    ("read", {"file_path": "sub/../text.txt"}),
    ("read", {"file_path": "crlf.txt"}),
    ("read", {"file_path": "empty"}),
    ("read", {"file_path": "no-newline"}),
    ("read", {"file_path": "text.txt", "view_range": [1, 1]}),
    ("read", {"file_path": "text.txt", "view_range": [2, 3]}),
    ("read", {"file_path": "text.txt", "view_range": [2, 0]}),
    ("read", {"file_path": "text.txt", "view_range": [2, -1]}),
    ("read", {"file_path": "text.txt", "view_range": [3, 2]}),
    ("read", {"file_path": "text.txt", "view_range": [0, 1]}),
    ("read", {"file_path": "text.txt", "view_range": [-5, 1]}),
    ("read", {"file_path": "text.txt", "view_range": [100, 200]}),
    ("read", {"file_path": "text.txt", "view_range": [1]}),
    ("read", {"file_path": "text.txt", "view_range": [1, 2, 3]}),
    ("read", {"file_path": "text.txt", "view_range": []}),
    ("read", {"file_path": "text.txt", "view_range": None}),
    ("read", {"file_path": "large.txt"}),
    ("read", {"file_path": "large.txt", "view_range": [1, 3]}),
    ("read", {"file_path": "large.txt", "view_range": [59999, 0]}),
    ("read", {"file_path": "large.txt", "view_range": [1, 0]}),
    ("read", {"file_path": "large.txt", "view_range": [5, 2]}),
    ("read", {"file_path": "large.txt", "view_range": [70000, 80000]}),
    ("read", {"file_path": "one-line.txt", "view_range": [1, 1]}),
    ("read", {"file_path": "one-line.txt", "view_range": [1, 2]}),
    ("read", {"file_path": "binary"}),
    ("read", {"file_path": "binary", "view_range": [1, 1]}),
    ("read", {"file_path": "absent"}),
    ("read", {"file_path": "text.txt/below"}),
    ("read", {"file_path": "sub"}),
    ("read", {"file_path": ""}),
    ("read", {"file_path": "."}),
    ("read", {"file_path": "fifo"}),
    ("read", {"file_path": "/etc/passwd"}),
    ("read", {"file_path": "../outside.txt"}),
    ("read", {"file_path": "link-inside"}),
    ("read", {"file_path": "link-outside"}),
    ("read", {"file_path": "link-dangling"}),
    ("read", {"file_path": "link-dangling-outside"}),
    ("read", {"file_path": "link-loop"}),
    ("read", {"file_path": "link-directory/deep.txt"}),
    ("read", {"file_path": "x" * 300}),
    ("read", {"file_path": "image.png", "view_range": [1, 2]}),
    ("read", {"file_path": "big.png"}),
    ("read", {"file_path": "big.pdf"}),
    ("glob", {"pattern": "*"}),
    ("glob", {"pattern": "*.txt"}),
    ("glob", {"pattern": "**/*.txt"}),
    ("glob", {"pattern": "**/deep.txt"}),
    ("glob", {"pattern": "sub/**/*"}),
    ("glob", {"pattern": "s*/deep.txt"}),
    ("glob", {"pattern": "s?b/d[a-f]ep.txt"}),
    ("glob", {"pattern": "[!a-k]*"}),
    ("glob", {"pattern": ".*"}),
    ("glob", {"pattern": "sub"}),
    ("glob", {"pattern": "./sub/./deep.txt"}),
    ("glob", {"pattern": "sub/*/"}),
    ("glob", {"pattern": "link-directory/*"}),
    ("glob", {"pattern": "link-*"}),
    ("glob", {"pattern": "absent*"}),
    ("glob", {"pattern": "many/*"}),
    ("glob", {"pattern": "deep.txt", "path": "sub"}),
    ("glob", {"pattern": "*", "path": "absent"}),
    ("glob", {"pattern": "*", "path": "text.txt"}),
    ("glob", {"pattern": "*", "path": "/etc"}),
    ("glob", {"pattern": "/etc/*"}),
    ("glob", {"pattern": "../*"}),
    ("glob", {"pattern": "sub/../*"}),
    ("glob", {"pattern": ""}),
    ("grep", {"pattern": "three"}),
    ("grep", {"pattern": "^o.e$"}),
    ("grep", {"pattern": "deep", "path": "sub"}),
    ("grep", {"pattern": "two", "path": "text.txt"}),
    ("grep", {"pattern": "absent-everywhere"}),
    ("grep", {"pattern": "x", "path": "/etc"}),
    ("grep", {"pattern": "x", "path": "binary"}),
    ("grep", {"pattern": "-n"}),
]

DOING: list[tuple[str, dict[str, Any]]] = [
    ("bash", {"command": "echo hi"}),
    ("bash", {"command": "echo out; echo err >&2; exit_() { return 4; }; exit_"}),
    ("bash", {"command": "cd sub && pwd | sed 's,.*/,,'"}),
    ("bash", {"command": "cat; echo after"}),
    ("bash", {"command": "true"}),
    ("bash", {"command": "false"}),
    ("bash", {"command": "printf 'a\\n\\n\\n'"}),
    ("bash", {"command": "printf '\\n\\na'"}),
    ("bash", {"command": "printf '  padded  '"}),
    ("bash", {"command": "printf '\\033[31mred\\033[0m'"}),
    ("bash", {"command": "cat <<'X'\n'q' \"d\" `b` $v\nX"}),
    ("bash", {"command": "echo $PS1$PS2$TERM$ANTHROPIC_API_KEY"}),
    ("bash", {"command": "echo $-"}),
    ("bash", {"command": "shopt -q login_shell; echo $?; set -o | grep -c on$"}),
    ("bash", {"command": "f() { echo $FUNCNAME; }; f; echo ${BASH_SOURCE[0]}"}),
    ("bash", {"restart": True}),
    ("bash", {}),
    ("write", {"file_path": "new.txt", "content": "one\ntwo\n"}),
    ("write", {"file_path": "text.txt", "content": ""}),
    ("write", {"file_path": "a/b/c/new.txt", "content": "über"}),
    ("write", {"file_path": "link-inside", "content": "through the link"}),
    ("write", {"file_path": "link-dangling", "content": "made"}),
    ("write", {"file_path": "link-outside", "content": "no"}),
    ("write", {"file_path": "link-dangling-outside", "content": "no"}),
    ("write", {"file_path": "../escape", "content": "no"}),
    ("write", {"file_path": "sub", "content": "no"}),
    ("write", {"file_path": "text.txt/below", "content": "no"}),
    ("write", {"file_path": "crlf\r\n.txt", "content": "\r\n"}),
    ("edit", {"file_path": "text.txt", "old_string": "two", "new_string": "2"}),
    ("edit", {"file_path": "text.txt", "old_string": "o", "new_string": "0"}),
    ("edit", {"file_path": "text.txt", "old_string": "o", "new_string": "0", "replace_all": True}),
    ("edit", {"file_path": "text.txt", "old_string": "o", "new_string": "0", "replace_all": False}),
    ("edit", {"file_path": "text.txt", "old_string": "absent", "new_string": "0"}),
    ("edit", {"file_path": "text.txt", "old_string": "", "new_string": "0"}),
    ("edit", {"file_path": "text.txt", "old_string": "two", "new_string": "two"}),
    ("edit", {"file_path": "crlf.txt", "old_string": "a\r\nb", "new_string": "c"}),
    ("edit", {"file_path": "empty", "old_string": "", "new_string": "filled"}),
    ("edit", {"file_path": "binary", "old_string": "a", "new_string": "b"}),
    ("edit", {"file_path": "large.txt", "old_string": "a", "new_string": "b"}),
    ("edit", {"file_path": "absent", "old_string": "a", "new_string": "b"}),
    ("edit", {"file_path": "fifo", "old_string": "a", "new_string": "b"}),
    ("edit", {"file_path": "link-inside", "old_string": "two", "new_string": "2"}),
    ("edit", {"file_path": "link-outside", "old_string": "secret", "new_string": "2"}),
]

Difference: TypeAlias = tuple[str, dict[str, Any], tuple[str, bool], tuple[str, bool], str]
"""Tool, arguments, their result, our result, and why ours is another one."""

DIFFERENCES: list[Difference] = [
    (
        "bash",
        {"command": "no-such-command"},
        ("/bin/bash: line 1: no-such-command: command not found", True),
        ("/bin/bash: line 1: no-such-command: command not found", True),
        "none for the first command; later ones count lines differently",
    ),
    (
        "bash",
        {"command": "echo bye; exit 0"},
        ("bye", True),
        ("bye\nbash session ended with status 0; restart required", True),
        "ours says why a command that succeeded is an error",
    ),
    (
        "bash",
        {"command": "echo begun; sleep 100", "timeout_ms": 300},
        ("bash: bash command timed out after 0.3s", True),
        ("bash: bash command timed out after 0.3s\nbegun", True),
        "ours keeps what the command said",
    ),
    (
        "bash",
        {"command": "echo 'open", "timeout_ms": 500},
        ("bash: bash command timed out after 0.5s", True),
        ("/bin/bash: eval: line 1: unexpected EOF while looking for matching `''", True),
        "theirs waits for the rest of the command",
    ),
    (
        "bash",
        {"command": "exec >&-; echo lost; exec >/dev/null", "timeout_ms": 500},
        ("bash: bash command timed out after 0.5s", True),
        ("/bin/bash: line 1: echo: write error: Bad file descriptor", False),
        "theirs sends the end of a command where its output goes",
    ),
    (
        "read",
        {"file_path": "nul\0"},
        ("read: embedded null byte", True),
        ("read: path 'nul\\x00': not a valid path", True),
        "ours names the path",
    ),
    (
        "write",
        {"file_path": "text.txt", "content": "half \ud800"},
        ("UnicodeEncodeError", True),
        ("write: the text holds half of a surrogate pair", True),
        "theirs raises",
    ),
    (
        "grep",
        {"pattern": "two("},
        ("grep: invalid regex: missing ), unterminated subpattern at position 3", True),
        ("grep: invalid regex: missing ), unterminated subpattern at position 3", True),
        "none without ripgrep; with it the text is ripgrep's",
    ),
    (
        "grep",
        {"pattern": "y{3000}"},
        ("no matches", False),
        ("{root}/long.txt:1:[Omitted long matching line]", False),
        "ours says that a line of more than 2000 bytes matches",
    ),
    (
        "glob",
        {"pattern": "{text,crlf}.txt"},
        ("no matches", False),
        ("{root}/text.txt\n{root}/crlf.txt", False),
        "ours knows alternatives",
    ),
    (
        "grep",
        {"pattern": "two"},
        (
            "{root}/.hidden:1:two hidden\n{root}/text.txt:2:two\n{root}/sub/deep.txt:1:deep two",
            False,
        ),
        (
            "{root}/.hidden:1:two hidden\n{root}/sub/deep.txt:1:deep two\n{root}/text.txt:2:two",
            False,
        ),
        "ours are in the order of the paths, theirs with files before directories",
    ),
]


class Twins:
    """Two equal directories, one for the SDK's tools and one for ours."""

    def __init__(self, folder: Path) -> None:
        folder = folder.resolve()
        self.theirs = folder / "theirs"
        self.ours = folder / "ours"
        make_tree(self.theirs)
        make_tree(self.ours)
        context = AgentToolContext(workdir=self.theirs)
        self._tools = {tool.name: tool for tool in beta_agent_toolset_20260401(context)}
        self.server = Server(self.ours)

    async def ask_theirs(self, name: str, arguments: dict[str, Any]) -> Any:
        """What the SDK's tool returns, and whether it failed."""
        tool = self._tools[name]
        try:
            with anyio.fail_after(20):
                result = await tool.call(arguments)
        except ToolError as error:
            result, failed = str(error), True
        except ValueError as error:
            result, failed = type(error).__name__, True
        else:
            failed = False
        finally:
            await aclose_runnable_tool(tool)
        return _rootless(result, self.theirs), failed

    def ask_ours(self, name: str, arguments: dict[str, Any]) -> tuple[Any, bool]:
        text, failed = self.server.call(name, arguments)
        return _rootless(text, self.ours), failed


def _rootless(result: Any, root: Path) -> Any:
    return result.replace(str(root), "{root}") if isinstance(result, str) else result


def make_tree(root: Path) -> None:
    outside = root.parent / "outside.txt"
    outside.write_text("secret\n")
    (root / "sub/inner").mkdir(parents=True)
    (root / "many").mkdir()
    contents = {
        "text.txt": b"one\ntwo\nthree\n",
        "crlf.txt": b"a\r\nb\r\n",
        "empty": b"",
        "no-newline": b"last line",
        "large.txt": b"".join(b"line %d\n" % number for number in range(60_000)),
        "one-line.txt": b"x" * 300_000 + b"\nshort\n",
        "long.txt": b"y" * 3000 + b"\n",
        "binary": b"\x00\xff\xfe\x01a",
        "image.png": PNG,
        "big.png": b"",
        "big.pdf": b"",
        ".hidden": b"two hidden\n",
        "dash": b"-n\n",
        "sub/deep.txt": b"deep two\n",
        "sub/inner/deeper.txt": b"deeper\n",
        **{f"many/{number:03}": b"" for number in range(250)},
    }
    for name, content in contents.items():
        (root / name).write_bytes(content)
    os.truncate(root / "big.png", 4_000_000)
    os.truncate(root / "big.pdf", 21_000_000)
    os.mkfifo(root / "fifo")
    links = {
        "link-inside": "text.txt",
        "link-outside": str(outside),
        "link-dangling": "made-by-link",
        "link-dangling-outside": str(root.parent / "not-there"),
        "link-loop": "link-loop",
        "link-directory": "sub",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    set_times(root)


def set_times(root: Path) -> None:
    """A distinct time for every entry, so that their order is no accident."""
    entries = sorted(root.rglob("*"), key=lambda path: path.name)
    for number, path in enumerate([*entries, root]):
        os.utime(path, ns=(0, (1000 + number) * 10**9), follow_symlinks=False)


def snapshot(root: Path) -> dict[str, object]:
    """Everything below a directory: kind and mode, and what files and links hold."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        mode = path.lstat().st_mode
        content: object = None
        if stat.S_ISLNK(mode):
            content = path.readlink().name
        elif stat.S_ISREG(mode):
            size = path.stat().st_size
            content = path.read_bytes() if size < 1_000_000 else size
        found[str(path.relative_to(root))] = (oct(mode), content)
    return found


@contextmanager
def _making_twins(folder: Path) -> Generator[Twins]:
    # Without ripgrep: whether it is there changes what the SDK's grep gives.
    programs = folder / "programs"
    programs.mkdir()
    for name in ("cat", "sed", "grep", "sleep", "true", "false"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(programs))
        patch.setenv("ANTHROPIC_API_KEY", "secret")
        twins = Twins(folder)
        with twins.server:
            yield twins


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Twins]:
    with _making_twins(tmp_path) as twins:
        yield twins


@pytest.fixture(scope="module")
def unchanged_twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """Twins that no test may change."""
    with _making_twins(tmp_path_factory.mktemp("twins")) as twins:
        yield twins


def _name(value: object) -> str:
    return str(value)[:60]


@pytest.mark.parametrize(("name", "arguments"), LOOKING, ids=_name)
async def test_ours_sees_what_the_reference_sees(
    unchanged_twins: Twins, name: str, arguments: dict[str, Any]
):
    theirs = await unchanged_twins.ask_theirs(name, arguments)
    assert unchanged_twins.ask_ours(name, arguments) == theirs


@pytest.mark.parametrize(("name", "arguments"), DOING, ids=_name)
async def test_ours_does_what_the_reference_does(
    twins: Twins, name: str, arguments: dict[str, Any]
):
    theirs = await twins.ask_theirs(name, arguments)
    assert twins.ask_ours(name, arguments) == theirs
    assert snapshot(twins.ours) == snapshot(twins.theirs)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=_name)
async def test_ours_differs_from_the_reference_as_written(twins: Twins, difference: Difference):
    name, arguments, theirs, ours, _ = difference
    assert await twins.ask_theirs(name, arguments) == theirs
    assert twins.ask_ours(name, arguments) == ours


@pytest.mark.parametrize("name", ["image.png", "image.JPEG", "image.gif", "image.webp"])
async def test_an_image_has_the_bytes_and_the_type_of_the_references(twins: Twins, name: str):
    for root in (twins.theirs, twins.ours):
        (root / name).write_bytes(PNG)
    theirs, _ = await twins.ask_theirs("read", {"file_path": name})
    result = twins.server.ask("tools/call", {"name": "read", "arguments": {"file_path": name}})
    source = theirs[0]["source"]
    expected = {"type": "image", "data": source["data"], "mimeType": source["media_type"]}
    assert result["result"]["content"] == [expected]


async def test_a_pdf_has_the_bytes_of_the_references(twins: Twins):
    for root in (twins.theirs, twins.ours):
        (root / "paper (1).pdf").write_bytes(b"%PDF-1.7 \x00\xff")
    arguments = {"file_path": "paper (1).pdf"}
    theirs, _ = await twins.ask_theirs("read", arguments)
    result = twins.server.ask("tools/call", {"name": "read", "arguments": arguments})
    resource = {
        "uri": f"file://{twins.ours}/paper%20%281%29.pdf",
        "mimeType": "application/pdf",
        "blob": theirs[0]["source"]["data"],
    }
    assert result["result"]["content"] == [{"type": "resource", "resource": resource}]
