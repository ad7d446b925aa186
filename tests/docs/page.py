"""A page of the documentation as a program: its code blocks, and a place to run them.

The blocks of a page run in order in one temporary directory: all ``python`` blocks in one
interpreter, all ``bash`` blocks with the variables that the ones before exported. In comments a
page says ``<!-- server: scripted -->`` (optionally with the path of a model script) to have a
server while it runs, ``<!-- policies: DIRECTORY -->`` to have it follow a copy of those, called
``policies``, and ``<!-- not run: REASON -->`` right above a block that cannot run.
"""

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.house.tree import ROOT

_SECONDS = 50.0
_SHOWN_ADDRESS = "http://127.0.0.1:8400"
_SHOWN_KEY = "wk-..."
_KEY = "wk-" + "0" * 40
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]*?) -->\s*\n)?"
    r"^(?P<indent> *)```(?P<language>bash|python)\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_SERVER = re.compile(r"<!-- server: scripted(?: (?P<script>\S+))? -->")
_POLICIES = re.compile(r"<!-- policies: (?P<directory>\S+) -->")
_SCRIPT = "gateway/model/scripts/primes.toml"

_INTERPRETER = """
import json, sys
names = {"__name__": "__main__"}
for line in sys.stdin:
    page, skipped, code = json.loads(line)
    exec(compile("\\n" * skipped + code, page, "exec"), names)
    print("\\0", flush=True)
"""


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int
    """The line of the page before the first line of code."""
    not_run: str | None
    """Why the block is not run; None when it is."""


def blocks(text: str) -> list[Block]:
    """Return the ``bash`` and ``python`` blocks of a page, in order."""
    return [
        Block(
            language=found["language"],
            code=re.sub(f"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            line=text.count("\n", 0, found.start("code")),
            not_run=found["reason"],
        )
        for found in _BLOCK.finditer(text)
    ]


def run(page: Path, text: str, folder: Path) -> None:
    """Run the blocks of a page in an empty folder.

    Raises:
        AssertionError: A block failed; the message is what it printed.
    """
    with ExitStack() as stack:
        environment = _environment(folder)
        server = _SERVER.search(text)
        if server:
            script = ROOT / (server["script"] or _SCRIPT)
            more = {"WHARFKEEP_API_KEY": _KEY, "WHARFKEEP_MODELS__SCRIPT": str(script)}
            if policies := _POLICIES.search(text):
                copy = shutil.copytree(ROOT / policies["directory"], folder / "policies")
                more["WHARFKEEP_POLICY__DIRECTORY"] = str(copy)
            address = stack.enter_context(_server(folder, environment | more))
            environment |= {"ANTHROPIC_BASE_URL": address, "ANTHROPIC_API_KEY": _KEY}
            environment |= {"WHARFKEEP_URL": address, "WHARFKEEP_API_KEY": _KEY}
            text = text.replace(_SHOWN_ADDRESS, address).replace(_SHOWN_KEY, _KEY)
        python = None
        for block in blocks(text):
            where = f"{page.name}:{block.line}"
            if block.not_run is not None:
                continue
            if block.language == "bash":
                _run_bash(block, where, folder, environment)
            else:
                python = python or stack.enter_context(_interpreter(folder, environment))
                _run_python(block, page, where, python)


def _environment(folder: Path) -> dict[str, str]:
    """A clean environment in which ``wharfkeep`` and ``./bin/wharfkeep`` are this checkout."""
    command = folder / "bin" / "wharfkeep"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    (folder / "config").symlink_to(ROOT / "config")
    return {
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join(
            (str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"])
        ),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "WHARFKEEP_DATA_DIR": str(folder / "data"),
    }


@contextmanager
def _server(folder: Path, environment: dict[str, str]) -> Generator[str]:
    """Serve a scripted model on a free port; yields the address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--listen", "127.0.0.1:0"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read_lines, args=(process.stdout, said), daemon=True)
    reader.start()
    try:
        yield _address(said)
    finally:
        process.terminate()
        try:
            process.wait(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            reader.join(timeout=_SECONDS)
            process.stdout.close()


def _read_lines(output: IO[str], said: "queue.Queue[str | None]") -> None:
    for line in output:
        said.put(line)
    said.put(None)


def _address(said: "queue.Queue[str | None]") -> str:
    lines: list[str] = []
    while (line := said.get(timeout=_SECONDS)) is not None:
        lines.append(line)
        if line.startswith("ready "):
            return line.split()[1]
    raise AssertionError("the server ended before it said its address:\n" + "".join(lines))


def _run_bash(block: Block, where: str, folder: Path, environment: dict[str, str]) -> None:
    exported = folder / ".exported"
    exported.touch()
    script = (
        f"source {exported}\ntrap 'export -p >{exported}' EXIT\nset -euo pipefail\n{block.code}"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{where}: status {done.returncode}\n{done.stdout}{done.stderr}"


@contextmanager
def _interpreter(folder: Path, environment: dict[str, str]) -> "Generator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [sys.executable, "-c", _INTERPRETER],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        # A block that hangs ends with its interpreter, and the reader below sees the end.
        deadline = threading.Timer(_SECONDS, process.kill)
        deadline.start()
        try:
            yield process
        finally:
            deadline.cancel()
            process.kill()


def _run_python(block: Block, page: Path, where: str, python: "subprocess.Popen[str]") -> None:
    assert python.stdin is not None
    assert python.stdout is not None
    python.stdin.write(json.dumps([str(page), block.line, block.code]) + "\n")
    python.stdin.flush()
    printed: list[str] = []
    for line in python.stdout:
        if line.endswith("\0\n"):
            return
        printed.append(line)
    raise AssertionError(f"{where}: the block failed\n{''.join(printed)}")
