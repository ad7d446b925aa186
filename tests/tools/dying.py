"""A process to be killed in the middle of a build: ``dying.py DATA_DIR INDEX PACKAGE``."""

import sys
from pathlib import Path

import anyio

from tests.store.rows import environment
from tests.tools.building import bench


async def main(data_dir: str, index: str, package: str) -> None:
    packages = {"type": "packages", "pip": [package]}
    async with bench(Path(data_dir), index) as made:
        body = {"config": {"type": "cloud", "packages": packages}}
        await made.store.environments.create(row=environment(body=body))
        made.builder.start(packages)
        await anyio.sleep_forever()


anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
