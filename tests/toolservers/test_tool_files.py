"""Reading, writing and editing, where the reference tools make no promise."""

import os
import resource
import shutil
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolservers import files
from toolservers.call import Call, ToolError
from toolservers.host import Host
from toolservers.paths import Roots

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def host(workdir: Path) -> Host:
    return Host(Roots(str(workdir), []))


def use(tool: Callable[[dict[str, Any], Call, Host], Any], host: Host, **arguments: Any) -> Any:
    return tool(arguments, Call(), host)


def error(tool: Callable[[dict[str, Any], Call, Host], Any], host: Host, **arguments: Any) -> str:
    with pytest.raises(ToolError) as caught:
        use(tool, host, **arguments)
    return str(caught.value)


@RELAXED
@given(content=TEXT)
def test_what_is_written_is_read(host: Host, content: str):
    assert use(files.write, host, file_path="a", content=content).startswith("wrote ")
    assert use(files.read, host, file_path="a") == content


@RELAXED
@given(content=TEXT, first=st.integers(-3, 12), last=st.integers(-3, 12))
def test_a_range_is_the_same_from_a_small_and_from_a_large_file(
    host: Host, content: str, first: int, last: int
):
    workdir = Path(host.roots.workdir)
    lines = content.split("\n")
    expected = "\n".join(lines[max(0, first - 1) : last if last > 0 else None])
    (workdir / "small").write_bytes(content.encode())
    assert use(files.read, host, file_path="small", view_range=[first, last]) == expected
    with (workdir / "small").open("rb") as file:
        assert files.Lines("small", [first, last]).read(file, Call()) == expected


@RELAXED
@given(content=TEXT, change=st.tuples(TEXT, TEXT), every=st.booleans())
def test_an_edit_replaces_what_occurs_once_or_everything(
    host: Host, content: str, change: tuple[str, str], every: bool
):
    old, new = change
    path = Path(host.roots.workdir) / "a"
    path.write_bytes(content.encode())
    edit = {"file_path": "a", "old_string": old, "new_string": new, "replace_all": every}
    count = content.count(old)
    if count == 1 or (count and every):
        assert use(files.edit, host, **edit) == f"edited a ({count} replacement(s))"
        assert path.read_bytes() == content.replace(old, new).encode()
    else:
        assert "old_string" in error(files.edit, host, **edit)
        assert path.read_bytes() == content.encode()


def test_replacing_a_file_keeps_its_mode(host: Host, workdir: Path):
    path = workdir / "script"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o751)
    use(files.write, host, file_path="script", content="#!/bin/bash\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o751
    use(files.edit, host, file_path="script", old_string="bash", new_string="sh")
    assert stat.S_IMODE(path.stat().st_mode) == 0o751


def test_a_new_file_has_the_mode_of_any_new_file(host: Host, workdir: Path):
    use(files.write, host, file_path="ours", content="")
    (workdir / "any").touch()
    assert (workdir / "ours").stat().st_mode == (workdir / "any").stat().st_mode


def test_a_reader_never_sees_half_a_file(host: Host, workdir: Path):
    contents = ["a" * 200_000, "b" * 100_000]
    use(files.write, host, file_path="f", content=contents[0])
    done = threading.Event()

    def write() -> None:
        for number in range(100):
            use(files.write, host, file_path="f", content=contents[number % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert (workdir / "f").read_text() in contents
    writer.join()
    assert [path.name for path in workdir.iterdir()] == ["f"]


@contextmanager
def without_privileges() -> Generator[Path]:
    """A directory of an ordinary user, and the rights of one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve()
        privileged = os.geteuid() == 0
        if privileged:
            os.chown(path, 65534, 65534)
            os.seteuid(65534)
        try:
            yield path
        finally:
            if privileged:
                os.seteuid(0)


def test_a_file_in_a_directory_that_takes_no_names_is_overwritten():
    with without_privileges() as folder:
        (folder / "f").write_text("old and longer")
        folder.chmod(0o555)
        use(files.write, Host(Roots(str(folder), [])), file_path="f", content="new")
        folder.chmod(0o755)
        assert (folder / "f").read_text() == "new"


def test_a_file_that_may_not_be_written_is_not_replaced_either():
    with without_privileges() as folder:
        (folder / "f").write_text("old")
        (folder / "f").chmod(0o444)
        text = error(files.write, Host(Roots(str(folder), [])), file_path="f", content="new")
        assert text == "f: permission denied"
        assert (folder / "f").read_text() == "old"


def test_a_file_that_may_not_be_read_is_refused():
    with without_privileges() as folder:
        (folder / "f").touch(mode=0o200)
        assert error(files.read, Host(Roots(str(folder), [])), file_path="f") == (
            "f: permission denied"
        )


@pytest.mark.parametrize("tool", ["read", "write", "edit"])
@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "link to a device"])
def test_what_is_no_regular_file_is_refused_at_once(workdir: Path, tool: str, kind: str):
    host = Host(Roots(str(workdir), ["/dev"]))
    path = str(workdir / "it")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener, chdir(workdir):
            listener.bind("it")
    elif kind == "device":
        path = "/dev/zero"
    else:
        Path(path).symlink_to("/dev/zero")
    arguments = {"content": "", "old_string": "a", "new_string": "b"}
    text = error(getattr(files, tool), host, file_path=path, **arguments)
    assert text == f"{path}: not a regular file"


def test_a_hard_link_elsewhere_keeps_what_it_had(host: Host, workdir: Path):
    (workdir / "a").write_text("old")
    (workdir / "b").hardlink_to(workdir / "a")
    use(files.write, host, file_path="a", content="new")
    assert (workdir / "b").read_text() == "old"


@pytest.mark.parametrize("name", ["line\nfeed", "tab\t", " ", "'\"", "ü漢😀", "x" * 255, "-n", "*"])
def test_any_name_is_written_and_read(host: Host, name: str):
    use(files.write, host, file_path=name, content="content")
    assert use(files.read, host, file_path=name) == "content"


def test_a_name_that_is_not_utf_8_is_reached_by_its_surrogates(host: Host, workdir: Path):
    (workdir / os.fsdecode(b"\xff")).write_text("content")
    assert use(files.read, host, file_path="\udcff") == "content"


def test_a_full_disk_leaves_the_old_file(host: Host, workdir: Path):
    (workdir / "f").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        assert error(files.write, host, file_path="f", content="x" * 2000) == "f: file too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(path.name, path.read_text()) for path in workdir.iterdir()] == [("f", "old")]


def test_a_directory_swapped_for_a_link_never_leads_outside(workdir: Path, tmp_path: Path):
    """The probe of the sandbox research: rename a directory and a link in turns while writing."""
    host = Host(Roots(str(workdir), []))
    outside, real, away = tmp_path / "outside", workdir / "real", workdir / "away"
    outside.mkdir()
    real.mkdir()
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            with suppress(OSError):  # the writer makes the directory when it is away
                real.rename(away)
                real.symlink_to(outside)
                real.unlink()
                away.rename(real)
            if real.is_symlink():
                real.unlink()
            shutil.rmtree(away, ignore_errors=True)
            real.mkdir(exist_ok=True)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for number in range(2000):
            with suppress(ToolError):
                use(files.write, host, file_path=f"real/{number % 50}", content="x")
    finally:
        done.set()
        swapper.join()
    assert list(outside.iterdir()) == []
