"""Debian roots: systems of their own for sandboxes that need more than the host's ``/usr``.

A root is made by ``mmdebstrap`` from what apt on this machine is configured to use: its sources
for this release, its keys, its proxies, its certificates. As a normal user everything happens in a
user namespace with the subordinate ids of `/etc/subuid`, so packages' own scripts never are root
of the host; as root they are, with fewer capabilities, in namespaces for processes and mounts.

What a root is good for, and how a sandbox shows it, is not decided here.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from sandbox import apt
from sandbox.contract import SandboxError

ALWAYS = ("ca-certificates", "python3")
"""What every root has: the programs inside a sandbox need them."""

_TAIL_LINES = 20
_LINE_CHARACTERS = 500
_ASK_SECONDS = 20.0
_GRACE_SECONDS = 10.0
_PASSED_ON = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "TMPDIR")
"""What of the gateway's environment the tools may see; the rest is none of their business."""
_NEEDLESS = "-sys_module,-sys_rawio,-sys_boot,-sys_time,-net_admin,-syslog,-wake_alarm,-sys_pacct"
"""Capabilities that no package needs in order to be installed."""
_LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_LEFT_BEHIND = (
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d",
    "etc/hostname",
    "etc/resolv.conf",
)
"""The host's name and its configuration, which may hold passwords; nobody inside can install."""
_MOUNT_POINTS = ("group", "hostname", "hosts", "nsswitch.conf", "passwd", "resolv.conf")
"""What a sandbox shows its own of, in a directory that is read-only by then."""
_TOLD = ("I:", "W:", "E:", "Err:", "Fetched", "Setting up")
"""The beginnings of the lines that are progress."""
_ERRORS = ("E:", "Err:", "dpkg: error")
_OWN_ERRORS = re.compile(r"E: (setup failed|mmdebstrap failed)|I: main\(\)")
"""What mmdebstrap says about the failure of what it started, with its whole command line."""
_INSIDE = ("--user", "--map-root-user", "--map-auto")


class RootFailed(SandboxError):
    """A root could not be made; the message ends with what the tools said."""


def probe_roots() -> str | None:
    """Why no root can be made on this machine, with the remedy in one line; None if it can.

    Blocks for a moment: it tries what is cheap to try.
    """
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not there: install mmdebstrap"
    release = apt.codename()
    if release is None or not apt.sources(release):
        return "apt has no sources for this system's release: run on Debian or Ubuntu"
    if os.geteuid() == 0:
        complaint = _complaint("unshare", "--mount", "--pid", "--fork", "true")
        return complaint and f"root may not mount here ({complaint}): grant CAP_SYS_ADMIN"
    return _probe_subordinates()


async def make_root(
    destination: Path,
    *,
    include: Sequence[str],
    progress: Callable[[str], None],
    deadline: float,
    sources: Sequence[Path] = (),
) -> None:
    """Make a minimal Debian root with the packages of `include` at `destination`.

    It appears there whole or not at all, whatever crashes; a root that is there already stays. The
    directory above has to be ours. `progress` hears what goes on, a line at a time. `deadline` is
    in seconds. `sources` are files in apt's format, to use instead of those that apt here has for
    its own release.

    Raises:
        RootFailed: It was not made: a package does not exist, no source answered, the disk is full,
            or it took too long.
    """
    if await anyio.Path(destination).exists():
        return
    try:
        options = await anyio.to_thread.run_sync(apt.options)
        staging = await anyio.to_thread.run_sync(_stage, destination)
        try:
            with _written(options) as file, anyio.fail_after(deadline + _GRACE_SECONDS):
                await _run(_command(staging, include, sources, file, deadline), progress)
                await anyio.to_thread.run_sync(_finish, staging, destination)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(remove_root, staging)
    except TimeoutError as error:
        raise RootFailed(f"no Debian root within {deadline:g} seconds") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise RootFailed(f"cannot make a Debian root: {error}") from error


def remove_root(root: Path) -> None:
    """Delete a root, or what an interrupted `make_root` left of one; no sandbox may show it.

    As a normal user the subordinate ids are needed again: not everything in it is ours.
    """
    if not root.exists():
        return
    if os.geteuid() == 0:
        shutil.rmtree(root)
        return
    command = ["unshare", *_INSIDE, "rm", "-rf", "--", str(root)]
    done = subprocess.run(command, capture_output=True, check=False, env=_environment())
    if done.returncode:
        raise RootFailed(f"cannot remove {root}: {done.stderr.decode(errors='replace')[-500:]}")


