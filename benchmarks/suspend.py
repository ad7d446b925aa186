"""What it costs to put a sandbox away and to take it out again, against making a new one.

    python -m benchmarks.suspend [--runs 5] [--files 10000] [--json]

The sandbox holds files of 10 kB, 100 to a directory. A checkpoint is the archive of all of them,
without and with 100 of them changed since the last; its floor is a walk over the tree that looks at
every entry. Resuming is from the request to a sandbox that is ready: on the kept layer, from the
archive by mounting it, and from the archive by unpacking it; the floor is a sandbox on nothing.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from sandbox.archive import archive
from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.contract import Archive, Sandbox, SandboxSpec
from sandbox.estate import Estate
from sandbox.layer import Layer

_BOUND = 2**34
_SIZE = 10_000
_A_DIRECTORY = 100
_CHANGED = 100


class Bench:
    """One sandbox, put away and taken out again and again."""

    def __init__(self, driver: BubblewrapDriver, estate: Estate, files: int) -> None:
        self._driver = driver
        self._estate = estate
        self._files = files
        self._image = estate.root / "image"
        self.times: dict[str, list[float]] = {}

    async def run(self) -> None:
        """Measure everything once."""
        create = partial(self._driver.create, SandboxSpec(id="new"))
        fresh = await self._timed("create", create)
        await fresh.destroy()
        made = await self._driver.create(SandboxSpec(id="full"))
        await made.destroy(keep_layer=True)
        workspace = self._estate.layers / "full/workspace"
        await anyio.to_thread.run_sync(_fill, workspace, self._files)
        await self._timed("walk", partial(anyio.to_thread.run_sync, _walk, workspace))
        await self._checkpoint("checkpoint")
        await anyio.to_thread.run_sync(_change, workspace, self._files)
        wanted = await self._checkpoint("checkpoint_changed")
        adopt = partial(self._driver.adopt, "full", SandboxSpec(id="full"))
        await self._put_back(await self._timed("resume_layer", adopt))
        kinds = {"unpack": archive.unfold, "mount": archive.mount_or_unfold}
        if "mount" not in (await self._driver.probe()).suspend:
            del kinds["mount"]
        for kind, make in kinds.items():
            await self._driver.forget("full")
            layer = Layer(self._estate.layers / "full", os.geteuid() or 210_001)
            await self._timed(kind, partial(make, self._estate, layer, self._image, wanted))
            await self._put_back(await self._timed(f"{kind}_start", adopt))
        await self._driver.forget("full")

    async def _checkpoint(self, name: str) -> Archive:
        self._image.unlink(missing_ok=True)
        act = partial(self._driver.archive, "full", self._image, max_bytes=_BOUND)
        return await self._timed(name, act)

    async def _put_back(self, sandbox: Sandbox) -> None:
        await sandbox.destroy(keep_layer=True)

    async def _timed(self, name: str, act: Callable[..., Awaitable[Any]]) -> Any:
        begin = time.monotonic()
        result = await act()
        self.times.setdefault(name, []).append(1000 * (time.monotonic() - begin))
        return result


def _fill(workspace: Path, files: int) -> None:
    status = workspace.stat()
    for start in range(0, files, _A_DIRECTORY):
        directory = workspace / str(start)
        directory.mkdir()
        for number in range(start, min(start + _A_DIRECTORY, files)):
            (directory / str(number)).write_bytes(os.urandom(_SIZE))
            os.chown(directory / str(number), status.st_uid, status.st_gid)
        os.chown(directory, status.st_uid, status.st_gid)


def _change(workspace: Path, files: int) -> None:
    for number in range(0, files, max(files // _CHANGED, 1)):
        place = workspace / str(number // _A_DIRECTORY * _A_DIRECTORY) / str(number)
        place.write_bytes(os.urandom(_SIZE))


def _walk(workspace: Path) -> int:
    return sum(
        os.lstat(os.path.join(directory, name)).st_size  # noqa: PTH118 - the floor is the quickest
        for directory, _, names in os.walk(workspace)
        for name in names
    )


async def _measure(directory: Path, runs: int, files: int) -> dict[str, float]:
    async with anyio.create_task_group() as tasks:
        driver = BubblewrapDriver(tasks, Settings(data_dir=directory / "data"))
        await driver.probe()
        estate = Estate(root=directory / "data/sandboxes", own_uid=os.geteuid() == 0)
        bench = Bench(driver, estate, files)
        for _ in range(runs):
            await bench.run()
        await driver.aclose()
        tasks.cancel_scope.cancel()
        return _figures({name: statistics.median(each) for name, each in bench.times.items()})
    raise AssertionError("a task group that swallows its own end")


def _figures(median: dict[str, float]) -> dict[str, float]:
    figures = {f"{name}_ms": round(value, 1) for name, value in median.items()}
    create, walk = median["create"], median["walk"]
    for name in ("checkpoint", "checkpoint_changed"):
        figures[f"{name}_ratio"] = round(median[name] / walk, 1)
    figures["resume_layer_ratio"] = round(median["resume_layer"] / create, 2)
    for kind in ("mount", "unpack"):
        if kind in median:
            whole = median[kind] + median[f"{kind}_start"]
            figures[f"resume_{kind}_ratio"] = round(whole / create, 2)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        figures = anyio.run(_measure, Path(directory), options.runs, options.files)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    print("medians; checkpoints against a walk over the tree, resuming against a new sandbox")
    for name, value in figures.items():
        print(f"{name:26} {value:10.2f}")


if __name__ == "__main__":
    main()
