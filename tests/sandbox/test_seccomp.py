"""The system call filter, run by a small interpreter of its instructions."""

import errno
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import seccomp
from sandbox.contract import Unavailable

ALLOW = "allow"
KILL = "kill"
PRETEND = "pretend"
MACHINES = sorted(seccomp.MACHINES)
NEWUSER = 0x10000000
NUMBERS = {
    "x86_64": {
        "read": 0,
        "clone": 56,
        "clone3": 435,
        "socket": 41,
        "ioctl": 16,
        "personality": 135,
        "setrlimit": 160,
        "prlimit64": 302,
    },
    "aarch64": {
        "read": 63,
        "clone": 220,
        "clone3": 435,
        "socket": 198,
        "ioctl": 29,
        "personality": 92,
        "setrlimit": 164,
        "prlimit64": 261,
    },
}


def decide(machine: str, number: int, *arguments: int, audit: int | None = None) -> str:
    """What the filter for `machine` answers to a system call."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack(
        "<IIQ6Q",
        number & 0xFFFFFFFF,
        seccomp.MACHINES[machine].audit if audit is None else audit,
        0,
        *(word & 0xFFFFFFFFFFFFFFFF for word in words),
    )
    answer = interpret(seccomp.program(machine), data)
    if answer == 0x7FFF0000:
        return ALLOW
    if answer == 0x80000000:
        return KILL
    assert answer & 0xFFFF0000 == 0x00050000
    return errno.errorcode[answer & 0xFFFF] if answer & 0xFFFF else PRETEND


def interpret(program: bytes, data: bytes) -> int:
    code = list(struct.iter_unpack("<HBBI", program))
    place, accumulator = 0, 0
    while True:
        operation, if_true, if_false, value = code[place]
        place += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x54:
                accumulator &= value
            case 0x06:
                return value
            case 0x15:
                place += if_true if accumulator == value else if_false
            case 0x35:
                place += if_true if accumulator >= value else if_false
            case 0x45:
                place += if_true if accumulator & value else if_false
            case _:
                raise AssertionError(operation)


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, 0x3FFFFFFF) | st.integers(0, 500))
def test_a_call_is_denied_exactly_if_the_list_says_so(machine: str, number: int):
    column = seccomp.MACHINES[machine].column
    denied = {numbers[column] for numbers in seccomp.DENIED.values()}
    examined = {NUMBERS[machine][name] for name in NUMBERS[machine] if name != "read"}
    if number not in examined:
        assert decide(machine, number) == ("EPERM" if number in denied else ALLOW)


@pytest.mark.parametrize("machine", MACHINES)
def test_no_number_is_listed_twice(machine: str):
    column = seccomp.MACHINES[machine].column
    numbers = [each[column] for each in seccomp.DENIED.values() if each[column] is not None]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("machine", MACHINES)
@given(audit=st.integers(0, 0xFFFFFFFF))
def test_another_architecture_is_killed(machine: str, audit: int):
    expected = ALLOW if audit == seccomp.MACHINES[machine].audit else KILL
    assert decide(machine, NUMBERS[machine]["read"], audit=audit) == expected


@given(number=st.integers(0x40000000, 0xFFFFFFFF))
def test_x32_is_killed(number: int):
    assert decide("x86_64", number) == KILL


@pytest.mark.parametrize("machine", MACHINES)
@given(flags=st.integers(0, 0xFFFFFFFFFFFFFFFF))
def test_clone_makes_processes_but_no_namespaces(machine: str, flags: int):
    expected = "EPERM" if flags & seccomp.NAMESPACE_FLAGS else ALLOW
    assert decide(machine, NUMBERS[machine]["clone"], flags) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_what_an_ordinary_fork_or_thread_asks_is_allowed(machine: str):
    for flags in (0x01200011, 0x003D0F00, 0x4111):
        assert decide(machine, NUMBERS[machine]["clone"], flags) == ALLOW
    assert decide(machine, NUMBERS[machine]["clone"], NEWUSER | 17) == "EPERM"
    assert decide(machine, NUMBERS[machine]["clone3"]) == "ENOSYS"


UPPER_HALF = 0xABCD << 32


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ((1, 1, 0), ALLOW),  # AF_UNIX
        ((2, 1, 6), ALLOW),  # TCP
        ((2, 0x80801, 0), ALLOW),  # with SOCK_CLOEXEC and SOCK_NONBLOCK
        ((10, 2, 17), ALLOW),  # UDP over IPv6
        ((2, 2, 1), ALLOW),  # an unprivileged ping
        ((2, 3, 1), "EPERM"),  # a raw socket
        ((2, 5, 132), "EPERM"),  # SCTP
        ((2, 1, 132), "EPROTONOSUPPORT"),
        ((2, 6, 33), "EPERM"),  # DCCP
        ((16, 3, 0), ALLOW),  # NETLINK_ROUTE
        ((16, 3, 12), "EPROTONOSUPPORT"),  # NETLINK_NETFILTER
        ((17, 3, 0), "EAFNOSUPPORT"),  # AF_PACKET
        ((38, 5, 0), "EAFNOSUPPORT"),  # AF_ALG
        ((40, 1, 0), "EAFNOSUPPORT"),  # AF_VSOCK
        ((UPPER_HALF | 40, 1, 0), "EAFNOSUPPORT"),
        ((44, 3, 0), "EAFNOSUPPORT"),  # AF_XDP
    ],
)
def test_sockets_are_those_of_ordinary_programs(
    machine: str, arguments: Sequence[int], answer: str
):
    assert decide(machine, NUMBERS[machine]["socket"], *arguments) == answer


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("request_number", seccomp.TERMINAL_IOCTLS)
def test_typing_for_others_is_denied_whatever_the_upper_half_says(
    machine: str, request_number: int
):
    ioctl = NUMBERS[machine]["ioctl"]
    assert decide(machine, ioctl, 0, request_number) == "EPERM"
    assert decide(machine, ioctl, 0, request_number | UPPER_HALF) == "EPERM"
    assert decide(machine, ioctl, 0, 0x5401) == ALLOW  # TCGETS


@pytest.mark.parametrize("machine", MACHINES)
def test_the_personality_may_be_asked_but_not_changed(machine: str):
    personality = NUMBERS[machine]["personality"]
    assert decide(machine, personality, 0xFFFFFFFF) == ALLOW
    assert decide(machine, personality, 0) == ALLOW
    assert decide(machine, personality, 0x0040000) == "EPERM"


@pytest.mark.parametrize("machine", MACHINES)
@given(pid=st.integers(1, 2**32 - 1), new=st.integers(1, 2**64 - 1))
def test_limits_of_others_may_be_asked_but_not_set(machine: str, pid: int, new: int):
    prlimit = NUMBERS[machine]["prlimit64"]
    assert decide(machine, prlimit, 0, 7, new, 0) == ALLOW
    assert decide(machine, prlimit, pid, 7, 0, new) == ALLOW
    assert decide(machine, prlimit, pid, 7, new, 0) == "EPERM"


@pytest.mark.parametrize("machine", MACHINES)
def test_the_limit_of_core_dumps_is_asked_but_only_seems_to_be_set(machine: str):
    setrlimit, prlimit = NUMBERS[machine]["setrlimit"], NUMBERS[machine]["prlimit64"]
    assert decide(machine, setrlimit, 4, 0x1000) == PRETEND
    assert decide(machine, setrlimit, 7, 0x1000) == ALLOW
    assert decide(machine, prlimit, 0, 4, UPPER_HALF) == PRETEND
    assert decide(machine, prlimit, 0, 4, 0, 0x1000) == ALLOW


def test_a_machine_without_a_table_is_refused():
    with pytest.raises(Unavailable, match="riscv64"):
        seccomp.program("riscv64")
