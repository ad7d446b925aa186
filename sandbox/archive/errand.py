"""The inner side of `sandbox.archive.courier`: what a process says, and how it ends.

It says lines of JSON on its standard output: ``{"done": N, "of": M}`` now and then, and at last its
result, or ``{"error": KIND, "text": TEXT}``. Standard library only.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager

from sandbox.contract import SandboxError

_PR_SET_PDEATHSIG = 1


def report(**said: object) -> None:
    """Say a line."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


@contextmanager
def reporting_errors() -> Generator[None]:
    """Say what goes wrong in the block as the last line."""
    try:
        yield
    except (SandboxError, OSError) as error:
        report(error=type(error).__name__, text=str(error))


def die_with_parent() -> None:
    """End when the process that started this one does; a change of user undoes it."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
