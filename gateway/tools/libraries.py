"""The parsers of web tools, as a directory that a sandbox can be shown.

They are packages of this installation, pure Python, copied: what is mounted must hold nothing
else. The directory is made once for each set of versions and each interpreter that will use it.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sandbox.contract import Unavailable

PACKAGES = ("justhtml", "pypdf")

TARGET = "/opt/wharfkeep/libraries"
"""Where they show inside."""

_COMPILE_SECONDS = 120.0
_KEPT = "*.py"


def libraries(interpreter: Path, cache_dir: Path) -> Path:
    """The directory, made unless it is there already; blocks.

    Raises:
        Unavailable: A package is missing, or the interpreter does not run.
    """
    target = cache_dir / f"libraries-{_key(interpreter)}"
    if not target.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".making-") as making:
            made = Path(making, "made")
            for package in PACKAGES:
                _copy(package, made)
            _compile(interpreter, made)
            _open_to_all(made)
            try:
                made.rename(target)
            except OSError:
                if not target.exists():  # else another process was faster
                    raise
    return target


def _key(interpreter: Path) -> str:
    words = [f"{package}=={importlib.metadata.version(package)}" for package in PACKAGES]
    try:
        real = interpreter.resolve(strict=True)
        words += [str(real), str(real.stat().st_mtime_ns)]
    except OSError as error:
        raise Unavailable(f"there is no Python at {interpreter}: {error.strerror}") from None
    return hashlib.blake2b("\0".join(words).encode(), digest_size=16).hexdigest()


def _copy(package: str, place: Path) -> None:
    # For a top-level package this looks for the files and runs none of them.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Unavailable(f"the package {package} is not installed: install wharfkeep again")
    root = Path(spec.origin).parent
    for source in root.rglob(_KEPT):
        copy = place / package / source.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def _compile(interpreter: Path, place: Path) -> None:
    """A sandbox cannot write there, and compiling takes longer than reading a page."""
    options = ["-I", "-S", "-m", "compileall", "-q", "-s", place, "--invalidation-mode"]
    try:
        subprocess.run(
            [interpreter, *options, "unchecked-hash", place],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,  # what does not compile is compiled again, and complained about, inside
            timeout=_COMPILE_SECONDS,
            env={"PATH": os.defpath},
        )
    except OSError as error:
        raise Unavailable(f"{interpreter} does not run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{interpreter} did not answer in {_COMPILE_SECONDS:g} s") from None


def _open_to_all(place: Path) -> None:
    """The sandbox's user reads it, whatever the umask is."""
    for each in (place, *place.rglob("*")):
        each.chmod(0o755 if each.is_dir() else 0o644)
