"""A real container engine for tests, in namespaces of its own, shared by everyone who tests at once.

Whoever needs it holds a lock on a file for as long as it lives; the engine ends when nobody does,
however they ended. It has its own network namespace, because a second engine takes apart the first
one's bridge, its own mounts and process ids, so that nothing of it outlives it, and memory for its
images. It needs root, or ``sudo`` without a password.

``python -m tests.sandbox.engine prepare`` makes ahead what takes long: the Debian root of the
image. It says why, in one line and with status 1, when there can be no engine here.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from sandbox import apt
from sandbox.contract import SandboxError
from sandbox.docker.engine import Engine
from sandbox.docker.stock import Stock
from sandbox.image import RootFailed, make_root
from tests.sandbox.places import IS_ROOT, ROOT, environment

START_SECONDS = 90.0
_MAKE_SECONDS = 600.0
_STOP_SECONDS = 10.0

_DOCKERD = """
set -e
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=0711 tmpfs "$1/root"
cd /
dockerd --host "unix://$1/socket" --group "$2" --data-root "$1/root" --exec-root /run/engine \\
  --pidfile /run/engine.pid --cgroup-parent "/$3" --exec-opt native.cgroupdriver=cgroupfs $4 \\
  --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false &
wait $!
"""


@dataclass(frozen=True, slots=True)
class RealEngine:
    """An engine that answers."""

    address: str
    image: str
    """A Debian with Python, which it has."""
    root: str
    """The directory that it was made of."""


class NoEngine(Exception):
    """There can be no engine here, and why."""


def obstacle() -> str | None:
    """Why there can be no engine, as far as one can tell without starting one."""
    for program in ("dockerd", "containerd", "runc"):
        if shutil.which(program, path=_path()) is None:
            return f"{program} is not installed: apt-get install docker.io"
    if _as_root() is None:
        return "an engine needs root, or sudo without a password"
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed: apt-get install mmdebstrap"
    return None


@contextmanager
def engine() -> Generator[RealEngine]:
    """Use the engine of this run, started if nobody has.

    Raises:
        NoEngine: There can be none.
    """
    if reason := obstacle():
        raise NoEngine(reason)
    directory = _directory()
    directory.mkdir(mode=0o711, exist_ok=True)
    with (directory / "users").open("a") as users:
        with (directory / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            told = _start(directory)
        if "failed" in told:
            raise NoEngine(told["failed"])
        yield RealEngine(**told)


def _start(directory: Path) -> dict[str, Any]:
    """What the supervisor says once the engine answers, or never will."""
    ready = directory / "ready"
    if ready.exists():
        return json.loads(ready.read_text())
    prefix = _as_root()
    assert prefix is not None
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with (directory / "log").open("wb") as log:
        command = ["setsid", "--fork", *prefix, "env", "-C", str(ROOT), *_variables()]
        command += [sys.executable, "-P", "-m", "tests.sandbox.engine", "supervise"]
        subprocess.run(
            [*command, str(directory), str(os.getgid())],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=log,
            check=True,
        )
    os.close(writer)
    with open(reader) as said:  # noqa: PTH123 - a descriptor
        readable, _, _ = select.select([said], [], [], START_SECONDS)
        line = said.readline() if readable else ""
    return json.loads(line or json.dumps({"failed": f"no engine: {_last_words(directory)}"}))


def supervise(directory: Path, group: int) -> None:
    """Run the engine until nobody holds the lock on its users any more; says on output how it is."""
    groups = directory.name
    (directory / "root").mkdir()
    runtimes = _add_gvisor(directory)
    unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid"]
    unshare += ["--fork", "--kill-child", "--mount-proc", "--propagation", "slave"]
    unshare += ["sh", "-c", _DOCKERD, "dockerd", str(directory), str(group), groups, runtimes]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as news:
        news.bind(str(directory / "news"))
        environ = {**os.environ, "NOTIFY_SOCKET": str(directory / "news")}
        process = subprocess.Popen(unshare, stdout=sys.stderr, env=environ)
        try:
            told = _prepare(directory, process, news)
        except (OSError, SandboxError) as error:
            told = {"failed": f"{error}: {_last_words(directory)}"}
    (directory / "ready").write_text(json.dumps(told))
    print(json.dumps(told), flush=True)  # noqa: T201 - the answer
    with (directory / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
    _end(process)
    _remove_groups(groups)
    shutil.rmtree(directory, ignore_errors=True)


def _add_gvisor(directory: Path) -> str:
    """The engine's option that names runsc, if this machine has it."""
    found = shutil.which("runsc")
    if found is None:
        return ""
    runtime = directory / "runsc"
    # Its control groups are version 2's or systemd's, and not every machine has those.
    runtime.write_text(
        f'#!/bin/sh\nexec {found} --host-uds=open --network=none --ignore-cgroups "$@"\n'
    )
    runtime.chmod(0o755)
    return f"--add-runtime runsc={runtime}"


