"""This process, closed to the programs it starts.

They run as the same user, so without this they could read the driver's token out of its memory,
rewrite its code through ``/proc/1/mem``, or end it with an interrupt. It is no wall around the
sandbox: it keeps one thread of an agent from speaking for another.
"""

from __future__ import annotations

_SET_DUMPABLE = 4
"""``PR_SET_DUMPABLE`` of ``prctl``."""


def raise_shield() -> bool:
    """Hide memory, descriptors and environment, and let nobody inside interrupt; says if it worked.

    A child becomes an ordinary process again when it starts its program.
    """
    # Not `signal`, which takes longer to import than a shell to start.
    import _signal  # pyright: ignore[reportMissingImports] - there are no stubs of it

    # The first process of a PID namespace gets from inside only signals that it handles, and an
    # interrupt is the one that Python handles by itself.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    return _set_dumpable(0) == 0


def _set_dumpable(value: int) -> int:
    # Not `ctypes`, whose import takes ten times as long as the part of it that is in C.
    try:
        import _ctypes

        this_program = _ctypes.dlopen(None, 2)  # pyright: ignore[reportArgumentType] - the stubs do not know None
        prctl = _ctypes.dlsym(this_program, "prctl")
        return _ctypes.call_function(prctl, (_SET_DUMPABLE, value, 0, 0, 0))
    except (ImportError, AttributeError, OSError):
        return -1
