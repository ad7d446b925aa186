"""A gateway that serves a data directory until it is killed: ``python -m tests.store.holding DIR``."""

import sys
from pathlib import Path

import anyio

from tests.store.places import Place


async def run(data_dir: Path) -> None:
    async with Place("", data_dir).open():
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(run, Path(sys.argv[1]))
