"""What it takes to install an environment's packages: pure, and the same for the same wishes.

Everything but apt's packages goes to one directory, `PREFIX`, which sessions see read-only.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.wire.packages import MANAGERS
from sandbox import apt
from sandbox.view import ENVIRONMENT

PREFIX = "/opt/packages"
PIP = "/opt/pip.zip"
"""Where a build finds pip, which runs on whatever Python is there."""

_VERSION = 1
"""Of what is written here: another one makes everything anew."""
_PYTHON, _NODE, _GEMS = (f"{PREFIX}/python", f"{PREFIX}/lib/node_modules", f"{PREFIX}/gems")
_SCRATCH = "/home/agent/.build"
"""On disk, because what is built can be larger than an in-memory directory."""
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"

_PROGRAMS: Mapping[str, str] = {
    "cargo": "cargo",
    "gem": "gem",
    "go": "go",
    "npm": "npm",
    "pip": "python3",
}
_DEBIAN: Mapping[str, tuple[str, ...]] = {
    "cargo": ("cargo",),
    "gem": ("ruby", "ruby-dev", "gcc", "libc6-dev", "make"),
    "go": ("golang-go", "gcc", "libc6-dev"),
    "npm": ("npm",),
    "pip": ("python3",),
}
"""What has to be in a root for a manager to be there and able to compile."""
_BETTER: Mapping[tuple[str, str], tuple[str, ...]] = {("bookworm", "cargo"): ("cargo-web", "gcc")}
"""Where a release has two: Debian 12's own cargo fetches the whole index of its registry with git,
and its compiler is too old for most of what is there."""

_ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "cargo": {"CARGO_HOME": f"{_SCRATCH}/cargo", "CARGO_TARGET_DIR": f"{_SCRATCH}/target"},
    "gem": {},
    "go": {
        "GOBIN": f"{PREFIX}/bin",
        "GOPATH": f"{_SCRATCH}/go",
        "GOCACHE": f"{_SCRATCH}/go-cache",
    },
    "npm": {"npm_config_cache": f"{_SCRATCH}/npm", "npm_config_update_notifier": "false"},
    "pip": {
        "PIP_USER": "0",
        "PIP_NO_INPUT": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    },
}
_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "cargo": ("cargo", "install", "--locked", "--root", PREFIX, "--"),
    "gem": ("gem", "install", "--no-document", "--install-dir", _GEMS, "--bindir", f"{PREFIX}/bin"),
    "go": ("go", "install", "--"),
    "npm": ("npm", "install", "--global", "--prefix", PREFIX, "--no-fund", "--no-audit", "--"),
    "pip": ("python3", f"{PIP}/pip", "install", "--target", _PYTHON, "--"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What programs in a sandbox without a root of its own find."""

    name: str
    """Distinguishes systems whose packages are not each other's."""
    programs: frozenset[str]
    """Which of the managers' programs are there."""
    release: str | None = None
    """What apt here calls it; None where there is no apt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One program to run in the sandbox of a build."""

    manager: str
    argv: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to install what an environment wants."""

    digest: str
    """Equal for what may be shared."""
    debian: tuple[str, ...] | None
    """The packages of a root; None if the host's own system will do."""
    steps: tuple[Step, ...]
    env: Mapping[str, str]
    """What makes it all usable by its plain names."""
    summary: tuple[str, ...]
    """What is installed, a line for each manager, in their order."""
    foreign: frozenset[str]
    """Managers that are not on this system, only in the root."""


def find_system() -> System:
    """Look at this machine, as the sandboxes of a driver that shows it would see it."""
    programs = {name for name in _PROGRAMS.values() if _in_usr(name)}
    python = Path("/usr/bin/python3").resolve().name if "python3" in programs else ""
    name = f"{_os_release()} {python}"
    return System(name=name, programs=frozenset(programs), release=apt.codename())


def needs_root(packages: Mapping[str, Any], system: System) -> tuple[str, str] | None:
    """The first manager that cannot do without a root here, and why not; None if all can."""
    if packages.get("apt"):
        return "apt", "these packages need a Debian root of their own"
    for manager in _wanted(packages):
        if _PROGRAMS[manager] not in system.programs:
            return manager, f"there is no {_PROGRAMS[manager]} below /usr here"
    return None


def write(packages: Mapping[str, Any], system: System, always: Sequence[str]) -> Recipe | None:
    """The recipe for an environment's packages, or None if it wants none.

    `always` are Debian packages that every root has besides.
    """
    wanted = _wanted(packages)
    names = {manager: list(packages[manager]) for manager in MANAGERS if packages.get(manager)}
    if not names:
        return None
    debian: tuple[str, ...] | None = None
    if needs_root(packages, system):
        tools = (_tools(manager, system.release) for manager in wanted)
        debian = (*always, *(each for group in tools for each in group), *names.get("apt", ()))
    base = system.release if debian else system.name
    return Recipe(
        digest=_digest([_VERSION, base, debian, names]),
        debian=debian,
        steps=tuple(step for manager in wanted for step in _steps(manager, names[manager])),
        env=_session_env(wanted) if wanted else {},
        summary=tuple(f"{manager}: {', '.join(names[manager])}" for manager in names),
        foreign=frozenset(m for m in wanted if _PROGRAMS[m] not in system.programs),
    )


def _wanted(packages: Mapping[str, Any]) -> list[str]:
    return [each for each in MANAGERS if each != "apt" and packages.get(each)]


def _tools(manager: str, release: str | None) -> tuple[str, ...]:
    return _BETTER.get((release or "", manager), _DEBIAN[manager])


def _steps(manager: str, names: Sequence[str]) -> list[Step]:
    env = {"TMPDIR": f"{_SCRATCH}/space", **_ENVIRONMENTS[manager]}
    command = _COMMANDS[manager]
    if manager == "go":  # one at a time: each may be of a module and version of its own
        versioned = [name if "@" in name else f"{name}@latest" for name in names]
        return [Step(manager=manager, argv=(*command, each), env=env) for each in versioned]
    return [Step(manager=manager, argv=(*command, *names), env=env)]


def _session_env(managers: Sequence[str]) -> dict[str, str]:
    own, _, rest = ENVIRONMENT["PATH"].partition(":")
    env = {"PATH": f"{own}:{PREFIX}/bin:{_PYTHON}/bin:{rest}"}
    if "pip" in managers:
        env["PYTHONPATH"] = _PYTHON
    if "npm" in managers:
        env["NODE_PATH"] = _NODE
    if "gem" in managers:
        env["GEM_PATH"] = f"{_GEMS}:"  # the colon keeps the system's own
    return env


def _in_usr(program: str) -> bool:
    found = shutil.which(program, path=_SYSTEM_PATH)
    return found is not None and Path(found).resolve().is_relative_to("/usr")


def _os_release() -> str:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return ""
    lines = [line for line in text.splitlines() if line.startswith(("ID=", "VERSION_ID="))]
    return " ".join(sorted(lines))


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=16).hexdigest()
