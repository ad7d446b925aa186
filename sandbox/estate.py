"""The directories that a driver keeps on disk, one gateway at a time."""

from dataclasses import dataclass
from pathlib import Path

from sandbox.archive.mount import MOUNTS
from sandbox.porch import Porch


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """Where they are, and whether each sandbox in them has a user of its own."""

    root: Path
    """What sandboxes leave on disk is below here."""
    own_uid: bool

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def sockets(self) -> Path:
        return self.root / "sockets"

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    @property
    def runtime(self) -> Path:
        return self.root / "runtime"

    @property
    def trash(self) -> Path:
        return self.root / "trash"

    @property
    def staging(self) -> Path:
        """For layers that are being made from an archive."""
        return self.root / "staging"

    @property
    def mounts(self) -> Path:
        """What belongs to layers that are mounts (`sandbox.archive.mount`)."""
        return self.root / MOUNTS

    def porch(self, name: str) -> Porch:
        """What the sandbox of that name shares with the gateway, whether it is there or not."""
        return Porch(sockets=self.sockets / name, uploads=self.uploads / name)

    def make(self) -> None:
        """Make the directories, or see to it that those which are there are as they should be."""
        open_to_sandboxes = 0o711 if self.own_uid else 0o700
        for place, mode in (
            (self.layers, open_to_sandboxes),
            (self.sockets, open_to_sandboxes),
            (self.uploads, open_to_sandboxes),
            (self.runtime, 0o755),
            (self.trash, 0o700),
            (self.staging, 0o700),
            (self.mounts, 0o700),
        ):
            place.mkdir(exist_ok=True)
            place.chmod(mode)
