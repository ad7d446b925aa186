"""Layers as single files: everything comes back, and nothing else can come of a hostile one."""

import errno
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine, Generator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from sandbox import layer
from sandbox.archive import archive, erofs, mount
from sandbox.archive.erofs import BLOCK, SLOT, Entry, Inode
from sandbox.archive.pack import digest
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.contract import (
    Archive,
    Damaged,
    Driver,
    Sandbox,
    SandboxError,
    SandboxGone,
    SandboxSpec,
    TooLarge,
)
from sandbox.estate import Estate
from sandbox.layer import Layer
from tests.sandbox import trees
from tests.sandbox.places import IS_ROOT, PLAIN_USER

BOUND = 2**30
DEADLINE = 60.0
OWNER = PLAIN_USER if IS_ROOT else os.geteuid()
OTHER = PLAIN_USER - 1 if IS_ROOT else os.geteuid()
root_only = pytest.mark.skipif(not IS_ROOT, reason="only root can mount")


@pytest.fixture
def estate(data_dir: Path) -> Generator[Estate]:
    made = Estate(root=data_dir, own_uid=IS_ROOT)
    data_dir.chmod(0o711)
    made.make()
    yield made
    mount.release_all(made.layers)
    for place in made.layers.iterdir():
        layer.remove(place, made.trash)  # a plain user could not enter every directory of it


@pytest.fixture
def planted(estate: Estate) -> Layer:
    """A layer with one of everything."""
    made = layer.create(estate.layers, "one", OWNER)
    trees.plant(made.path / "workspace")
    if IS_ROOT:
        trees.give(made.path, OWNER)
    return made


def describe(place: Layer) -> trees.Description:
    """All of a layer that this process can see."""
    return trees.describe(place.path, owner=place.uid)


def ways(estate: Estate) -> list[Callable[..., Coroutine[object, object, None]]]:
    """How an archive can be used here."""
    mountable = archive.explain_unmountable(estate) is None
    return [archive.unfold, archive.mount_or_unfold] if mountable else [archive.unfold]


async def test_everything_comes_back_under_another_user_too(estate: Estate, planted: Layer):
    before = describe(planted)
    image = estate.root / "image"
    made = await archive.pack(planted, image, max_bytes=BOUND)
    assert made.size == image.stat().st_size
    for make in ways(estate):
        layer.discard(
            planted if planted.path.exists() else Layer(planted.path, OTHER), estate.trash
        )
        again = Layer(planted.path, OTHER)
        await make(estate, again, image, made)
        assert describe(again) == before
        assert (again.path / "workspace/holes").stat().st_blocks * 512 < 2**21
        planted = again
    assert [*estate.staging.iterdir()] == []


async def test_the_same_tree_makes_the_same_archive(estate: Estate, planted: Layer):
    one = await archive.pack(planted, estate.root / "one", max_bytes=BOUND)
    two = await archive.pack(planted, estate.root / "two", max_bytes=BOUND)
    assert one == two


