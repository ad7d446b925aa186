"""What is said to the model when a call met a limit of its sandbox."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from gateway.tools.result import Result, failure
from sandbox.contract import Breach, Limits, SandboxGone
from sandbox.limits.breaches import size


class Bounded(Protocol):
    """What is asked of a sandbox here."""

    @property
    def limits(self) -> Limits: ...

    async def breaches(self) -> Sequence[Breach]: ...


async def tell(result: Result, sandbox: Bounded) -> Result:
    """Add the limits that were reached since the call before, and those the result speaks of."""
    texts = [breach.text for breach in await sandbox.breaches()]
    if result.is_error:
        texts += _explain(result.text(), sandbox.limits)
    if not texts:
        return result
    note = "\n".join(f"[{text}]" for text in texts)
    return replace(result, content=[*result.content, {"type": "text", "text": note}])


async def tell_death(sandbox: Bounded, error: SandboxGone, *, kept: bool = True) -> Result:
    """Say which limit a sandbox died of, and whether its files are still there.

    Raises:
        SandboxGone: It was none; this is `error` itself.
    """
    texts = [breach.text for breach in await sandbox.breaches()]
    if not texts:
        raise error
    advice = "its files are kept, call again" if kept else "call again"
    return failure(f"the sandbox ended: {'; '.join(texts)}; {advice}")


def _explain(text: str, limits: Limits) -> list[str]:
    """The limits behind errors of the system that a program reported."""
    meanings = (
        (("File size limit exceeded", "File too large"), f"files of {size(limits.file_size)}"),
        (("Too many open files",), f"{limits.open_files} open files of one process"),
        (
            ("No space left on device",),
            f"{size(limits.tmp)} in /tmp and other directories in memory",
        ),
    )
    return [
        f"limits of this sandbox: at most {meaning}"
        for words, meaning in meanings
        if any(word in text for word in words)
    ]
