"""How much disk space and how many files a sandbox's layer takes, measured from outside.

The gateway's side of `sandbox.limits.meter`. Everything here blocks; it belongs in a thread.
"""

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MEASURE_SECONDS = 120.0
_STOP_SECONDS = 5.0
_MAX_ANSWER = 4096


@dataclass(frozen=True, slots=True)
class Usage:
    """What a layer takes."""

    bytes: int
    """Really allocated: holes in files cost nothing."""
    files: int
    """Names of files and directories."""
    deep: bool = False
    """Directories are nested too deeply for all of them to be counted."""


@dataclass(frozen=True, slots=True)
class Space:
    """What a file system has left for users without rights."""

    bytes: int
    files: int | None
    """None where the file system does not count them."""


def space(directory: Path) -> Space:
    """Say what is left on the file system of `directory`; takes microseconds.

    Raises:
        OSError: It cannot be asked.
    """
    status = os.statvfs(directory)
    return Space(status.f_bavail * status.f_frsize, status.f_favail if status.f_files else None)


def shortage(directory: Path, keep_free: int) -> tuple[str, ...]:
    """A note for the operator if the disk of `directory` has less left than must stay free."""
    left = space(directory).bytes
    if left >= keep_free:
        return ()
    note = (
        f"the disk of {directory} has {left // 1024**2} MiB left, less than sandbox.keep_free: "
        "sandboxes that write are stopped; free some space"
    )
    return (note,)


class MeterError(Exception):
    """A layer could not be measured this time."""


class Meter:
    """Measures layers, one after the other, in a process of its own that starts when needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._interrupted = False
        self._turn = threading.Lock()

    def measure(
        self, layer: Path, pids: Sequence[int] = (), *, most_bytes: int, most_files: int
    ) -> Usage:
        """Measure a layer, and what `pids` keep open after it was deleted there.

        It stops as soon as there is more than asked about.

        Raises:
            MeterError: The layer is not there, or it took more than two minutes.
        """
        order = {
            "path": str(layer),
            "pids": list(pids),
            "bytes": most_bytes,
            "files": most_files,
        }
        try:
            with self._turn:
                answer = self._exchange(order)
        except (OSError, ValueError) as error:
            self.close()
            raise MeterError(f"cannot measure {layer}: {error}") from error
        if "error" in answer:
            raise MeterError(f"cannot measure {layer}: {answer['error']}")
        return Usage(answer["bytes"], answer["files"], answer["deep"])

    def interrupt(self) -> None:
        """Let a measurement in another thread fail, and every later one."""
        self._interrupted = True
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the process; the next measurement starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(_STOP_SECONDS)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _exchange(self, order: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.poll() is not None:
            self.close()
            process = self._process = _start()
        if self._interrupted:
            raise ConnectionAbortedError("interrupted")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        poller = select.poll()
        poller.register(process.stdout, select.POLLIN)
        if not poller.poll(_MEASURE_SECONDS * 1000):
            raise TimeoutError(f"not done after {_MEASURE_SECONDS:g} seconds")
        return json.loads(process.stdout.readline(_MAX_ANSWER))


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("meter.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd="/",
        env={},
        start_new_session=True,  # Ctrl-C in a terminal is for the gateway to act on
    )
