"""The system call filter of a sandbox: a deny list as data, and the assembler that compiles it.

What a program inside may ask of the kernel. The list names what has no place in a sandbox:
mounts, namespaces, modules, tracing, keys, io_uring and the like. Everything else is allowed:
this is one of several walls, not the only one. The output is classic BPF for ``bwrap --seccomp``;
nothing here talks to the kernel.
"""

import errno
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TypeAlias

from sandbox.contract import Unavailable

Code: TypeAlias = tuple[bytes, ...]
"""Instructions in order; a jump counts instructions from the one after it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor family: how the kernel names it, and its column in the tables below."""

    audit: int
    column: int


MACHINES: Mapping[str, Machine] = MappingProxyType(
    {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1)}
)

DENIED: Mapping[str, tuple[int | None, int | None]] = MappingProxyType(
    {
        # Mounts: the view of the file system is made outside and stays as it was made.
        "mount": (165, 40),
        "umount2": (166, 39),
        "pivot_root": (155, 41),
        "chroot": (161, 51),
        "open_tree": (428, 428),
        "move_mount": (429, 429),
        "fsopen": (430, 430),
        "fsconfig": (431, 431),
        "fsmount": (432, 432),
        "fspick": (433, 433),
        "mount_setattr": (442, 442),
        "open_tree_attr": (467, 467),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
        "fanotify_init": (300, 262),
        # Files by handle escape the view altogether.
        "name_to_handle_at": (303, 264),
        "open_by_handle_at": (304, 265),
        # Namespaces: each opens kernel code that is otherwise root's alone.
        "unshare": (272, 97),
        "setns": (308, 268),
        # The kernel itself.
        "kexec_load": (246, 104),
        "kexec_file_load": (320, 294),
        "init_module": (175, 105),
        "finit_module": (313, 273),
        "delete_module": (176, 106),
        "create_module": (174, None),
        "reboot": (169, 142),
        "swapon": (167, 224),
        "swapoff": (168, 225),
        "acct": (163, 89),
        "syslog": (103, 116),
        "lookup_dcookie": (212, 18),
        "nfsservctl": (180, 42),
        "settimeofday": (164, 170),
        "clock_settime": (227, 112),
        "sethostname": (170, 161),
        "setdomainname": (171, 162),
        "vhangup": (153, 58),
        "iopl": (172, None),
        "ioperm": (173, None),
        "modify_ldt": (154, None),
        "uselib": (134, None),
        "ustat": (136, None),
        "sysfs": (139, None),
        "_sysctl": (156, None),
        # Large interfaces with a history.
        "bpf": (321, 280),
        "perf_event_open": (298, 241),
        "userfaultfd": (323, 282),
        "io_uring_setup": (425, 425),
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
        "add_key": (248, 217),
        "request_key": (249, 218),
        "keyctl": (250, 219),
        "move_pages": (279, 239),
        "migrate_pages": (256, 238),
        # Other processes' memory and descriptors: the program inside shares its user with them.
        "ptrace": (101, 117),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "pidfd_getfd": (438, 438),
        "kcmp": (312, 272),
    }
)
"""Answered ``EPERM``: system call -> its number on x86_64 and on aarch64."""

_EXAMINED: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "clone": (56, 220),
        "clone3": (435, 435),
        "socket": (41, 198),
        "ioctl": (16, 29),
        "personality": (135, 92),
        "setrlimit": (160, 164),
        "prlimit64": (302, 261),
    }
)
"""Decided by their arguments, each by a function below."""

NAMESPACE_FLAGS = 0x7E020000
"""NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; NEWTIME is none of ``clone``'s."""

TERMINAL_IOCTLS = (0x5412, 0x541C, 0x541D, 0x5423)
"""TIOCSTI and TIOCLINUX type for others; TIOCCONS takes the console; TIOCSETD loads modules."""

CORE = 4
"""``RLIMIT_CORE``, which stays what `sandbox.limits` made it: setting it only seems to work."""

PERSONALITIES = (0, 0xFFFFFFFF)
"""The plain one, and the question which one is set."""

_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _DATAGRAM = 1, 2
INTERNET_PROTOCOLS = (0, 1, 6, 17, 58)
"""Whatever the type implies, ICMP, TCP, UDP, ICMPv6: not SCTP, DCCP and other rare code."""

_X32 = 0x40000000
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16


def program(machine: str | None = None) -> bytes:
    """Compile the filter for `machine` (as ``uname -m`` says it; this one by default).

    Raises:
        Unavailable: There is no table for this kind of machine.
    """
    name = machine or platform.machine()
    if name not in MACHINES:
        raise Unavailable(f"no system call filter for {name}; use an x86_64 or aarch64 machine")
    return _compile(name)


