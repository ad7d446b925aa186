"""A gateway as people run it: a process of its own, known only by what it prints.

`Server` starts one and waits for its ``ready`` line; `attempt` is for starts that must fail.
Both give it a clean environment, so that nothing set on the developer's machine matters.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from anthropic import Anthropic, AsyncAnthropic

from tests.house.tree import ROOT

KEY = "wk-" + "0" * 40
SECONDS = 30.0
"""How long a process may take to start or to stop."""

PYTHONPATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
"""Where a server's Python finds this checkout."""

RUNNING: list["Server"] = []
"""Servers that are up, so that a failed test can show what they logged."""

_OWN = ("WHARFKEEP_", "ANTHROPIC_")


@dataclass(frozen=True)
class Ended:
    """A process that is over."""

    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return self.err.strip().splitlines()


class Server:
    """One gateway on one data directory.

    Args:
        data_dir: Everything durable; used again, it is the same gateway after a restart.
        settings: ``WHARFKEEP_...`` and other variables of its environment.
        within: A command that runs the server, such as one that makes a namespace first.
    """

    def __init__(self, data_dir: Path, *, within: Sequence[str] = (), **settings: object) -> None:
        self.data_dir = data_dir
        self._log = data_dir.parent / f"{data_dir.name}.log"
        self._settings = settings
        self._within = within
        self.said: dict[str, str] = {}
        """What it printed, by the first word of the line."""
        self.process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return self.said["ready"]

    @property
    def log(self) -> str:
        """What it has written on standard error, over all its starts."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def client(self) -> AsyncAnthropic:
        return AsyncAnthropic(base_url=self.url, api_key=KEY, timeout=SECONDS, max_retries=0)

    def blocking_client(self) -> Anthropic:
        return Anthropic(base_url=self.url, api_key=KEY, timeout=SECONDS, max_retries=0)

    def access(self) -> dict[str, str]:
        """The variables by which any official client finds this server."""
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": KEY}

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._within, *_command(self.data_dir)],
                env=_serving_environment(self._settings),
                cwd=self.data_dir.parent,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        RUNNING.append(self)
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _wait_ready(self) -> None:
        assert self.process.stdout is not None
        deadline = threading.Timer(SECONDS, self.process.kill)
        deadline.start()
        try:
            for line in self.process.stdout:
                name, _, value = line.decode().strip().partition(" ")
                self.said[name] = value
                if name == "ready":
                    return
        finally:
            deadline.cancel()
        raise AssertionError(f"the server did not start:\n{self.log}")

    def kill(self) -> None:
        """Kill it as a crash would: nothing of it runs any more."""
        self.process.kill()
        self._bury()

    def stop(self) -> int:
        """Ask it to end as an init system does; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._bury()

    def _bury(self) -> int:
        status = self.process.wait(SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        if self in RUNNING:
            RUNNING.remove(self)
        return status


def attempt(
    data_dir: Path,
    *arguments: str,
    within: Sequence[str] = (),
    **settings: object,
) -> Ended:
    """Start a server that is expected to end by itself, and wait for that."""
    done = subprocess.run(
        [*within, *_command(data_dir), *arguments],
        env=_serving_environment(settings),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def _command(data_dir: Path) -> list[str]:
    command = [sys.executable, "-m", "gateway", "serve"]
    return [*command, "--listen", "127.0.0.1:0", "--data-dir", str(data_dir)]


def _serving_environment(settings: dict[str, object]) -> dict[str, str]:
    given = {name: str(value) for name, value in settings.items()}
    return clean_environment(**{"PYTHONPATH": PYTHONPATH, "WHARFKEEP_API_KEY": KEY} | given)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without anything of the gateway's or the SDK's, and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    return kept | more


@contextmanager
def place() -> Generator[Path]:
    """A directory for servers. Sandboxes' own users must get there, as in no directory of pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="wharfkeep-e2e-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
