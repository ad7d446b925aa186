"""Killed at any moment, a gateway has kept what it acknowledged: once, in order, whole."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest

from tests.store.crashing import GROUP
from tests.store.places import Place
from tests.store.rows import add_session, ids

ROOT = Path(__file__).parents[2]
KILLS = 4


@pytest.mark.timeout(120)
async def test_what_was_acknowledged_before_a_kill_is_there_once_and_in_order(place: Place):
    async with place.open() as store:
        await add_session(store)
    for _ in range(KILLS):
        said = await anyio.to_thread.run_sync(run_and_kill, place)
        async with place.open() as store:
            log = await ids(store)
            queued = [entry.id for entry in await store.log.inputs(session="sesn_1")]
        rounds = len(log) // GROUP
        assert log == [f"{number}.{part}" for number in range(rounds) for part in range(GROUP)]
        assert queued in ([], [f"{rounds}.0"])
        accepted = max(int(line) for line in said if line.startswith("+"))
        appended = max(int(line) for line in said if not line.startswith("+"))
        assert accepted < rounds + len(queued)
        # Nobody was told of the last append: it may have been kept or not.
        assert appended < rounds <= appended + 2


def run_and_kill(place: Place) -> list[str]:
    """Let a gateway work for a random number of lines, kill it, and say what it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.crashing", place.url, str(place.data_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        read = [child.stdout.readline() for _ in range(random.randint(3, 200))]
        child.send_signal(signal.SIGKILL)
        return [line.strip() for line in [*read, *child.stdout]]