@cache
def _compile(name: str) -> bytes:
    machine = MACHINES[name]
    code = (
        *_load(_ARCHITECTURE),
        *_unless_equal(machine.audit, _answer(_KILL)),
        *_load(_NUMBER),
        *(_when_at_least(_X32, _answer(_KILL)) if name == "x86_64" else ()),
    )
    for numbers in DENIED.values():
        number = numbers[machine.column]
        if number is not None:
            code += _when_equal(number, _refuse(errno.EPERM))
    for call, body in _examinations().items():
        code += _when_equal(_EXAMINED[call][machine.column], body)
    return b"".join((*code, *_answer(_ALLOW)))


def _examinations() -> Mapping[str, Code]:
    return {
        "clone": _examine_clone(),
        # Its flags are in memory, which a filter cannot read. ENOSYS makes the C library use clone.
        "clone3": _refuse(errno.ENOSYS),
        "socket": _examine_socket(),
        "ioctl": _examine_ioctl(),
        "personality": _examine_personality(),
        "setrlimit": _examine_setrlimit(),
        "prlimit64": _examine_prlimit(),
    }


def _examine_clone() -> Code:
    return (
        *_load_argument(0),
        *_when_any_bit(NAMESPACE_FLAGS, _refuse(errno.EPERM)),
        *_answer(_ALLOW),
    )


def _examine_socket() -> Code:
    internet = (
        *_load_argument(1),
        *_mask(0xF),  # the upper bits are SOCK_CLOEXEC and SOCK_NONBLOCK
        *_unless_any((_STREAM, _DATAGRAM), _refuse(errno.EPERM)),
        *_load_argument(2),
        *_unless_any(INTERNET_PROTOCOLS, _refuse(errno.EPROTONOSUPPORT)),
        *_answer(_ALLOW),
    )
    netlink = (  # getifaddrs asks NETLINK_ROUTE; the other protocols are for administrators
        *_load_argument(2),
        *_unless_equal(0, _refuse(errno.EPROTONOSUPPORT)),
        *_answer(_ALLOW),
    )
    return (
        *_load_argument(0),
        *_when_equal(_UNIX, _answer(_ALLOW)),
        *_when_equal(_NETLINK, netlink),
        *_unless_any((_INET, _INET6), _refuse(errno.EAFNOSUPPORT)),
        *internet,
    )


def _examine_ioctl() -> Code:
    # The kernel looks at the lower half of the request only, and so does the filter.
    code = _load_argument(1)
    for request in TERMINAL_IOCTLS:
        code += _when_equal(request, _refuse(errno.EPERM))
    return (*code, *_answer(_ALLOW))


def _examine_personality() -> Code:
    return (
        *_load_argument(0),
        *_unless_any(PERSONALITIES, _refuse(errno.EPERM)),
        *_answer(_ALLOW),
    )


def _examine_setrlimit() -> Code:
    return (
        *_load_argument(0),
        *_when_equal(CORE, _pretend()),
        *_answer(_ALLOW),
    )


def _examine_prlimit() -> Code:
    """Let any limit be asked; those of others, such as the program inside, are not set."""
    change = (
        *_load_argument(0),
        *_unless_equal(0, _refuse(errno.EPERM)),
        *_load_argument(1),
        *_when_equal(CORE, _pretend()),
        *_answer(_ALLOW),
    )
    return (
        *_load_argument(2),
        *_unless_equal(0, change),
        *_load(_ARGUMENTS + 8 * 2 + 4),  # the upper half of the pointer
        *_unless_equal(0, change),
        *_answer(_ALLOW),
    )


def _instruction(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", operation, if_true, if_false, value)


def _load(offset: int) -> Code:
    return (_instruction(0x20, offset),)


def _load_argument(index: int) -> Code:
    """Load the lower half of an argument; both machines are little-endian."""
    return _load(_ARGUMENTS + 8 * index)


def _mask(bits: int) -> Code:
    return (_instruction(0x54, bits),)


def _answer(action: int) -> Code:
    return (_instruction(0x06, action),)


def _refuse(error: int) -> Code:
    return _answer(_ERRNO | error)


def _pretend() -> Code:
    """Do nothing and say that it went well: programs that cannot do without stop there."""
    return _answer(_ERRNO)


def _when_equal(value: int, body: Code) -> Code:
    return (_instruction(0x15, value, 0, len(body)), *body)


def _unless_equal(value: int, body: Code) -> Code:
    return (_instruction(0x15, value, len(body), 0), *body)


def _when_at_least(value: int, body: Code) -> Code:
    return (_instruction(0x35, value, 0, len(body)), *body)


def _when_any_bit(mask: int, body: Code) -> Code:
    return (_instruction(0x45, mask, 0, len(body)), *body)


def _unless_any(values: tuple[int, ...], body: Code) -> Code:
    """Run `body` when the loaded word is none of `values`."""
    code: Code = ()
    for left, value in enumerate(reversed(values)):
        code = (_instruction(0x15, value, left + len(body), 0), *code)
    return (*code, *body)
