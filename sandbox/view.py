"""What a program inside a sandbox sees: its file system, namespaces and environment.

This is the one place that says so, as arguments of ``bwrap`` (0.8 or later). Nothing of the host
is writable but the layer; nothing of the host is readable but ``/usr`` and a few public files of
``/etc``; there is no network.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.contract import EGRESS_NAME, UPLOADS, Limits, Mount, Unavailable
from sandbox.layer import MEMORY, MOUNTS, Layer, enterable
from sandbox.porch import Porch
from sandbox.switchboard import SOCKET_NAME

RUNTIME = "/opt/wharfkeep"
"""Where the gateway's own files appear. Its parent is read-only, so it stays what it is."""
PROGRAM = f"{RUNTIME}/program.pyz"
SOCKET = f"{RUNTIME}/gateway/{SOCKET_NAME}"
EGRESS = f"{RUNTIME}/gateway/{EGRESS_NAME}"
PYTHON_PREFIX = f"{RUNTIME}/python"

USER_ID = 1000
"""User and group inside, whichever they are outside."""

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/home/agent/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/home/agent",
    "USER": "agent",
    "LOGNAME": "agent",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "PIP_USER": "1",
}

_ASK_SECONDS = 10.0
_ROOT_DIRECTORIES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
MEMORY_DIRECTORIES = {
    "/tmp": "1777",  # noqa: S108 - the sandbox's own
    "/dev/shm": "1777",  # noqa: S108 - as above
    "/run": "0755",
}
"""Where programs may write without it reaching a disk -> its mode."""
HIDDEN_PROC = (
    "cmdline",
    "diskstats",
    "interrupts",
    "key-users",
    "keys",
    "locks",
    "partitions",
    "sys/kernel/random/boot_id",
)
"""What tells one machine from another and nothing inside needs; each costs a start 0.1 ms."""
_PUBLIC_ETC = (
    "alternatives",
    "ca-certificates",
    "ld.so.cache",
    "localtime",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "ssl/certs",
    "ssl/openssl.cnf",
    # Debian's Java does not start without its settings.
    *sorted(place.name for place in Path("/etc").glob("java-*-openjdk")),
)


def accounts(uid: int) -> Mapping[str, str]:
    """The files of ``/etc`` that say who there is, when programs run as `uid`."""
    return {
        "passwd": (
            "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
            f"agent:x:{uid}:{uid}:agent:/home/agent:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
        "group": f"root:x:0:\nagent:x:{uid}:\nnogroup:x:65534:\n",
    }


ETC: Mapping[str, str] = {
    **accounts(USER_ID),
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n",
    "hostname": "sandbox\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "resolv.conf": "",
}
"""The files of ``/etc`` that are the gateway's to say, whatever the system -> what they hold."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python that runs the program inside."""

    path: str
    """Where it is inside."""
    host: Path
    """Where it is outside."""
    prefix: Path | None = None
    """The host's installation to show at `PYTHON_PREFIX`, if it is not below ``/usr``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What differs from sandbox to sandbox."""

    layer: Layer
    porch: Porch
    program: Path
    etc: Path
    """Made by `make_etc`."""
    limits: Limits
    python: Interpreter
    root: Path | None = None
    mounts: Sequence[Mount] = ()
    arguments: Sequence[str] = ()


def find_python(system: Path = Path("/usr/bin/python3")) -> Interpreter:
    """Choose the interpreter inside: the system's, else the one the gateway itself runs on.

    Raises:
        Unavailable: Neither can be used.
    """
    if system.is_relative_to("/usr") and _is_recent(system):
        return Interpreter(str(system), system)
    prefix = Path(sys.base_prefix)
    name = f"bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not (prefix / name).exists():
        raise Unavailable(f"there is no Python 3.9 or newer at {system}: install python3")
    if os.geteuid() == 0 and not enterable(prefix):
        raise Unavailable(f"sandbox users cannot enter {prefix}: install python3")
    return Interpreter(f"{PYTHON_PREFIX}/{name}", prefix / name, prefix)


def make_etc(directory: Path) -> None:
    """Write a small ``/etc`` with a mount point for each of the host's files that are shown."""
    for name, text in ETC.items():
        place = directory / name
        place.write_text(text)
        place.chmod(0o644)
    for name in _PUBLIC_ETC:
        source = Path("/etc", name)
        if source.is_dir():
            (directory / name).mkdir(parents=True, exist_ok=True)
        elif source.exists():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).touch()
    for place in (directory, *filter(Path.is_dir, directory.rglob("*"))):
        place.chmod(0o755)  # whatever the umask is


