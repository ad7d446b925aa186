"""pip as one file, so that a sandbox can install with it whatever Python it has.

It is the pip of this installation. A zip file of it can be run as it is, and runs itself again
from there where it builds packages from their sources.
"""

import importlib.metadata
import importlib.util
import tempfile
import zipfile
from pathlib import Path

from sandbox.contract import Unavailable


def pip_archive(cache_dir: Path) -> Path:
    """The file, made unless it is there already; start it with ``python FILE/pip``. Blocks.

    Raises:
        Unavailable: This installation has no pip.
    """
    spec = importlib.util.find_spec("pip")
    if spec is None or spec.origin is None:
        raise Unavailable("the package pip is not installed: install wharfkeep again")
    source = Path(spec.origin).parent
    target = cache_dir / f"pip-{importlib.metadata.version('pip')}.zip"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".making-") as making:
            made = Path(making, "pip.zip")
            with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(source.rglob("*")):
                    if path.is_file() and "__pycache__" not in path.parts:
                        archive.write(path, Path("pip", path.relative_to(source)))
            made.chmod(0o644)  # the sandbox's user reads it
            made.replace(target)
    return target
