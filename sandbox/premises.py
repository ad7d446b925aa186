"""What the bubblewrap driver stands on: the tools of this machine and its own directories.

Found and prepared once, before the first sandbox. Everything here blocks; it belongs in a thread.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import diagnosis, seccomp
from sandbox.bundle import bundle
from sandbox.contract import Enforcement, Requirement, Unavailable
from sandbox.estate import Estate
from sandbox.layer import usable_root
from sandbox.limits.group import Cgroups, enforcement, find
from sandbox.view import Interpreter, find_python, make_etc

_ASK_SECONDS = 10.0
_ENFORCED_BY: Mapping[Requirement, str] = {
    "memory": "memory",
    "processes": "processes",
    "cpu": "cpus",
    "disk": "disk",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """A machine on which sandboxes can be started, as far as one can tell without starting one."""

    bwrap: str
    python: Interpreter
    estate: Estate
    program: Path
    etc: Path
    filter: bytes
    cgroups: Cgroups | None
    moved: bool
    """Whether the data directory was of no use."""
    watched: bool = True
    """Whether the watchdog can see what it has to."""

    @property
    def own_uid(self) -> bool:
        return self.estate.own_uid

    @property
    def limits(self) -> Mapping[str, Enforcement]:
        """What enforces each field of `Limits`."""
        return enforcement(self.cgroups, own_uid=self.own_uid, watched=self.watched)

    def lacking(self, requirement: Requirement) -> str | None:
        """Why a requirement cannot be honoured, as a sentence; None if it can."""
        if requirement == "kernel_isolation":
            return "programs in a bubblewrap sandbox share this machine's kernel"
        if requirement == "own_uid":
            return None if self.own_uid else _SHARED_UID
        if self.limits[_ENFORCED_BY[requirement]] != "none":
            return None
        return _UNLIMITED_DISK if requirement == "disk" else _unlimited(requirement)

    def notes(self) -> tuple[str, ...]:
        """What is not enforced here, each with the remedy."""
        wanted: tuple[Requirement, ...] = ("own_uid", *_ENFORCED_BY)
        notes = [note for note in map(self.lacking, wanted) if note is not None]
        if self.limits["memory"] == "watchdog":
            notes.append(_WATCHED_MEMORY)
        if self.moved:
            notes.append(
                f"layers live in {self.estate.root}, because sandbox users cannot enter the data "
                "directory: choose one whose parent directories have mode 0711 or wider"
            )
        return tuple(notes)


_SHARED_UID = "all sandboxes run under this user's id: run the gateway as root"
_UNLIMITED_DISK = (
    "disk space is not limited, because it cannot be measured: "
    "give the data directory a file system of its own"
)
_GROUPS = "run the gateway as root, or in a control group delegated to it (systemd: Delegate=yes)"
_WATCHED_MEMORY = f"memory is looked at twice a second and not bounded by the kernel: {_GROUPS}"


def _unlimited(what: str) -> str:
    return f"{what} is not limited: {_GROUPS}"


def prepare(*, data_dir: Path, program: Path | None, bwrap: str, python: Path) -> Premises:
    """Look for what is needed and make the directories.

    Raises:
        Unavailable: Something is missing; the message says what to do.
    """
    found = shutil.which(bwrap)
    if found is None:
        raise Unavailable(diagnosis.missing())
    if complaint := diagnosis.too_old(_ask(found, "--version")):
        raise Unavailable(complaint)
    own_uid = os.geteuid() == 0
    try:
        root = usable_root(data_dir)
        estate = Estate(root=root, own_uid=own_uid)
        estate.make()
        interpreter = find_python(python)
        runtime = estate.runtime
        return Premises(
            bwrap=found,
            python=interpreter,
            estate=estate,
            program=install(program, runtime) if program else bundle(interpreter.host, runtime),
            etc=_install_etc(runtime),
            filter=seccomp.program(),
            cgroups=find(f"wharfkeep-{_identity(root)}"),
            moved=not root.is_relative_to(os.path.realpath(data_dir)),
        )
    except OSError as error:
        raise Unavailable(f"cannot prepare directories for sandboxes: {error}") from error


def _ask(program: str, option: str) -> str:
    try:
        answer = subprocess.run(
            [program, option], capture_output=True, timeout=_ASK_SECONDS, check=False, env={}
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode(errors="replace")


def install(program: Path, runtime: Path) -> Path:
    """Copy the program to where sandbox users can read it and nobody replaces it under them."""
    data = program.read_bytes()
    place = runtime / f"program-{_digest(data)}.pyz"
    if not place.exists():
        with tempfile.NamedTemporaryFile(dir=runtime, delete=False) as file:
            file.write(data)
        Path(file.name).chmod(0o444)
        Path(file.name).replace(place)
    return place


def _install_etc(runtime: Path) -> Path:
    """Make the synthetic ``/etc`` anew: the host's may have changed."""
    place = runtime / "etc"
    place.mkdir(exist_ok=True)
    make_etc(place)
    return place


def _identity(directory: Path) -> str:
    """Tells it from all others of this machine, also from one of the same name in a container."""
    status = directory.stat()
    return _digest(f"{directory} {status.st_dev} {status.st_ino}".encode(errors="surrogateescape"))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