def arguments(view: View, *, seccomp: int, info: int) -> Sequence[str]:
    """The options of bwrap, without the command.

    `seccomp` is the descriptor with the filter, and `info` the one to write process ids to.
    """
    return [
        *_isolation(seccomp=seccomp, info=info),
        *(_system(view.etc) if view.root is None else _image(view.root, view.etc)),
        *_memory_directories(view.limits),
        *_layer(view.layer),
        *_runtime(view),
        *_mounts(view.mounts),
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", MOUNTS["workspace"]),
    ]


# What `python PROGRAM` would do, without `runpy`, whose imports take as long as all the others.
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from toolservers.__main__ import main; main()"
)


def command(view: View) -> Sequence[str]:
    """The program to run inside; it reads its token from standard input."""
    python = view.python.path if view.root is None else "/usr/bin/python3"
    return [python, "-I", "-S", "-c", START, PROGRAM, "--socket", SOCKET, *view.arguments]


def _is_recent(python: Path) -> bool:
    question = "import sys; sys.exit(sys.version_info < (3, 9))"
    try:
        return not subprocess.run(
            [python, "-I", "-S", "-c", question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_SECONDS,
            check=False,
            env={},
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def _isolation(*, seccomp: int, info: int) -> list[str]:
    options = [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"),
        # As the first process the program cannot be killed by others inside, and everything
        # inside ends when it does.
        *("--die-with-parent", "--new-session", "--as-pid-1"),
        *("--uid", str(USER_ID), "--gid", str(USER_ID), "--hostname", "sandbox"),
        *("--seccomp", str(seccomp), "--info-fd", str(info)),
    ]
    for name, value in ENVIRONMENT.items():
        options += ["--setenv", name, value]
    return options


def _system(etc: Path) -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _ROOT_DIRECTORIES:
        place = Path("/", name)
        if place.is_symlink():
            options += ["--symlink", str(place.readlink()), f"/{name}"]
        elif place.is_dir():
            options += ["--ro-bind", f"/{name}", f"/{name}"]
    options += ["--ro-bind", str(etc), "/etc"]
    for name in _PUBLIC_ETC:
        if (etc / name).exists():
            options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return [*options, *_kernel()]


def _image(root: Path, etc: Path) -> list[str]:
    """A Debian root instead of the host's system; who the user is stays ours to say."""
    options = ["--ro-bind", str(root / "usr"), "/usr"]
    for name in _ROOT_DIRECTORIES:
        if (root / name).is_symlink():
            options += ["--symlink", f"usr/{name}", f"/{name}"]
    for name in ("etc", "var/lib"):
        options += ["--ro-bind", str(root / name), f"/{name}"]
    for name in ETC:
        options += ["--ro-bind", str(etc / name), f"/etc/{name}"]
    return [*options, *_kernel()]


def _kernel() -> list[str]:
    options = ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    for name in HIDDEN_PROC:
        if Path("/proc", name).exists():  # the kernel inside is the same
            options += ["--ro-bind", "/dev/null", f"/proc/{name}"]  # cannot be opened there
    return [*options, "--dev", "/dev"]


def _memory_directories(limits: Limits) -> list[str]:
    options = ["--dir", "/var"]
    for place, mode in MEMORY_DIRECTORIES.items():
        options += ["--perms", mode, "--size", str(limits.tmp), "--tmpfs", place]
    for name in ("tmp", "run"):
        options += ["--symlink", f"../{name}", f"/var/{name}"]
    return options


def _layer(layer: Layer) -> list[str]:
    options = ["--dir", MEMORY]
    for directory, place in MOUNTS.items():
        options += ["--bind", str(layer.path / directory), place]
    return options


def _runtime(view: View) -> list[str]:
    options = ["--ro-bind", str(view.program), PROGRAM]
    options += ["--ro-bind", str(view.porch.sockets), str(Path(SOCKET).parent)]
    options += ["--ro-bind", str(view.porch.uploads), UPLOADS]
    if view.python.prefix is not None:
        options += ["--ro-bind", str(view.python.prefix), PYTHON_PREFIX]
    return options


def _mounts(mounts: Sequence[Mount]) -> list[str]:
    options: list[str] = []
    for mount in mounts:
        bind = "--bind" if mount.writable else "--ro-bind"
        options += [bind, str(mount.source), mount.target]
    return options