def _prepare(
    directory: Path, process: subprocess.Popen[bytes], news: socket.socket
) -> dict[str, Any]:
    """Wait for the engine, and give it its image."""
    news.settimeout(1.0)
    end = time.monotonic() + START_SECONDS
    while True:
        with suppress(TimeoutError):
            if b"READY=1" in news.recv(4096):
                break
        if process.poll() is not None or time.monotonic() > end:
            raise TimeoutError("the engine does not start")
    address = f"unix://{directory}/socket"
    image, root = anyio.run(_import, Engine(address), directory)
    return {"address": address, "image": image, "root": str(root)}


async def _import(engine: Engine, directory: Path) -> tuple[str, Path]:
    root = await prepare_root()
    image = await Stock(engine, directory, progress=_ignore).of(root)
    await engine.aclose()
    return image, root


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the first process of the engine's namespace, and with it everything in there."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    process.wait(_STOP_SECONDS)


async def prepare_root() -> Path:
    """The Debian root of the image, made once on this machine; by root."""
    place = anyio.Path(tempfile.gettempdir(), f"wharfkeep-test-root-{apt.codename()}")
    if await place.exists() and (await place.stat()).st_uid != 0:
        raise RootFailed(f"{place} is somebody else's: remove it")
    await make_root(Path(place), include=(), progress=_ignore, deadline=_MAKE_SECONDS)
    return Path(place)


def _remove_groups(name: str) -> None:
    """Remove the control groups of the engine, innermost first."""
    for top in Path("/sys/fs/cgroup").glob(f"**/{name}"):
        for place in (*sorted(top.rglob("*"), reverse=True), top):
            if place.is_dir():
                with suppress(OSError):
                    place.rmdir()


def _last_words(directory: Path) -> str:
    lines = (directory / "log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _directory() -> Path:
    """The same for every process of one test run."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    return Path(tempfile.gettempdir(), f"wharfkeep-engine-{os.geteuid()}-{run[:16]}")


def _as_root() -> Sequence[str] | None:
    """What to put before a command so that root runs it; None if that cannot be."""
    if IS_ROOT:
        return ()
    if shutil.which("sudo") is None:
        return None
    asked = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ("sudo", "-n") if asked.returncode == 0 else None


def _variables() -> Sequence[str]:
    return [f"{name}={value}" for name, value in environment(PATH=_path()).items()]


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def _ignore(line: str) -> None:
    del line


def main() -> None:
    match sys.argv[1:]:
        case ["supervise", directory, group]:
            supervise(Path(directory), int(group))
        case ["prepare"]:
            sys.exit(_prepare_ahead())
        case _:
            sys.exit(2)


def _prepare_ahead() -> str | None:
    if reason := obstacle():
        return reason
    if not IS_ROOT:
        prefix = _as_root()
        assert prefix is not None
        command = [*prefix, "env", "-C", str(ROOT), *_variables()]
        command += [sys.executable, "-P", "-m", "tests.sandbox.engine", "prepare"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else done.stderr.strip()
    try:
        anyio.run(prepare_root)
    except SandboxError as error:
        return str(error)
    try:
        with engine():
            return None
    except NoEngine as error:
        return str(error)


if __name__ == "__main__":
    main()
