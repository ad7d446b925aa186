"""What a sandbox and the gateway share while it lives: a directory for sockets, one for files.

Both show inside, read-only, and go when its processes have ended.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Porch:
    """Where they are on the host. Everything here blocks."""

    sockets: Path
    """The sandbox's user's; nobody else enters."""
    uploads: Path
    """The gateway's, for everybody to read."""

    def make(self, uid: int) -> None:
        """Make both, empty, for a sandbox of this user.

        Raises:
            OSError: They cannot be made.
        """
        self.clear()  # of an earlier process; only we write there
        self.sockets.mkdir(mode=0o700)
        if uid != os.geteuid():
            os.chown(self.sockets, uid, uid)
        self.uploads.mkdir()
        self.uploads.chmod(0o755)  # whatever the umask is

    def clear(self) -> None:
        """Remove both."""
        for directory in (self.sockets, self.uploads):
            shutil.rmtree(directory, ignore_errors=True)

    def move(self, to: "Porch") -> None:
        """Give both other names; what shows inside are the same directories."""
        self.sockets.rename(to.sockets)
        self.uploads.rename(to.uploads)

    def exists(self) -> bool:
        """Whether either name is taken."""
        return os.path.lexists(self.sockets) or os.path.lexists(self.uploads)
