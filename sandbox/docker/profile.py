"""The same system call filter as `sandbox.seccomp`, in the words of container engines.

An engine takes names of system calls and comparisons of arguments, one comparison for each
argument of a rule. So "none of these values" becomes the few comparisons of leading
bits that cover all the others. What is not named is allowed, as there; other machines'
system calls end the process, because the engine is given this machine's alone.
"""

import errno
import json
import platform
import socket
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, TypeAlias

from sandbox import seccomp
from sandbox.contract import Unavailable

Comparison: TypeAlias = Mapping[str, int | str]

_ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
)
_WORD = 32
_TYPE_BITS = 4
"""Of the type of a socket; the bits above are flags."""


@cache
def document(machine: str | None = None) -> str:
    """The filter for `machine` (as ``uname -m`` says it; this one by default), as JSON.

    Raises:
        Unavailable: There is none for this kind of machine.
    """
    name = machine or platform.machine()
    if name not in _ARCHITECTURES:
        raise Unavailable(f"no system call filter for {name}; use an x86_64 or aarch64 machine")
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": [_ARCHITECTURES[name]],
            "syscalls": list(_rules()),
        },
        separators=(",", ":"),
    )


def _rules() -> Iterator[Mapping[str, Any]]:
    yield _refuse(*seccomp.DENIED)
    # Its flags are in memory, which a filter cannot read. ENOSYS makes the C library use clone.
    yield _refuse("clone3", error=errno.ENOSYS)
    for flag in range(_WORD):
        if seccomp.NAMESPACE_FLAGS & 1 << flag:
            yield _refuse("clone", _bits(0, 1 << flag, 1 << flag))
    for request in seccomp.TERMINAL_IOCTLS:
        yield _refuse("ioctl", _bits(1, 2**_WORD - 1, request))
    for others in _none_of(0, seccomp.PERSONALITIES):
        yield _refuse("personality", others)
    yield _refuse("prlimit64", _other_than_zero(0), _other_than_zero(2))
    # The limit of core dumps only seems to be set, whoever asks.
    own, core = _bits(0, 2**_WORD - 1, 0), _bits(1, 2**_WORD - 1, seccomp.CORE)
    yield _refuse("prlimit64", own, core, _other_than_zero(2), error=0)
    yield _refuse("setrlimit", _bits(0, 2**_WORD - 1, seccomp.CORE), error=0)
    yield from _socket_rules()


def _socket_rules() -> Iterator[Mapping[str, Any]]:
    internet = (socket.AF_INET, socket.AF_INET6)
    families = (socket.AF_UNIX, *internet, socket.AF_NETLINK)
    for others in _none_of(0, families):
        yield _refuse("socket", others, error=errno.EAFNOSUPPORT)
    netlink = _bits(0, 2**_WORD - 1, socket.AF_NETLINK)
    yield _refuse("socket", netlink, _other_than_zero(2), error=errno.EPROTONOSUPPORT)
    plain = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    for number in internet:
        family = _bits(0, 2**_WORD - 1, number)
        for kind in range(2**_TYPE_BITS):
            typed = _bits(1, 2**_TYPE_BITS - 1, kind)
            if kind not in plain:
                yield _refuse("socket", family, typed)
                continue
            for others in _none_of(2, seccomp.INTERNET_PROTOCOLS):
                yield _refuse("socket", family, typed, others, error=errno.EPROTONOSUPPORT)


def _refuse(*words: str | Comparison, error: int = errno.EPERM) -> Mapping[str, Any]:
    return {
        "names": [word for word in words if isinstance(word, str)],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": error,
        "args": [word for word in words if not isinstance(word, str)],
    }


def _bits(index: int, mask: int, value: int) -> Comparison:
    return {"index": index, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value}


def _other_than_zero(index: int) -> Comparison:
    return {"index": index, "op": "SCMP_CMP_NE", "value": 0, "valueTwo": 0}


def _none_of(index: int, values: Collection[int]) -> Iterator[Comparison]:
    """Comparisons of which exactly one holds when the argument is none of `values`.

    Halves of the range that hold one of them are halved again, the others are compared as a whole.
    """
    bits = max(values).bit_length()
    if bits < _WORD:
        yield {"index": index, "op": "SCMP_CMP_GE", "value": 1 << bits, "valueTwo": 0}
    waiting = [(0, 0, bits)]
    while waiting:
        mask, leading, left = waiting.pop()
        if not any(value & mask == leading for value in values):
            yield _bits(index, mask, leading)
        elif left:
            bit = 1 << left - 1
            waiting += [(mask | bit, leading, left - 1), (mask | bit, leading | bit, left - 1)]
