"""The images that an engine holds for us: made of Debian roots, named by what they are made of.

An image is imported once and found by its name from then on, whichever gateway made it. One that
was made of an environment's root goes when the root does.
"""

import hashlib
import os
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread

from sandbox import apt
from sandbox.contract import Unavailable
from sandbox.docker.engine import Engine, Refused
from sandbox.image import make_root, remove_root

PACKAGES: Sequence[str] = (
    "bash",
    "ca-certificates",
    "curl",
    "file",
    "git",
    "jq",
    "less",
    "procps",
    "python3",
    "python3-pip",
    "python3-venv",
    "ripgrep",
    "unzip",
    "xz-utils",
    "zip",
)
"""What the standard image holds beside Debian's essential packages."""

ROOT_LABEL = "wharfkeep.root"
"""The directory on this host that an image was made of."""

_FORMAT = "1"
"""Part of every name: change it when an image made of the same things changes."""
_IMPORT_SECONDS = 600.0
_MAKE_SECONDS = 1200.0
_LEFT_OUT = ("./dev/*", "./proc/*", "./sys/*", "./run/*", "./tmp/*", "./var/cache/apt/*")


class Stock:
    """Images by what they are of; safe to ask several times at once."""

    def __init__(self, engine: Engine, directory: Path, *, progress: Callable[[str], None]) -> None:
        """`directory` is for roots while they are made; `progress` hears what goes on."""
        self._engine = engine
        self._directory = directory
        self._progress = progress
        self._importing = anyio.Lock()

    async def standard(self, packages: Sequence[str] = PACKAGES) -> str:
        """The name of the image of a Debian with `packages`, made unless it is there.

        Raises:
            Unavailable: The engine will not have it.
            RootFailed: It could not be made.
        """
        release = await anyio.to_thread.run_sync(apt.codename)
        name = _name("wharfkeep-sandbox", str(release), *packages)
        async with self._importing:
            if not await self._engine.has_image(name):
                root = self._directory / name.replace(":", "-")
                self._progress(f"making the image of sandboxes, {name}, from packages; once")
                await make_root(
                    root, include=packages, progress=self._progress, deadline=_MAKE_SECONDS
                )
                try:
                    await self._import(name, root, {})
                finally:
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(remove_root, root)
        return name

    async def of(self, root: Path) -> str:
        """The name of the image of a Debian root, which must not change any more.

        Raises:
            Unavailable: The root is not there, or the engine will not have it.
        """
        try:
            status = await anyio.Path(root).stat()
        except OSError as error:
            raise Unavailable(f"the root of the environment is not there: {error}") from error
        name = _name("wharfkeep-root", str(root), str(status.st_ino), str(status.st_mtime_ns))
        async with self._importing:
            if not await self._engine.has_image(name):
                await self._import(name, root, {ROOT_LABEL: str(root)})
        return name

    async def tidy(self) -> None:
        """Remove the images of roots that are not there any more."""
        for image, root in (await self._engine.images(ROOT_LABEL)).items():
            if not await anyio.Path(root).exists():
                try:
                    await self._engine.remove_image(image)
                except Refused as reason:  # somebody's container still uses it
                    self._progress(f"the image of {root} stays: {reason}")

    async def _import(self, name: str, root: Path, labels: dict[str, str]) -> None:
        with _packed(root) as archive:
            await self._engine.import_image(name, archive, labels=labels, seconds=_IMPORT_SECONDS)


def _name(repository: str, *parts: str) -> str:
    digest = hashlib.blake2b("\0".join((_FORMAT, *parts)).encode(), digest_size=12)
    return f"{repository}:{digest.hexdigest()}"


@contextmanager
def _packed(root: Path) -> Generator[IO[bytes]]:
    """A stream of the root as a tar archive, with the owners it has for programs inside."""
    command = ["tar", "--numeric-owner", *(f"--exclude={each}" for each in _LEFT_OUT)]
    command += ["-C", str(root), "-c", "."]
    if os.geteuid() != 0:
        command = ["unshare", "--user", "--map-root-user", "--map-auto", *command]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            yield process.stdout
            complaint = process.stderr.read(4096).decode(errors="replace").strip()
        finally:
            process.kill()
            status = process.wait()
    if status:
        raise Unavailable(f"cannot read {root}: {complaint or f'tar ended with {status}'}")
