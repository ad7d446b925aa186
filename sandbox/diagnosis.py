"""Why bubblewrap does not work on a machine, in one line that says what to do."""

import re
from pathlib import Path

MINIMUM = (0, 8)
_INSTALL = "install the package bubblewrap (0.8 or newer)"
_IN_CONTAINER = (
    "inside a container, allow nested namespaces (Docker: --security-opt seccomp=unconfined "
    "--security-opt systempaths=unconfined) or run the gateway on the host"
)

_SYSCTLS = (
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "allow user namespaces: sysctl -w user.max_user_namespaces=15000",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        (
            "AppArmor restricts user namespaces: give bwrap a profile that allows userns, or "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        ),
    ),
)
"""What this machine forbids: file, the value that does so, remedy."""
_WORDS = (
    ("namespace", _IN_CONTAINER),
    ("uid map", _IN_CONTAINER),
    ("mount proc", _IN_CONTAINER),
    ("Unknown option", _INSTALL),
    ("execvp", "install python3 (3.9 or newer)"),
)
"""What the complaint tells: a word of it, remedy."""


def missing() -> str:
    return f"bubblewrap is not installed; {_INSTALL}"


def too_old(version: str) -> str | None:
    """Judge the output of ``bwrap --version``; None if it is new enough."""
    numbers = re.findall(r"\d+", version)
    if tuple(int(number) for number in numbers[:2]) >= MINIMUM:
        return None
    return f"{version.strip() or 'this bubblewrap'} is too old; {_INSTALL}"


def explain(complaint: str, *, sysctls: Path = Path("/proc/sys")) -> str:
    """Say what to do about what bwrap, or the program it started, last wrote to standard error."""
    last = (complaint.strip().splitlines() or ["it said nothing"])[-1][:500]
    return f"the sandbox did not start ({last}); {_remedy(complaint, sysctls)}"


def _remedy(complaint: str, sysctls: Path) -> str:
    for path, value, remedy in _SYSCTLS:
        if _read(sysctls / path) == value:
            return remedy
    for word, remedy in _WORDS:
        if word in complaint:
            return remedy
    return "see what it says"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
