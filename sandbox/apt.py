"""What apt on this machine is configured to use: where packages come from, and how to get there.

Read, never changed, and never written down: another machine says something else.
"""

import re
import subprocess
from contextlib import suppress
from pathlib import Path

_ASK_SECONDS = 20.0
_OPTIONS = re.compile(r"Acquire::(https?|ftp|Check-|Force|Retries|AllowInsecure|AllowWeak)")
_CONFIGURATION = Path("/etc/apt")
_RELEASE = Path("/etc/os-release")


def codename(release: Path = _RELEASE) -> str | None:
    """The name of this system's release, as its sources of packages call it."""
    try:
        text = release.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r'^VERSION_CODENAME="?([a-z0-9]+)"?$', text, re.MULTILINE)
    return found[1] if found else None


def sources(codename: str, configuration: Path = _CONFIGURATION) -> list[Path]:
    """The files of sources that speak of the release; others are for something else."""
    suite = rf"(?<![\w-]){re.escape(codename)}(?:[-/]\S+)?(?=\s|$)"
    speaks = re.compile(rf"^[^#\n]*{suite}", re.MULTILINE)
    files = [
        configuration / "sources.list",
        *sorted((configuration / "sources.list.d").glob("*.list")),
        *sorted((configuration / "sources.list.d").glob("*.sources")),
    ]
    found: list[Path] = []
    for file in files:
        with suppress(OSError):
            if speaks.search(file.read_text(encoding="utf-8", errors="replace")):
                found.append(file)
    return found


def options() -> str:
    """The options that say how to reach the sources, in apt's own format. Blocks for a moment.

    Raises:
        OSError: There is no apt here.
        subprocess.SubprocessError: It does not answer.
    """
    dump = subprocess.run(
        ["apt-config", "dump"], capture_output=True, timeout=_ASK_SECONDS, check=True
    )
    lines = [line for line in dump.stdout.decode().splitlines() if _OPTIONS.match(line)]
    if not any(line.startswith("Acquire::Retries ") for line in lines):
        lines.append('Acquire::Retries "3";')
    lines.append('Dir::Etc::netrc "/etc/apt/auth.conf";')
    lines.append('Dir::Etc::netrcparts "/etc/apt/auth.conf.d";')
    return "\n".join(lines) + "\n"
