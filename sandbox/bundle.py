"""Packs ``toolservers`` into the one file that a sandbox mounts and runs.

The package is read as files and never imported: it runs in the sandbox, under another
interpreter. That interpreter compiles the modules once, because compiling takes longer than
everything else at the start of a sandbox; the sources stay inside for people and for interpreters
of another version.
"""

import hashlib
import importlib.util
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

from sandbox.contract import Unavailable

_PACKAGE = "toolservers"
_ENTRY = f"from {_PACKAGE}.__main__ import main\n\nmain()\n"
_FORMAT = b"1"
"""Part of the cache key: change it when the file made from the same sources changes."""
_COMPILE_SECONDS = 60.0
_COMPILE = """
import os, py_compile, sys
unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
for name in sys.stdin.read().split("\\0"):
    source = os.path.join(sys.argv[1], name)
    py_compile.compile(source, source + "c", name, True, invalidation_mode=unchecked)
"""


def bundle(interpreter: Path, cache_dir: Path) -> Path:
    """The zipapp for an interpreter (Python 3.9 or later), made unless it is there already.

    Its name in `cache_dir` is a hash of the sources and the interpreter; the same two give the
    same bytes. Start it with ``interpreter -I -S FILE``.

    Raises:
        Unavailable: The interpreter does not run, or cannot compile the sources.
    """
    sources = _read_sources()
    target = cache_dir / f"tools-{_key(interpreter, sources)}.pyz"
    if not target.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".making-") as making:
            made = _make(interpreter, sources, Path(making))
            made.chmod(0o644)  # the sandbox's user reads it
            made.replace(target)
    return target


def _read_sources() -> dict[str, bytes]:
    # For a top-level package this looks for the files and runs none of them.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise Unavailable(f"the package {_PACKAGE} is not installed: install wharfkeep again")
    root = Path(spec.origin).parent
    found = {str(path.relative_to(root.parent)): path.read_bytes() for path in root.rglob("*.py")}
    return {"__main__.py": _ENTRY.encode(), **dict(sorted(found.items()))}


def _key(interpreter: Path, sources: dict[str, bytes]) -> str:
    digest = hashlib.blake2b(_FORMAT, digest_size=16)
    try:
        real = interpreter.resolve(strict=True)
        status = real.stat()
    except OSError as error:
        raise Unavailable(f"there is no Python at {interpreter}: {error.strerror}") from None
    digest.update(f"{real}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    for name, source in sources.items():
        digest.update(f"{name}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()


def _make(interpreter: Path, sources: dict[str, bytes], making: Path) -> Path:
    for name, source in sources.items():
        path = making / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source)
    _compile(interpreter, list(sources), making)
    made = making / "made.pyz"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in sources:
            for file in (name + "c", name):
                # A fixed date, and no compression: the interpreter need not load zlib.
                entry = zipfile.ZipInfo(file, date_time=(1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, (making / file).read_bytes())
    return made


def _compile(interpreter: Path, names: list[str], making: Path) -> None:
    try:
        subprocess.run(
            [interpreter, "-I", "-S", "-c", _COMPILE, making],
            input="\0".join(names).encode(),
            capture_output=True,
            check=True,
            timeout=_COMPILE_SECONDS,
            env={"PATH": os.defpath},
        )
    except OSError as error:
        raise Unavailable(f"{interpreter} does not run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{interpreter} did not answer within {_COMPILE_SECONDS:g} s") from None
    except subprocess.CalledProcessError as error:
        said = bytes(error.stderr).decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"status {error.returncode}"
        raise Unavailable(f"{interpreter} cannot compile the tools: {why}") from None
