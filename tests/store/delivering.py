"""A gateway to be killed between a delivery and its mark.

Usage: ``python -m tests.store.delivering URL DATA_DIR FILE``. It writes five records, delivers them
to the file, says so on standard output, and never comes to marking them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from gateway.clock import SystemClock
from gateway.export import Export
from gateway.settings.policy import AuditSettings
from gateway.sinks import FileSink
from tests.store.places import Place
from tests.store.trail import record


class Stuck(FileSink):
    async def deliver(self, events: Sequence[dict[str, Any]]) -> None:
        await super().deliver(events)
        sys.stdout.write("delivered\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


async def run(url: str, data_dir: Path, file: Path) -> None:
    async with Place(url, data_dir).open() as store:
        await store.audit.write("gateway", [record(f"aud_{n}", at=n) for n in range(5)])
        await Export(store.audit, SystemClock(), AuditSettings(), [Stuck(file)]).deliver()


if __name__ == "__main__":
    anyio.run(run, sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
