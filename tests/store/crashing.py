"""A gateway to be killed: it accepts and appends for ever, and says on standard output what is done.

Usage: ``python -m tests.store.crashing URL DATA_DIR``. It goes on where the log ends. A line ``+N``
says that the input of round N was acknowledged, a line ``N`` that its append was.
"""

import sys
from pathlib import Path

import anyio

from tests.store.places import Place
from tests.store.rows import append, claimed, event, ids, send, sent

NOW = 2**60
"""An instant so late that no lease ends in a test."""
GROUP = 3
"""Events of one append; the first is the consumed input."""


async def run(url: str, data_dir: Path) -> None:
    async with Place(url, data_dir).open() as store:
        claim = await claimed(store, now=NOW)
        number = len(await ids(store)) // GROUP
        waiting = bool(claim.inputs)
        while True:
            if not waiting:
                await send(store, sent(f"{number}.0"))
                say(f"+{number}")
            waiting = False
            group = [event(f"{number}.{part}") for part in range(GROUP)]
            await append(store, claim, *group, consumes=[f"{number}.0"], now=NOW)
            say(str(number))
            number += 1


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(run, sys.argv[1], Path(sys.argv[2]))
