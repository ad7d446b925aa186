"""What a turn costs: three shell calls in a sandbox and a final text, against a bare loop.

    python -m benchmarks.turn [--turns 40] [--json]

Dispatch is from sending the message to the model request; the tool gap from the end of a model
answer to the next request, with a shell call in between; deliver from the end of the last answer
to the idle event at the client. Every ratio is against `benchmarks.floor`, measured in the same
run. Model, client and server share the machine, so figures are upper bounds.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import psutil

from benchmarks.client import Client, Turn
from benchmarks.endpoint import CALLS
from benchmarks.floor import Floor
from benchmarks.process import KEY, cpu_seconds, endpoint, gateway

TURNS_A_SESSION = 5


@dataclass
class Figures:
    """Milliseconds, but for `per_second` (turns) and `rss` (MB)."""

    name: str
    dispatch: list[float] = field(default_factory=list[float])
    gap: list[float] = field(default_factory=list[float])
    deliver: list[float] = field(default_factory=list[float])
    cpu: float = 0.0
    per_second: float = 0.0
    rss: tuple[float, float] = (0.0, 0.0)

    def summary(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dispatch_p50": _p50(self.dispatch),
            "gap_p50": _p50(self.gap),
            "gap_p95": _p95(self.gap),
            "deliver_p50": _p50(self.deliver),
            "cpu_per_turn": round(self.cpu, 2),
            "turns_per_second": round(self.per_second, 1),
            "rss_mb": [round(value, 1) for value in self.rss],
        }


def _p50(values: list[float]) -> float:
    return round(statistics.median(values), 2) if values else 0.0


def _p95(values: list[float]) -> float:
    return round(sorted(values)[int(len(values) * 0.95)], 2) if values else 0.0


def _times(model: str) -> dict[str, list[dict[str, Any]]]:
    """The endpoint's notes by turn, each in the order of its steps."""
    with urllib.request.urlopen(f"{model}/times", timeout=30) as answer:
        notes: list[dict[str, Any]] = json.load(answer)
    turns: dict[str, list[dict[str, Any]]] = {}
    for note in notes:
        turns.setdefault(note["turn"], []).append(note)
    return {name: sorted(steps, key=lambda s: s["step"]) for name, steps in turns.items()}


def _gaps(steps: list[dict[str, Any]]) -> list[float]:
    return [1000 * (b["arrived"] - a["left"]) for a, b in pairwise(steps)]


def measure_floor(model: str, turns: int) -> Figures:
    figures = Figures("floor")
    own = psutil.Process()
    with tempfile.TemporaryDirectory() as directory:
        floor = Floor(model, Path(directory))
        floor.turn("bench-0")
        _times(model)
        before, begin = cpu_seconds(own), time.monotonic()
        for number in range(turns):
            floor.turn(f"bench-{number}")
        figures.per_second = turns / (time.monotonic() - begin)
        figures.cpu = 1000 * (cpu_seconds(own) - before) / turns
        floor.close()
    for steps in _times(model).values():
        figures.gap += _gaps(steps)
    return figures


class Load:
    """Turns against one gateway."""

    def __init__(self, address: str, process: psutil.Process, model: str) -> None:
        self._address = address
        self._process = process
        self._model = model
        self._count = 0

    async def prepare(self) -> None:
        client = Client(self._address, KEY)
        tools = [{"type": "agent_toolset_20260401"}]
        body = {"name": "bench", "model": "bench", "tools": tools}
        self._agent = (await client.call("POST", "/v1/agents", body))["id"]
        self._environment = (await client.call("POST", "/v1/environments", {"name": "b"}))["id"]
        await client.aclose()

    async def warm(self, turns: int, clients: int) -> Figures:
        """Turns of sessions whose sandboxes are up: what the loop itself costs.

        A session has few turns here, so that no conversation grows long.
        """
        each = -(-turns // (clients * TURNS_A_SESSION))
        work: list[list[str | None]] = [
            [s for _ in range(each) for s in [await self._session()] * TURNS_A_SESSION]
            for _ in range(clients)
        ]
        return await self._measure(f"warm, {clients} at a time", work)

    async def new(self, turns: int, clients: int) -> Figures:
        """A new session, and so a new sandbox, for every turn."""
        work: list[list[str | None]] = [[None] * (turns // clients) for _ in range(clients)]
        return await self._measure(f"new sessions, {clients} at a time", work)

    async def _session(self) -> str:
        client = Client(self._address, KEY)
        body = {"agent": self._agent, "environment_id": self._environment}
        session: str = (await client.call("POST", "/v1/sessions", body))["id"]
        await client.turn("bench-0", session)
        await client.aclose()
        return session

    async def _measure(self, name: str, work: list[list[str | None]]) -> Figures:
        """Run turns; each list is one client's work, in which None stands for a new session."""
        figures = Figures(name)
        _times(self._model)
        rss = self._process.memory_info().rss / 2**20
        before, begin = cpu_seconds(self._process), time.monotonic()
        done: list[Turn] = []
        async with anyio.create_task_group() as tasks:
            for sessions in work:
                tasks.start_soon(self._work, sessions, done)
        figures.per_second = len(done) / (time.monotonic() - begin)
        figures.cpu = 1000 * (cpu_seconds(self._process) - before) / len(done)
        figures.rss = (rss, self._process.memory_info().rss / 2**20)
        notes = _times(self._model)
        for turn in done:
            steps = notes[turn.name]
            figures.dispatch.append(1000 * (steps[0]["arrived"] - turn.sent))
            figures.gap += _gaps(steps)
            figures.deliver.append(1000 * (turn.idle - steps[-1]["left"]))
        return figures

    async def _work(self, sessions: list[str | None], done: list[Turn]) -> None:
        client = Client(self._address, KEY)
        for session in sessions:
            self._count += 1
            name = f"bench-{self._count}"
            if session is not None:
                done.append(await client.turn(name, session))
            else:
                done.append(await client.run_turn(name, self._agent, self._environment))
        await client.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with endpoint() as model, tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        floor = measure_floor(model, options.turns)
        with gateway(model, Path(directory) / "data") as (address, process):
            load = Load(address, process, model)
            rows = [floor, *anyio.run(_run_load, load, options.turns)]
    if options.json:
        sys.stdout.write(json.dumps([row.summary() for row in rows]) + "\n")
    else:
        _print(rows)


async def _run_load(load: Load, turns: int) -> list[Figures]:
    await load.prepare()
    warm = [await load.warm(max(turns, clients * 3), clients) for clients in (1, 8, 32)]
    new = [await load.new(max(turns, clients * 2), clients) for clients in (1, 8, 32)]
    return warm + new


def _print(rows: list[Figures]) -> None:
    floor = rows[0].summary()
    print(f"{CALLS} shell calls and a final text a turn; milliseconds, medians")
    for row in rows:
        s = row.summary()
        gap, cpu = s["gap_p50"] / floor["gap_p50"], s["cpu_per_turn"] / floor["cpu_per_turn"]
        print(
            f"{s['name']:<28} dispatch {s['dispatch_p50']:6.2f}  "
            f"gap {s['gap_p50']:6.2f} ({gap:4.1f}x, p95 {s['gap_p95']:6.2f})  "
            f"deliver {s['deliver_p50']:6.2f}  cpu {s['cpu_per_turn']:6.2f} ({cpu:4.1f}x)  "
            f"{s['turns_per_second']:6.1f} turns/s  rss {s['rss_mb'][0]} -> {s['rss_mb'][1]} MB"
        )


if __name__ == "__main__":
    main()
