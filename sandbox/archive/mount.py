"""Archives that are used where they lie: mounted below an empty writable directory.

The layer ``LAYERS/NAME`` is then an overlay mount. What belongs to it is beside the layers, in
``MOUNTS/NAME``: the ``image``, where it is mounted as ``lower``, and ``upper`` and ``work``, where
everything is that was changed since. An archive's owner becomes the layer's by an id-mapped mount.

It takes root, loop devices, and a kernel and a data directory that allow both kinds of mounts; on
hosts whose own root is an overlay they do not, as in most containers. `explain_lack` tries it.
A mount outlives the gateway but not the machine; `ensure` mounts again what was.
"""

import ctypes
import os
import shutil
import struct
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox.archive.erofs import OWNER
from sandbox.contract import SandboxError

MOUNTS = "mounts"
"""The directory beside the layers."""

_SECONDS = 20.0
_OPTIONS = "nosuid,nodev,redirect_dir=on,index=on,metacopy=off"
"""As on any disk, directories can be renamed and hard links stay linked."""
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE = 1
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x10_0000
_MNT_DETACH = 2


def explain_lack(image: Path, scratch: Path, uid: int) -> str | None:
    """Mount the archive `image` in the new directory `scratch` once, and say why it does not work.

    Raises:
        OSError: `scratch` cannot be made.
    """
    if os.geteuid() != 0:
        return "only root may mount"
    layer, home = scratch / "layer", scratch / "home"
    scratch.mkdir()
    try:
        layer.mkdir()
        prepare(home, image, uid)
        _mount(home, layer, uid)
        try:
            if layer.stat().st_uid != uid or (layer / "workspace").stat().st_uid != uid:
                return "the kernel does not map the owner of a mount"
            (layer / "workspace/changed").touch()
        finally:
            _unmount(home, layer)
    except (OSError, SandboxError) as error:
        return str(error)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return None


def prepare(home: Path, image: Path, uid: int) -> None:
    """Make the new directory `home` for a mount of the file `image`, which must never change."""
    home.mkdir(mode=0o700)
    try:
        (home / "image").hardlink_to(image)
    except OSError:  # on another file system
        shutil.copyfile(image, home / "image")
        _sync(home / "image")
    for name in ("lower", "upper", "work"):
        (home / name).mkdir(mode=0o700)
    os.chown(home / "upper", uid, uid)


def ensure(layer: Path, uid: int) -> None:
    """Mount what belongs to the layer `layer`, if anything does and is not.

    Raises:
        SandboxError: It cannot be mounted.
    """
    home = _home(layer)
    if home.is_dir() and not layer.is_mount():
        _unmount(home, layer)
        _mount(home, layer, uid)


def release(layer: Path) -> Path | None:
    """Unmount a layer; returns the directory that belonged to it, if there was one."""
    home = _home(layer)
    if not home.is_dir():
        return None
    _unmount(home, layer)
    return home


def release_all(layers: Path) -> None:
    """Unmount every layer that is a mount; nothing may run on them. `ensure` mounts them again."""
    for home in list((layers.parent / MOUNTS).iterdir()):
        _unmount(home, layers / home.name)


def _home(layer: Path) -> Path:
    return layer.parent.parent / MOUNTS / layer.name


def _mount(home: Path, layer: Path, uid: int) -> None:
    lower = home / "lower"
    try:
        _run("mount", "-t", "erofs", "-o", "loop,ro,nosuid,nodev", str(home / "image"), str(lower))
        _give(lower, uid)
        places = f"lowerdir={lower},upperdir={home / 'upper'},workdir={home / 'work'}"
        _run("mount", "-t", "overlay", "-o", f"{_OPTIONS},{places}", "overlay", str(layer))
    except BaseException:
        _unmount(home, layer)
        raise


def _unmount(home: Path, layer: Path) -> None:
    for place in (layer, home / "lower"):
        while place.is_mount() and not _libc.umount2(os.fsencode(place), _MNT_DETACH):
            pass


def _give(mounted: Path, uid: int) -> None:
    """Replace a mount by one in which `OWNER` is `uid`."""
    tree = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(mounted), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    try:
        with _user_namespace(uid) as namespace:
            mapping = struct.pack("<QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, namespace)
            _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, mapping, len(mapping))
        _libc.umount2(os.fsencode(mounted), _MNT_DETACH)
        _call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(mounted), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


@contextmanager
def _user_namespace(uid: int) -> Generator[int]:
    """A user namespace in which `OWNER` is the host's `uid`, as an open descriptor."""
    with subprocess.Popen(
        ["unshare", "--user", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b".")
        if not process.stdout.read(1):  # it answers once it is where it has to be
            raise SandboxError("user namespaces cannot be made")
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text(f"{OWNER} {uid} 1")
        namespace = os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield namespace
    finally:
        os.close(namespace)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"cannot mount an archive: {error}") from error
    if done.returncode:
        raise SandboxError(f"cannot mount an archive: {done.stderr.strip()[:500]}")


_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: int | bytes) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        problem = os.strerror(ctypes.get_errno())
        raise SandboxError(f"this kernel cannot map the owner of a mount: {problem}")
    return result


def _sync(path: Path) -> None:
    with path.open("rb") as file, suppress(OSError):
        os.fsync(file.fileno())
