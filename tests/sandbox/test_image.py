"""Debian roots: what is made, what is left when nothing can be, and who may see it."""

import socket
from collections.abc import Generator
from pathlib import Path

import anyio
import psutil
import pytest

from sandbox.bubblewrap import BubblewrapDriver
from sandbox.contract import SandboxSpec
from sandbox.image import RootFailed, make_root, probe_roots, remove_root
from tests.sandbox.places import data_directory

MAKE_SECONDS = 270.0


@pytest.fixture
def place() -> Generator[Path]:
    """A directory for roots that sandbox users can reach; the test is skipped without roots."""
    reason = probe_roots()
    if reason is not None:
        pytest.skip(f"no Debian roots here: {reason}")
    with data_directory() as directory:
        directory.chmod(0o711)
        yield directory
        for root in directory.glob("*root*"):
            remove_root(root)


@pytest.fixture
def silent() -> Generator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def ignore(_line: str) -> None: ...


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def source(directory: Path, port: int) -> Path:
    file = directory / "only.list"
    file.write_text(f"deb [trusted=yes] http://127.0.0.1:{port}/debian stable main\n")
    return file


def test_a_machine_without_the_tool_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert probe_roots() == "mmdebstrap is not there: install mmdebstrap"


async def test_a_source_that_is_not_there_is_a_failure_that_leaves_nothing(place: Path):
    with pytest.raises(RootFailed, match=r"^cannot make a Debian root: "):
        await make_root(
            place / "root", include=(), progress=ignore, deadline=50, sources=[source(place, 9)]
        )
    assert names(place) == ["only.list"]


async def test_a_source_that_never_answers_is_given_up(place: Path, silent: int):
    with pytest.raises(RootFailed, match=r"too long|within"):
        await make_root(
            place / "root", include=(), progress=ignore, deadline=3, sources=[source(place, silent)]
        )
    assert names(place) == ["only.list"]


async def test_whoever_stops_waiting_leaves_no_process_behind(place: Path, silent: int):
    with anyio.move_on_after(3) as scope:
        await make_root(
            place / "root",
            include=(),
            progress=ignore,
            deadline=50,
            sources=[source(place, silent)],
        )
    assert scope.cancelled_caught
    assert names(place) == ["only.list"]
    with anyio.fail_after(20):
        while _mentions(str(place)):  # noqa: ASYNC110 - nothing tells when the kernel is done
            await anyio.sleep(0.05)


def _mentions(text: str) -> list[int]:
    """Processes with the text among their arguments."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if text in " ".join(process.info["cmdline"] or ())
    ]


async def test_a_root_that_is_there_stays(place: Path):
    (place / "root").mkdir()
    await make_root(place / "root", include=("nothing",), progress=ignore, deadline=1)
    assert names(place / "root") == []


@pytest.fixture
async def root(place: Path) -> Path:
    said: list[str] = []
    try:
        await make_root(
            place / "root", include=("sl",), progress=said.append, deadline=MAKE_SECONDS
        )
    except RootFailed as error:
        if any(word in str(error) for word in ("resolv", "connect", "Connect")):
            pytest.skip(f"no source of Debian packages answers: {error}")
        raise
    assert any(line.startswith("Setting up sl ") for line in said)
    return place / "root"


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_sandbox_shows_a_root_as_its_own_system(root: Path, bubblewrap: BubblewrapDriver):
    sandbox = await bubblewrap.create(SandboxSpec(id="one", root=root))
    await sandbox.claim(env={})
    script = (
        "command -v /usr/games/sl; python3 -c 'import ssl, json; print(1)'; id -un; hostname;"
        "cat /etc/resolv.conf /etc/apt/sources.list; touch /usr/x; touch /etc/x"
    )
    channel = await sandbox.open("spawn", argv=["/bin/sh", "-c", f"({script}) 2>&1"])
    said = b""
    with anyio.fail_after(30):
        while data := await channel.receive():
            said += data
    await channel.aclose()
    await sandbox.destroy()
    lines = said.decode().splitlines()
    assert lines[:4] == ["/usr/games/sl", "1", "agent", "sandbox"]
    assert "No such file" in lines[4]
    assert [line.rpartition(": ")[2] for line in lines[5:]] == ["Read-only file system"] * 2
    assert not await anyio.Path(root / "etc/apt/apt.conf.d/99mmdebstrap").exists()