def _probe_subordinates() -> str | None:
    """As `probe_roots`, for a user other than root."""
    if shutil.which("newuidmap") is None:
        return "newuidmap is not there: install uidmap"
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()} has no name, and so no subordinate ids: run as a named user"
    if not all(_has_range(Path(file), user) for file in ("/etc/subuid", "/etc/subgid")):
        return (
            f"{user} has no subordinate ids: run "
            f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        )
    complaint = _complaint("unshare", *_INSIDE, "--mount", "--pid", "--fork", "true")
    return complaint and f"user namespaces with subordinate ids do not work here: {complaint}"


def _stage(destination: Path) -> Path:
    """An empty directory beside the destination."""
    staging = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}."))
    staging.chmod(0o755)
    return staging


def _command(
    staging: Path, include: Sequence[str], sources: Sequence[Path], options: Path, deadline: float
) -> list[str]:
    release = apt.codename() or "stable"
    command = ["setpriv", "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        command += ["--bounding-set", _NEEDLESS, "unshare", "--mount"]
    else:
        command += ["unshare", *_INSIDE]
    # Whoever kills the first process kills everything, also what detached itself.
    command += ["--pid", "--fork", "--kill-child"]
    command += ["timeout", "--signal", "KILL", f"{deadline:.3f}"]
    # With the name of this mode mmdebstrap makes do with the mounts that a namespace allows.
    command += ["mmdebstrap", "--mode=unshare", "--variant=minbase", "--format=directory"]
    command += ["--verbose"]
    command += [f"--aptopt={options}", "--dpkgopt=force-unsafe-io"]
    if _LOCAL_CERTIFICATES.is_dir():
        command += [f"--essential-hook=copy-in {_LOCAL_CERTIFICATES} /usr/local/share"]
    command += [f"--include={name}" for name in dict.fromkeys((*ALWAYS, *include))]
    files = sources or apt.sources(release)
    return [*command, "--", release, str(staging), *map(str, files)]


def _finish(staging: Path, destination: Path) -> None:
    """Take out what is the host's, put it on the disk, and let it appear."""
    for name in _LEFT_BEHIND:
        place = staging / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    for name in _MOUNT_POINTS:
        (staging / "etc" / name).touch(mode=0o644)
    subprocess.run(["sync", "--file-system", staging], check=True, capture_output=True)
    try:
        staging.rename(destination)
    except OSError:
        if not destination.exists():
            raise
        return  # somebody else was faster, with the same
    _sync_directory(destination.parent)


async def _run(command: Sequence[str], progress: Callable[[str], None]) -> None:
    """Run to the end, tell every line, and kill whatever is left when this is cancelled."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    process = await anyio.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(),
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        async for line in _lines(TextReceiveStream(process.stderr, errors="replace")):
            tail.append(line)
            if line.startswith(_TOLD) and not _OWN_ERRORS.match(line):
                progress(line)
        status = await process.wait()
    finally:
        await _end(process)
    if status:
        raise RootFailed(_explain(status, tail))


async def _lines(stream: TextReceiveStream) -> AsyncGenerator[str]:
    """Lines, each cut to what a person would read."""
    rest = ""
    async for text in stream:
        *lines, rest = (rest + text).replace("\r", "\n").split("\n")
        rest = rest[:_LINE_CHARACTERS]
        for line in lines:
            if line.strip():
                yield line[:_LINE_CHARACTERS]
    if rest.strip():
        yield rest


async def _end(process: Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with anyio.move_on_after(_GRACE_SECONDS):
                await process.wait()
        await process.aclose()


def _explain(status: int, tail: Sequence[str]) -> str:
    """What went wrong, in the tools' own words."""
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "the Debian root took too long to make"
    errors = [line for line in tail if line.startswith(_ERRORS) and not _OWN_ERRORS.match(line)]
    return "cannot make a Debian root: " + "; ".join((errors or list(tail))[-4:])


@contextmanager
def _written(options: str) -> Generator[Path]:
    """A file, because a proxy's password has no place in a command line."""
    with tempfile.NamedTemporaryFile("w", prefix="wharfkeep-apt-", suffix=".conf") as file:
        file.write(options)
        file.flush()
        yield Path(file.name)


def _has_range(file: Path, user: str) -> bool:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    names = (user, str(os.geteuid()))
    return any(line.split(":")[0] in names for line in lines)


def _complaint(*command: str) -> str | None:
    """What a command says when it fails, in one line; None when it does not."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_ASK_SECONDS, check=False, env=_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"{command[0]} fails with status {done.returncode}"


def _environment() -> dict[str, str]:
    passed = {
        name: os.environ[name]
        for wanted in _PASSED_ON
        for name in (wanted, wanted.upper())
        if name in os.environ
    }
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/", **passed}


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
