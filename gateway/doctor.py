"""What works on this machine, found by trying it, each with what to do when it does not.

It changes nothing and needs no running server. What a sandbox enforces here in detail is the
driver's own `probe`, which `serve` runs at its start.
"""

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from gateway.config import Config
from gateway.settings import Endpoint
from sandbox.contract import SandboxError

if TYPE_CHECKING:
    from sandbox.docker.engine import Engine

_SECONDS = 10.0
"""The longest one trial may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried."""

    name: str
    works: bool
    detail: str
    remedy: str = ""
    """What to do; empty when it works."""
    required: bool = True
    """False: the gateway does without."""


def examine(config: Config) -> list[Finding]:
    """Try everything a gateway with this configuration stands on, at most seconds each."""
    return [
        _python(),
        _data_dir(config.data_dir),
        *_sandboxes(config),
        _ripgrep(),
        _cgroups(Path("/sys/fs/cgroup")),
        *_models(config),
    ]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(name="python", works=True, detail=f"{version} at {sys.executable}")


def _data_dir(path: Path) -> Finding:
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            name="data directory",
            works=False,
            detail=f"{path}: {there} cannot be written",
            remedy="choose another with --data-dir",
        )
    free = shutil.disk_usage(there).free / 1024**3
    return Finding(
        name="data directory", works=True, detail=f"{path}, {free:.0f} GiB free on its disk"
    )


def _sandboxes(config: Config) -> list[Finding]:
    if config.sandbox.driver == "docker":
        return anyio.run(_containers, config)
    return [_bubblewrap(), _user_namespaces()]


async def _containers(config: Config) -> list[Finding]:
    """The engine, and what of it sandboxes need."""
    from sandbox.docker.engine import Engine

    settings = config.sandbox.docker
    engine = Engine(settings.address, seconds=_SECONDS)
    try:
        about = await engine.about()
        image = await _image(engine, settings.image)
    except SandboxError as error:
        remedy = "start it, or set sandbox.docker.address to where it listens"
        return [Finding(name="container engine", works=False, detail=str(error), remedy=remedy)]
    finally:
        await engine.aclose()
    rootless = "rootless" in about.security
    found = Finding(
        name="container engine",
        works=not rootless,
        detail=f"{about.version} at {engine.address}{', rootless' if rootless else ''}",
        remedy="use the engine of this machine, or bubblewrap, which needs no root"
        if rootless
        else "",
    )
    return [found, image, _gvisor(config, about.runtimes)]


async def _image(engine: "Engine", name: str) -> Finding:
    if not name:
        detail = "made from Debian packages when the first sandbox needs it"
        return Finding(name="sandbox image", works=True, detail=detail)
    there = await engine.has_image(name)
    return Finding(
        name="sandbox image",
        works=there,
        detail=f"{name} is {'' if there else 'not '}there",
        remedy="" if there else f"docker pull {name}, or leave sandbox.docker.image empty",
    )


def _gvisor(config: Config, runtimes: Collection[str]) -> Finding:
    settings = config.sandbox
    there = "runsc" in runtimes
    return Finding(
        name="gvisor",
        works=there,
        detail=f"the engine lists {', '.join(sorted(runtimes))}",
        remedy=""
        if there
        else 'install runsc and list it under "runtimes" in the engine\'s daemon.json; '
        "until then sandboxes share this machine's kernel",
        required=settings.docker.runtime == "runsc" or "kernel_isolation" in settings.require,
    )


def _bubblewrap() -> Finding:
    version = _run("bwrap", "--version")
    return Finding(
        name="bubblewrap",
        works=version.works,
        detail=version.text,
        remedy="" if version.works else "sudo apt-get install -y bubblewrap",
    )


def _user_namespaces() -> Finding:
    trial = _run("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true")
    remedy = (
        "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
        "kernel.apparmor_restrict_unprivileged_userns=0), or let the container create them"
    )
    return Finding(
        name="user namespaces",
        works=trial.works,
        detail="a sandbox starts" if trial.works else trial.text,
        remedy="" if trial.works else remedy,
    )


def _ripgrep() -> Finding:
    version = _run("rg", "--version")
    return Finding(
        name="ripgrep",
        works=version.works,
        detail=version.text,
        remedy="" if version.works else "sudo apt-get install -y ripgrep (searches get faster)",
        required=False,
    )


def _cgroups(mount: Path) -> Finding:
    unified = (mount / "cgroup.controllers").exists()
    version = "version 2" if unified else "version 1" if (mount / "memory").exists() else "none"
    writable = unified and os.access(mount / "cgroup.subtree_control", os.W_OK)
    writable = writable or (not unified and os.access(mount / "memory", os.W_OK))
    return Finding(
        name="cgroups",
        works=writable,
        detail=f"{version}, {'' if writable else 'not '}writable",
        remedy="" if writable else "run as root or in a delegated group; until then rlimits bound",
        required=False,
    )


def _models(config: Config) -> list[Finding]:
    if config.models.script is not None:
        script = config.models.script
        remedy = "" if script.is_file() else "set models.script to a file that is there"
        return [Finding(name="model", works=not remedy, detail=f"script {script}", remedy=remedy)]
    named = dict(config.models.endpoints)
    address = os.environ.get("ANTHROPIC_BASE_URL")
    if not named and address:
        named["environment"] = Endpoint(base_url=address)
    if not named:
        has_key = any(os.environ.get(n) for n in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"))
        remedy = "set ANTHROPIC_API_KEY, or models.endpoints in the configuration"
        return [
            Finding(
                name="model",
                works=has_key,
                detail="the SDK's own endpoint" if has_key else "no endpoint",
                remedy="" if has_key else remedy,
                required=False,
            )
        ]
    return [_endpoint(name, endpoint.base_url) for name, endpoint in sorted(named.items())]


def _endpoint(name: str, base_url: str) -> Finding:
    """Any HTTP answer counts: whether the key is good shows at the first request."""
    detail = f"{base_url} answers"
    works = True
    try:
        request = urllib.request.Request(base_url, method="HEAD")  # noqa: S310 - the operator's URL
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310 - as above
            pass
    except urllib.error.HTTPError:
        pass
    except (OSError, ValueError) as error:
        works, detail = False, f"{base_url}: {error}"
    remedy = "" if works else "check base_url and the network"
    return Finding(name=f"model {name}", works=works, detail=detail, remedy=remedy, required=False)


@dataclass(frozen=True, slots=True)
class _Output:
    works: bool
    text: str


def _run(*argv: str) -> _Output:
    """Run a program and keep the first line it says."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        return _Output(works=False, text=f"{argv[0]} is not installed")
    except (OSError, subprocess.TimeoutExpired) as error:
        return _Output(works=False, text=str(error))
    lines = (done.stdout + done.stderr).strip().splitlines()
    return _Output(works=done.returncode == 0, text=lines[0] if lines else "")
