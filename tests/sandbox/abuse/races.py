"""Somebody hostile who flips paths as fast as possible while the code under test reads them.

For everything of the gateway that walks what a sandbox wrote: removal, outputs, archives, mounts.

    with Treasure(tmp_path) as treasure, flipping(tree, treasure):
        walk(tree)
    treasure.check()

`Treasure` is what no walk may reach, read or change. The flipping is done by a process of its own,
which runs truly beside the test and is stopped, and looked after, at the end of the block.
"""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

SECRET = "a treasure that no walk may bring home"
_SECONDS = 20.0

_FLIP = """
import os, sys
tree, outside = sys.argv[1:]
os.chdir(tree)
os.makedirs("turn/deep/er", exist_ok=True)
open("turn/deep/file", "w").close()
os.symlink(outside, "link")
os.symlink(outside + "/secret", "to-file")
open("plain", "w").write("x")
os.mkfifo("fifo")
print("ready", flush=True)
rounds = 0
while True:
    rounds += 1
    for step in (
        # A directory becomes a link to the treasure, and again a directory.
        lambda: os.rename("turn", "kept"), lambda: os.symlink(outside, "turn"),
        lambda: os.unlink("turn"), lambda: os.rename("kept", "turn"),
        # The same one level deeper, where a walk may just be.
        lambda: os.rename("turn/deep", "turn/gone"), lambda: os.symlink(outside, "turn/deep"),
        lambda: os.unlink("turn/deep"), lambda: os.rename("turn/gone", "turn/deep"),
        # A file becomes a link, a FIFO and a file.
        lambda: os.rename("to-file", "plain"), lambda: os.symlink(outside + "/secret", "to-file"),
        lambda: os.rename("fifo", "plain"), lambda: os.mkfifo("fifo"),
        lambda: open(f"new{rounds % 50}", "w").close(), lambda: os.rename(f"new{rounds % 50}", "plain"),
        # What is walked is moved up while it is walked.
        lambda: os.rename("turn/deep", "up"), lambda: os.rename("up", "turn/deep"),
    ):
        try:
            step()
        except OSError:
            pass
"""


class Treasure:
    """A directory outside with a secret, a subdirectory and a known look."""

    def __init__(self, folder: Path) -> None:
        """Hide it in `folder`, which must be no part of what is walked."""
        self.path = folder / "treasure"
        (self.path / "deep/er").mkdir(parents=True)
        (self.path / "secret").write_text(SECRET, encoding="utf-8")
        (self.path / "deep/secret").write_text(SECRET, encoding="utf-8")
        self.path.chmod(0o751)
        self._look = self._see()

    def check(self) -> None:
        """Raise `AssertionError` if anything in it was made, changed or removed."""
        assert self._see() == self._look

    def _see(self) -> list[tuple[str, int, int, int, int, bytes]]:
        found: list[tuple[str, int, int, int, int, bytes]] = []
        for place in sorted([self.path, *self.path.rglob("*")]):
            now = place.lstat()
            data = place.read_bytes() if place.is_file() else b""
            found.append(
                (str(place), now.st_mode, now.st_uid, now.st_mtime_ns, now.st_ctime_ns, data)
            )
        return found


@contextmanager
def flipping(tree: Path, treasure: Treasure, *, uid: int | None = None) -> Generator[None]:
    """Flip paths in `tree` for the length of the block, as the user `uid` if one is given."""
    script = [sys.executable, "-I", "-S", "-c", _FLIP]
    if uid is not None and uid != os.geteuid():
        script = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
        script += ["/usr/bin/python3", "-I", "-S", "-c", _FLIP]
    command = [*script, str(tree), str(treasure.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/") as enemy:
        try:
            assert enemy.stdout is not None
            assert enemy.stdout.readline() == b"ready\n"
            yield
            assert enemy.poll() is None, "the enemy gave up before the end"
        finally:
            enemy.kill()
            enemy.wait(_SECONDS)
