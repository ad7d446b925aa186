"""Work that is done by a process of its own, because what it reads is an enemy's.

It is this interpreter with nothing loaded but the module that does the work, so that a large tree
costs the gateway neither its interpreter nor its memory, and a plain process can have fewer rights.
It works on descriptors it is given, and ends when the gateway does. `errand` is its side.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from sandbox.contract import Damaged, Progress, SandboxError, TooLarge

_ROOT = Path(__file__).parents[2]
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from importlib import import_module; import_module(sys.argv.pop(1)).main()"
)
_MAX_LINE = 65536
_ERRORS: Mapping[str, type[SandboxError]] = {"TooLarge": TooLarge, "Damaged": Damaged}


async def send(
    module: str,
    arguments: Sequence[object],
    descriptors: Sequence[int],
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run ``module.main`` in a process of its own with open `descriptors`; returns its result.

    Cancelling kills it.

    Raises:
        SandboxError: What it said went wrong, or that it ended without a word.
    """
    command = [sys.executable, "-I", "-S", "-c", _START, str(_ROOT), module, *map(str, arguments)]
    async with await anyio.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
        start_new_session=True,
        pass_fds=descriptors,
    ) as process:
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        try:
            while True:
                answer: dict[str, Any] = json.loads(await lines.receive_until(b"\n", _MAX_LINE))
                if "done" not in answer:
                    break
                if progress is not None:
                    progress(answer["done"], answer["of"])
        except (anyio.EndOfStream, anyio.IncompleteRead, ValueError) as error:
            raise SandboxError(f"{module} ended without a word") from error
        await process.wait()
    if "error" in answer:
        raise _ERRORS.get(answer["error"], SandboxError)(answer["text"])
    return answer
