"""Layers as single files: archived when nobody has needed them for long, and made from them again.

An archive is an image of the kernel's read-only file system (`erofs`): where the machine allows it
is mounted below an empty writable directory, so that coming back takes the same few milliseconds
whatever its size (`mount`); elsewhere it is unpacked (`unpack`). Only the files of the sandbox are
in it, owned by the user it sees as itself: no process, no memory, no ``/tmp``, nothing of the
runtime and nothing of the gateway.

An archive is trusted because of what was recorded of it, which is not kept beside it: its digest.
Besides that it says whose it is, so that no sandbox gets another one's files.
"""

import hashlib
import logging
import os
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from sandbox.archive import courier, mount
from sandbox.archive.erofs import SUPERBLOCK, decode_superblock
from sandbox.archive.pack import Bounds, digest
from sandbox.archive.pack import pack as write
from sandbox.contract import Archive, Damaged, Progress, SandboxError
from sandbox.estate import Estate
from sandbox.layer import Layer, is_whole, remove

APPARENT_FACTOR = 16
"""How much larger than an archive may be what its files say they hold, counting holes."""

_PROBE = ".probe"
_PROBE_UID = 65_533
"""Any user but root."""

_log = logging.getLogger(__name__)


async def pack(layer: Layer, destination: Path, *, max_bytes: int) -> Archive:
    """Write a layer, which nothing may be changing, to the new file `destination`.

    The file is on the disk when this returns; after an error there is none.

    Raises:
        TooLarge: It would have more than `max_bytes`, or its files claim to.
        SandboxError: It cannot be read, or the disk is full.
    """
    done = False
    try:
        with ExitStack() as opened:
            top = _opened(opened, layer.path, os.O_RDONLY | os.O_DIRECTORY)
            out = _opened(opened, destination, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            apparent = APPARENT_FACTOR * max_bytes
            arguments = (top, out, identity(layer.name).hex(), max_bytes, apparent)
            answer = await courier.send("sandbox.archive.pack", arguments, (top, out))
            done = True
            return Archive(**answer)
    except OSError as error:
        raise SandboxError(f"cannot archive {layer.name}: {error}") from error
    finally:
        if not done:
            destination.unlink(missing_ok=True)  # noqa: ASYNC240 - nothing to wait for


async def check(source: Path, archive: Archive, name: str) -> None:
    """Read all of the archive of the layer `name` and compare it with what was recorded.

    Raises:
        Damaged: It is something else, or not there.
    """
    try:
        with ExitStack() as opened:
            file = _opened(opened, source, os.O_RDONLY)
            if os.fstat(file).st_size == archive.size:
                found = await anyio.to_thread.run_sync(digest, file)
                if found == archive.digest:
                    return
    except OSError as error:
        raise Damaged(f"the archive of {name} cannot be read: {error}") from error
    raise Damaged(f"the archive of {name} is not what was archived")


async def unfold(
    estate: Estate,
    layer: Layer,
    source: Path,
    archive: Archive,
    *,
    progress: Progress | None = None,
) -> None:
    """Make `layer`, of which nothing is there, from an archive by unpacking it.

    Whatever stops it, the layer is there whole or not at all.

    Raises:
        Damaged: `source` is not that archive, or not one of that layer.
        SandboxError: There already is such a layer, or the disk is full or failing.
    """
    await check(source, archive, layer.name)
    draft = Layer(estate.staging / layer.name, layer.uid)
    try:
        await anyio.to_thread.run_sync(_make_empty, estate, draft)
        await _unpack(source, draft, progress)
        await anyio.to_thread.run_sync(_publish, draft, layer)
    except OSError as error:
        raise SandboxError(f"cannot unpack the archive of {layer.name}: {error}") from error
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_clear, draft.path, estate.trash)


async def mount_or_unfold(
    estate: Estate,
    layer: Layer,
    source: Path,
    archive: Archive,
    *,
    progress: Progress | None = None,
) -> None:
    """Make `layer` from an archive by mounting it; if that fails after all, by unpacking it.

    Raises:
        Damaged, SandboxError: As for `unfold`.
    """
    await check(source, archive, layer.name)
    try:
        await anyio.to_thread.run_sync(_mount, estate, layer, source)
    except (OSError, SandboxError) as error:
        if isinstance(error, Damaged):
            raise
        _log.info("the archive of %s is unpacked: %s", layer.name, error)
        await unfold(estate, layer, source, archive, progress=progress)


