"""What builds have made, on disk: one directory for each digest, whole or not there at all.

An image is ``DIGEST/`` with ``packages``, if anything is installed outside of a root, with
``root``, if it needs one, and with what its managers said about their registries. While it is made
its name begins with a dot; so does what is about to go.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

from sandbox import layer
from sandbox.image import remove_root
from sandbox.seal import seal

_SYNC_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Image:
    """One image, or what becomes one."""

    path: Path

    @property
    def root(self) -> Path:
        return self.path / "root"

    @property
    def packages(self) -> Path:
        return self.path / "packages"

    @property
    def registries(self) -> Mapping[str, Any]:
        """What `Images.finish` was told."""
        return json.loads((self.path / "registries.json").read_text(encoding="utf-8"))


class Images:
    """The images below one directory that sandbox users can reach. Everything here may block."""

    def __init__(self, directory: Path) -> None:
        """Do nothing yet; the directory above has to be there."""
        self.directory = directory

    def prepare(self) -> None:
        """Make the directory, and remove what an earlier process did not finish."""
        self.directory.mkdir(exist_ok=True)
        self.directory.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for place in list(self.directory.iterdir()):
            if place.name.startswith("."):
                self.discard(Image(place))

    def find(self, digest: str) -> Image | None:
        """The image, marked as used just now."""
        place = self.directory / digest
        try:
            os.utime(place)
        except FileNotFoundError:
            return None
        return Image(place)

    def stage(self, digest: str) -> Image:
        """A new image without a name, with an empty directory for packages."""
        image = Image(Path(tempfile.mkdtemp(dir=self.directory, prefix=f".{digest}.")))
        image.path.chmod(0o711)
        image.packages.mkdir(mode=0o755)
        return image

    def finish(self, image: Image, digest: str, registries: Mapping[str, Any]) -> Image:
        """Make a staged image fit for sharing, put it on the disk, and give it its name.

        Raises:
            SandboxError: The packages are not fit for it.
            OSError: The disk is full or failing.
        """
        seal(image.packages)
        (image.path / "registries.json").write_text(json.dumps(registries), encoding="utf-8")
        subprocess.run(
            ["sync", "--file-system", image.path],
            check=True,
            capture_output=True,
            timeout=_SYNC_SECONDS,
        )
        finished = Image(self.directory / digest)
        image.path.rename(finished.path)
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return finished

    def unused(self, seconds: float) -> list[str]:
        """The digests of images that nobody has looked for in so long a time."""
        before = time() - seconds
        return [
            place.name
            for place in self.directory.iterdir()
            if place.is_dir() and not place.name.startswith(".") and place.stat().st_mtime < before
        ]

    def retire(self, digest: str) -> Image:
        """Take an image's name away; takes no time. `discard` it then."""
        image = Image(self.directory / digest)
        return Image(image.path.rename(self.directory / f".{digest}.retired"))

    def discard(self, image: Image) -> None:
        """Delete an image that no sandbox shows."""
        if not image.path.is_dir():
            image.path.unlink(missing_ok=True)
            return
        for root in (image.path.glob(".root.*"), [image.root]):
            for each in root:
                remove_root(each)
        trash = self.directory / ".trash"
        trash.mkdir(exist_ok=True)
        if image.path == trash:
            layer.empty(trash)
        else:
            layer.remove(image.path, trash)