async def test_what_must_not_come_back_does_not(estate: Estate):
    place = layer.create(estate.layers, "one", OWNER)
    workspace = place.path / "workspace"
    trees.plant_what_is_left_out(workspace)
    precious = estate.root / "precious"
    precious.write_bytes(b"of the host")
    (workspace / "escape").symlink_to(precious)
    if IS_ROOT:
        os.mknod(workspace / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    made = await archive.pack(place, estate.root / "image", max_bytes=BOUND)
    assert b"of the host" not in (estate.root / "image").read_bytes()
    layer.discard(place, estate.trash)
    await archive.unfold(estate, place, estate.root / "image", made)
    assert sorted(each.name for each in workspace.iterdir()) == ["escape", "of its owner"]
    assert (workspace / "escape").is_symlink()
    assert (workspace / "of its owner").stat().st_mode & 0o7777 == 0o755


DEEP = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(3000):
    os.mkdir("d" * 50)
    os.chdir("d" * 50)
open("bottom", "w").close()
"""


@pytest.fixture
def deep(estate: Estate) -> Layer:
    """A layer that is deeper than any path."""
    place = layer.create(estate.layers, "one", os.geteuid())
    subprocess.run([sys.executable, "-I", "-c", DEEP, place.path / "workspace"], check=True)
    return place


async def test_a_tree_deeper_than_any_path_comes_back(estate: Estate, deep: Layer):
    place = deep
    made = await archive.pack(place, estate.root / "image", max_bytes=BOUND)
    assert made.entries == 3000 + 1 + 5
    layer.discard(place, estate.trash)
    await archive.unfold(estate, Layer(place.path, OWNER), estate.root / "image", made)
    again = await archive.pack(place, estate.root / "again", max_bytes=BOUND)
    assert again == made
    layer.discard(place, estate.trash)


async def test_what_is_too_large_makes_no_archive_and_stays(estate: Estate):
    place = layer.create(estate.layers, "one", OWNER)
    (place.path / "workspace/large").write_bytes(os.urandom(2**20))
    with pytest.raises(TooLarge):
        await archive.pack(place, estate.root / "image", max_bytes=2**20)
    with (place.path / "workspace/holes").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(TooLarge):
        await archive.pack(place, estate.root / "image", max_bytes=BOUND)
    assert not (estate.root / "image").exists()
    assert (place.path / "workspace/large").stat().st_size == 2**20


async def test_an_archive_that_is_not_what_was_recorded_makes_nothing(
    estate: Estate, planted: Layer
):
    image = estate.root / "image"
    made = await archive.pack(planted, image, max_bytes=BOUND)
    layer.discard(planted, estate.trash)
    data = image.read_bytes()
    chance = random.Random(1)
    changes = [data[:-1], data + b"\0", b"", data[: len(data) // 2]]
    for _ in range(3):
        place = chance.randrange(len(data))
        changes.append(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    for change in changes:
        image.write_bytes(change)
        for make in ways(estate):
            with pytest.raises(Damaged):
                await make(estate, planted, image, made)
    image.unlink()
    with pytest.raises(Damaged):
        await archive.unfold(estate, planted, image, made)
    assert [*estate.layers.iterdir()] == [*estate.staging.iterdir()] == []


async def test_an_archive_of_one_sandbox_is_none_of_another(estate: Estate, planted: Layer):
    made = await archive.pack(planted, estate.root / "image", max_bytes=BOUND)
    for make in ways(estate):
        with pytest.raises(Damaged, match="another"):
            await make(estate, Layer(estate.layers / "two", OTHER), estate.root / "image", made)
    assert [place.name for place in estate.layers.iterdir()] == ["one"]


def forge(entries: dict[bytes, Inode | bytes], *, root: bytes | None = None) -> bytes:
    """An archive of the layer ``one`` as an enemy may write it, with `entries` in its root."""
    image = bytearray(BLOCK)
    found = [Entry(b".", erofs.ROOT, 2), Entry(b"..", erofs.ROOT, 2)]
    for name, what in entries.items():
        number = len(image) // SLOT
        inode = what if isinstance(what, Inode) else plain(len(what))
        data = erofs.encode_inode(inode, number) + (what if isinstance(what, bytes) else b"")
        image += data.ljust(BLOCK, b"\0")
        found.append(Entry(name, number, erofs.TYPES.get(stat.S_IFMT(inode.mode), 3)))
    directory = erofs.encode_directory(found) if root is None else root
    place = len(image)
    image += directory.ljust(BLOCK, b"\0")
    top = Inode(
        mode=stat.S_IFDIR | 0o700, size=len(directory), mtime=0, links=2, place=place // BLOCK
    )
    head = erofs.encode_inode(top, erofs.ROOT)
    image[erofs.ROOT * SLOT : erofs.ROOT * SLOT + len(head)] = head
    summary = erofs.Summary(
        identity=archive.identity("one"), entries=1 + len(entries), size=len(image), holes=True
    )
    super_ = erofs.encode_superblock(summary)
    image[erofs.SUPERBLOCK.start : erofs.SUPERBLOCK.stop] = super_
    return bytes(image)


def plain(size: int, mode: int = stat.S_IFREG | 0o644, **changes: object) -> Inode:
    inode = Inode(mode=mode, size=size, mtime=0, links=1, layout="inline" if size else "plain")
    return replace(inode, **changes)  # pyright: ignore[reportArgumentType] - tests name what they change


POISONED = {
    "a path": forge({b"../escape": b"x"}),
    "an absolute path": forge({b"/tmp/escape": b"x"}),
    "no name": forge({b"": b"x"}),
    "a nul": forge({b"a\0b": b"x"}),
    "a name twice": forge(
        {},
        root=erofs.encode_directory(
            [Entry(b"a", erofs.ROOT, 1), Entry(b"a", erofs.ROOT, 1), Entry(b".", 36, 2)]
        ),
    ),
    "a directory in itself": forge(
        {}, root=erofs.encode_directory([Entry(b"loop", erofs.ROOT, 2)])
    ),
    "a device": forge({b"device": plain(0, stat.S_IFCHR | 0o666)}),
    "a socket": forge({b"socket": plain(0, stat.S_IFSOCK | 0o666)}),
    "bytes that are not there": forge({b"file": plain(2**40, layout="plain", place=1)}),
    "more chunks than bytes": forge({b"file": plain(2**40, layout="chunks", place=0)}),
    "a huge number": forge({}, root=erofs.encode_directory([Entry(b"far", 2**59, 1)])),
    "no directory": forge({}, root=b"\xff" * 24),
    "no layer": forge({b"workspace": b"a file"}),
}


@pytest.mark.parametrize("kind", POISONED)
async def test_a_poisoned_archive_leaves_nothing_anywhere(estate: Estate, kind: str):
    image = estate.root / "image"
    image.write_bytes(POISONED[kind])
    file = os.open(image, os.O_RDONLY)
    recorded = Archive(size=len(POISONED[kind]), entries=0, digest=digest(file))
    os.close(file)
    with anyio.fail_after(DEADLINE), pytest.raises(SandboxError):
        await archive.unfold(estate, Layer(estate.layers / "one", OWNER), image, recorded)
    assert [*estate.layers.iterdir()] == [*estate.staging.iterdir()] == []
    assert not (estate.root / "escape").exists()


async def test_bytes_turned_at_random_never_hang_or_escape(estate: Estate, planted: Layer):
    image = estate.root / "image"
    await archive.pack(planted, image, max_bytes=BOUND)
    layer.discard(planted, estate.trash)
    data, chance = image.read_bytes(), random.Random(2)
    before = sorted(place.name for place in estate.root.iterdir())
    for _ in range(8):
        changed = bytearray(data)
        for _ in range(20):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        image.write_bytes(changed)
        with image.open("rb") as file:
            recorded = Archive(size=len(data), entries=0, digest=digest(file.fileno()))
        with anyio.fail_after(DEADLINE):
            try:
                await archive.unfold(estate, planted, image, recorded)
                layer.discard(planted, estate.trash)
            except SandboxError:
                assert not planted.path.exists()
    assert sorted(place.name for place in estate.root.iterdir()) == before


@root_only
async def test_a_mounted_archive_can_be_changed_and_archived_again(estate: Estate, planted: Layer):
    if archive.explain_unmountable(estate) is not None:
        pytest.skip("archives cannot be mounted here")
    (planted.path / "workspace/holes").unlink()  # else it would be unpacked
    image = estate.root / "image"
    made = await archive.pack(planted, image, max_bytes=BOUND)
    layer.discard(planted, estate.trash)
    await archive.mount_or_unfold(estate, planted, image, made)
    assert planted.path.is_mount()
    image.unlink()
    workspace = planted.path / "workspace"
    (workspace / "deep").rename(workspace / "renamed")
    (workspace / "of 1").unlink()
    shutil.rmtree(workspace / "many")
    (workspace / "many").mkdir()
    os.chown(workspace / "many", OWNER, OWNER)
    with (workspace / "other name").open("ab") as file:
        file.write(b"more")
    assert (workspace / "renamed/file").read_bytes() == b"deepmore"
    before = describe(planted)
    mount.release_all(estate.layers)
    assert not (planted.path / "workspace").exists()
    assert layer.find(estate.layers, "one") == planted
    assert describe(planted) == before
    again = await archive.pack(planted, image, max_bytes=BOUND)
    layer.discard(planted, estate.trash)
    assert [*estate.mounts.iterdir()] == [*estate.trash.iterdir()] == []
    await archive.unfold(estate, planted, image, again)
    assert describe(planted) == before


async def test_what_a_killed_process_was_making_is_swept(estate: Estate, planted: Layer):
    for place in (estate.staging / "two", estate.mounts / "three", estate.staging / "busy"):
        place.mkdir()
        (place / "image").write_bytes(b"x")
    archive.sweep(estate, {"busy"})
    assert [place.name for place in estate.staging.iterdir()] == ["busy"]
    assert [*estate.mounts.iterdir()] == []
    assert planted.path.exists()


@pytest.fixture
def small_disk(data_dir: Path) -> Generator[Path]:
    """A file system of a few megabytes."""
    if not IS_ROOT:
        pytest.skip("only root can make a disk that is soon full")
    place = data_dir / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


async def test_a_disk_that_is_full_in_the_middle_of_an_archive_loses_nothing(
    estate: Estate, planted: Layer, small_disk: Path
):
    (planted.path / "workspace/large").write_bytes(os.urandom(5 * 2**20))
    before = describe(planted)
    with pytest.raises(SandboxError, match=os.strerror(errno.ENOSPC)):
        await archive.pack(planted, small_disk / "image", max_bytes=BOUND)
    assert os.listdir(small_disk) == []  # noqa: PTH208 - names are enough
    assert describe(planted) == before


async def test_a_disk_that_is_full_in_the_middle_of_a_restore_makes_no_layer(
    estate: Estate, planted: Layer, small_disk: Path
):
    (planted.path / "workspace/large").write_bytes(os.urandom(5 * 2**20))
    made = await archive.pack(planted, estate.root / "image", max_bytes=BOUND)
    full = Estate(root=small_disk, own_uid=True)
    full.make()
    with pytest.raises(SandboxError):
        await archive.unfold(full, Layer(full.layers / "one", OWNER), estate.root / "image", made)
    assert [*full.layers.iterdir()] == [*full.staging.iterdir()] == [*full.trash.iterdir()] == []


async def run(sandbox: Sandbox, *argv: str) -> str:
    channel = await sandbox.open("spawn", argv=argv)
    data = b""
    with anyio.fail_after(DEADLINE):
        while chunk := await channel.receive():
            data += chunk
    await channel.aclose()
    return data.decode()


async def test_a_sandbox_comes_back_from_its_archive(driver: Driver, tmp_path: Path):
    first = await driver.create(SandboxSpec(id="one"))
    await first.claim(env={})
    await first.push("/workspace/file", b"kept", mode=0o640)
    await first.push("/home/agent/.bashrc", b"echo poisoned")
    with pytest.raises(SandboxError):
        await driver.archive("one", tmp_path / "early", max_bytes=BOUND)
    await first.destroy(keep_layer=True)
    made = await driver.archive("one", tmp_path / "image", max_bytes=BOUND)
    await driver.forget("one")
    with pytest.raises(SandboxGone):
        await driver.adopt("one", SandboxSpec(id="one"))
    with pytest.raises(Damaged):
        await driver.restore(SandboxSpec(id="two"), tmp_path / "image", made)
    again = await driver.restore(SandboxSpec(id="one"), tmp_path / "image", made)
    await again.claim(env={})
    assert await again.pull("/workspace/file", max_bytes=10) == b"kept"
    assert await run(again, "/usr/bin/stat", "-c", "%a %U", "/workspace/file") == "640 agent\n"
    assert await run(
        again, "/bin/sh", "-c", "echo more >> /workspace/file; cat /workspace/file"
    ) == ("keptmore\n")


@pytest.mark.timeout(180)
async def test_twenty_suspends_and_resumes_lose_nothing(
    bubblewrap: BubblewrapDriver, data_dir: Path, tmp_path: Path
):
    cell = await bubblewrap.create(SandboxSpec(id="one"))
    workspace = data_dir / "sandboxes/layers/one/workspace"
    for cycle in range(20):
        await cell.destroy(keep_layer=True)
        trees.grow(workspace, cycle)
        if IS_ROOT:
            trees.give(workspace, workspace.stat().st_uid)
        before = trees.describe(workspace, owner=workspace.stat().st_uid)
        image = tmp_path / str(cycle)
        made = await bubblewrap.archive("one", image, max_bytes=BOUND)
        await bubblewrap.forget("one")
        cell = await bubblewrap.restore(SandboxSpec(id="one"), image, made)
        image.unlink()
        assert trees.describe(workspace, owner=workspace.stat().st_uid) == before
    await cell.destroy()