def explain_unmountable(estate: Estate) -> str | None:
    """Mount an archive once and say why that does not work; None if it does. Blocks."""
    scratch = estate.staging / _PROBE
    try:
        _clear(scratch, estate.trash)
        scratch.mkdir(mode=0o700)
        tree, image = scratch / "tree", scratch / "image"
        (tree / "workspace").mkdir(parents=True)
        with ExitStack() as opened:
            top = _opened(opened, tree, os.O_RDONLY | os.O_DIRECTORY)
            out = _opened(opened, image, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            write(top, out, identity=identity(_PROBE), bounds=Bounds(size=2**20, apparent=0))
        return mount.explain_lack(image, scratch / "mounted", _PROBE_UID)
    except OSError as error:
        return str(error)
    finally:
        _clear(scratch, estate.trash)


def sweep(estate: Estate, names: Collection[str]) -> None:
    """Remove what was being made from archives when a process was killed, but for `names`. Blocks.

    Also what belonged to mounts that are layers no more.
    """
    for draft in list(estate.staging.iterdir()):
        if draft.name not in names:
            _clear(draft, estate.trash)
    for home in list(estate.mounts.iterdir()):
        layer = estate.layers / home.name
        if home.name not in names and not layer.exists():
            mount.release(layer)
            _clear(home, estate.trash)


def identity(name: str) -> bytes:
    """What an archive says of the layer it was made from: 16 bytes."""
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def _opened(stack: ExitStack, path: Path, flags: int) -> int:
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, file)
    return file


async def _unpack(source: Path, draft: Layer, progress: Progress | None) -> None:
    with ExitStack() as opened:
        image = _opened(opened, source, os.O_RDONLY)
        top = _opened(opened, draft.path, os.O_RDONLY | os.O_DIRECTORY)
        arguments = (image, top, identity(draft.name).hex(), draft.uid)
        await courier.send("sandbox.archive.unpack", arguments, (image, top), progress=progress)


def _make_empty(estate: Estate, draft: Layer) -> None:
    _clear(draft.path, estate.trash)  # of an attempt that was killed
    draft.path.mkdir(mode=0o700)
    os.chown(draft.path, draft.uid, draft.uid)


def _publish(draft: Layer, layer: Layer) -> None:
    """Give a finished layer its name."""
    _require_wholeness(draft.path)
    _require_absence(layer)
    draft.path.rename(layer.path)


def _mount(estate: Estate, layer: Layer, source: Path) -> None:
    """The name comes before the mount; with its home in place, any look at it mounts it."""
    with source.open("rb") as image:
        image.seek(SUPERBLOCK.start)
        summary = decode_superblock(image.read(len(SUPERBLOCK)))
    if summary.identity != identity(layer.name):
        raise Damaged(f"the archive of {layer.name} is another sandbox's")
    if summary.holes:
        raise SandboxError("there are files with holes in it, which would count as data")
    _require_absence(layer)
    draft, home = estate.staging / layer.name, estate.mounts / layer.name
    for leftover in (draft, home):
        _clear(leftover, estate.trash)
    mount.prepare(draft, source, layer.uid)
    draft.rename(home)
    try:
        layer.path.mkdir(mode=0o700)
        os.chown(layer.path, layer.uid, layer.uid)
        mount.ensure(layer.path, layer.uid)
        _require_wholeness(layer.path)
    except BaseException:
        mount.release(layer.path)
        for leftover in (layer.path, home):
            _clear(leftover, estate.trash)
        raise


def _require_absence(layer: Layer) -> None:
    """Raises SandboxError if there is such a layer; one that was never finished goes."""
    with suppress(FileNotFoundError):
        if layer.path.lstat().st_uid != 0 or layer.uid == 0:
            raise SandboxError(f"there already is a sandbox layer {layer.name}")
        layer.path.rmdir()


def _require_wholeness(layer: Path) -> None:
    if not is_whole(layer):
        raise Damaged(f"the archive of {layer.name} is not one of a layer")


def _clear(tree: Path, trash: Path) -> None:
    if os.path.lexists(tree):
        remove(tree, trash)
