"""What the programs that read documents have in common: their bounds, and how they answer."""

from __future__ import annotations

import json
import os
import resource
import sys

MEMORY = 1024**3
CPU_SECONDS = 35


def open_document() -> bytes:
    """Bound this process, make the parsers importable, and return the document."""
    libraries, path = sys.argv.pop(1), sys.argv.pop(1)
    sys.path.insert(0, libraries)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    with open(path, "rb") as file:
        return file.read()


def answer(text: str, *, title: str, markdown: bool) -> None:
    """Say what was read, on standard output."""
    said = {"text": text, "title": title, "markdown": markdown}
    sys.stdout.buffer.write(json.dumps(said).encode("ascii"))
    sys.stdout.flush()
    os._exit(0)  # large trees take long to be taken apart


def fail(why: str) -> None:
    """Say that it cannot be read; the text is for the model."""
    sys.stderr.write(why + "\n")
    sys.stderr.flush()
    os._exit(1)
