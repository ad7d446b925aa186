"""Attempts to get out, run inside a sandbox: each prints in a few words how far it came.

Standard library only; read by ``outpost.py`` and never imported. An error is told by its name
(``EPERM``), success by what was gained, beginning with ``got``.
"""

# An attempt should read like the system call it makes.
# ruff: noqa: PTH109, PTH110, PTH115, PTH118, PTH123, PTH208

import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Place = dict[str, Any]
"""What the outpost tells about itself."""

X86 = platform.machine() == "x86_64"
libc = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *arguments: object) -> str:
    """Make a system call; its error by name, or what it gave."""
    number = x86 if X86 else arm
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    given = libc.syscall(ctypes.c_long(number), *words)
    return f"got {given}" if given != -1 else errno.errorcode[ctypes.get_errno()]


def attempt(action: Callable[..., object], *arguments: object) -> str:
    """Do something; its error by name, or what it gave."""
    try:
        return f"got {action(*arguments)}"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def in_child(action: Callable[[], object]) -> str:
    """Do something that may be fatal in a child; the signal that killed it, or what it gave."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(action()).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return os.read(reader, 1000).decode()


def open_to_write(path: str) -> str:
    return attempt(os.open, path, os.O_WRONLY)


def status_of(pid: object, *names: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return " ".join(fields[name].strip() for name in names)


# Mounts, namespaces, handles


def probe_mount(_: Place) -> str:
    return call(165, 40, b"none", b"/mnt/memory", b"tmpfs", 0, 0)


def probe_umount(_: Place) -> str:
    return call(166, 39, b"/workspace", 0)


def probe_new_mount_interface(_: Place) -> str:
    return " ".join((call(430, 430, b"tmpfs", 0), call(428, 428, -100, b"/", 0)))


def probe_pivot_root(_: Place) -> str:
    return call(155, 41, b"/workspace", b"/workspace")


def probe_chroot(_: Place) -> str:
    return attempt(os.chroot, "/workspace")


def probe_unshare_user(_: Place) -> str:
    return call(272, 97, 0x10000000)


def probe_clone_user(_: Place) -> str:
    return in_child(lambda: call(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0))


def probe_clone3(_: Place) -> str:
    return call(435, 435, ctypes.create_string_buffer(88), 88)


def probe_setns(_: Place) -> str:
    return call(308, 268, os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)


def probe_open_by_handle(_: Place) -> str:
    return call(304, 265, os.open("/workspace", 0), ctypes.create_string_buffer(64), 0)


# The kernel


def probe_bpf(_: Place) -> str:
    return call(321, 280, 0, ctypes.create_string_buffer(64), 64)


def probe_io_uring(_: Place) -> str:
    return call(425, 425, 8, ctypes.create_string_buffer(120))


def probe_userfaultfd(_: Place) -> str:
    return call(323, 282, 0)


def probe_perf(_: Place) -> str:
    return call(298, 241, ctypes.create_string_buffer(128), 0, -1, -1, 0)


def probe_keys(_: Place) -> str:
    return " ".join((call(250, 219, 0, -3, 0), call(248, 217, b"user", b"a", b"b", 1, -3)))


def probe_modules(_: Place) -> str:
    return " ".join((call(175, 105, b"", 0, b""), call(246, 104, 0, 0, 0, 0)))


def probe_kernel_log(_: Place) -> str:
    return call(103, 116, 3, ctypes.create_string_buffer(64), 64)


def probe_personality(_: Place) -> str:
    return call(135, 92, 0x0040000)


def probe_other_architecture(_: Place) -> str:
    if not X86:
        return "SIGSYS"

    def run() -> int:
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid as a 32-bit program asks
        place = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return ctypes.CFUNCTYPE(ctypes.c_int)(place)()

    return in_child(run)


def probe_x32(_: Place) -> str:
    return in_child(lambda: call(0x40000000 + 39, 0)) if X86 else "SIGSYS"


def probe_core_pattern(_: Place) -> str:
    return open_to_write("/proc/sys/kernel/core_pattern")


def probe_sysrq(_: Place) -> str:
    return open_to_write("/proc/sysrq-trigger")


def probe_kernel_memory(_: Place) -> str:
    return attempt(os.open, "/proc/kcore", os.O_RDONLY)


def probe_kernel_addresses(_: Place) -> str:
    with open("/proc/kallsyms") as symbols:
        return "zero" if int(symbols.readline().split()[0], 16) == 0 else "got addresses"


def probe_sys(_: Place) -> str:
    return attempt(os.listdir, "/sys")


def probe_cgroups(_: Place) -> str:
    return str(sum("cgroup" in line for line in open("/proc/mounts")))


# Other processes


def probe_ptrace(_: Place) -> str:
    return call(101, 117, 16, 1, 0, 0)


def probe_process_memory(_: Place) -> str:
    buffer = ctypes.create_string_buffer(32)
    return call(310, 270, 1, buffer, 1, buffer, 1, 0)


def probe_descriptors_of_others(_: Place) -> str:
    return call(438, 438, os.pidfd_open(1), 0, 0)


def probe_kill_the_first_process(_: Place) -> str:
    os.kill(1, signal.SIGKILL)
    os.kill(1, 0)
    return "it lives"


def probe_visible_processes(_: Place) -> str:
    return str(len([name for name in os.listdir("/proc") if name.isdigit()]) <= 3)


def probe_canary(place: Place) -> str:
    canary = place["canary"].encode()[::-1]  # it is not on this command line as it is
    found = []
    for name in ("environ", "cmdline"):
        for process in filter(str.isdigit, os.listdir("/proc")):
            data = Path(f"/proc/{process}/{name}").read_bytes()
            if canary in data:
                found.append(f"{process}/{name}")
    return f"got {found}" if found else "absent"


def probe_inherited_descriptors(_: Place) -> str:
    own = os.listdir("/proc/self/fd")
    return str([name for name in own if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}")])


def probe_descriptors_of_the_first_process(_: Place) -> str:
    """Nothing there leads to a file of the host."""
    links = [os.readlink(entry.path) for entry in os.scandir("/proc/1/fd")]
    plain = ("socket:", "pipe:", "anon_inode:", "/dev/null", "/opt/wharfkeep/", "/proc/1/")
    return str([link for link in links if not link.startswith(plain)])


def probe_executables(_: Place) -> str:
    return " ".join(
        (
            attempt(os.open, "/proc/self/exe", os.O_WRONLY),
            attempt(os.open, "/proc/1/exe", os.O_WRONLY),
        )
    )


def probe_status(_: Place) -> str:
    own = status_of(
        "self", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"
    )
    first = status_of(1, "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    return str(own == first == " ".join(["0" * 16] * 5 + ["1", "2"]))


def probe_become_root(_: Place) -> str:
    return " ".join((attempt(os.setuid, 0), attempt(os.setgid, 0), attempt(os.setgroups, [0])))


def probe_setuid_bit(_: Place) -> str:
    copy = Path("/workspace/id")
    copy.write_bytes(Path("/usr/bin/id").read_bytes())
    copy.chmod(0o6755)
    return subprocess.run([copy, "-u"], capture_output=True, text=True, check=True).stdout.strip()


# Files


def probe_workdir(_: Place) -> str:
    return os.getcwd()


def probe_dotdot(_: Place) -> str:
    here = os.open("/workspace", os.O_RDONLY)
    up = os.open("../../../..", os.O_RDONLY, dir_fd=here)
    return str(sorted(os.listdir(up)) == sorted(os.listdir("/")))


def probe_system_is_read_only(_: Place) -> str:
    places = (
        "/usr",
        "/etc",
        "/opt/wharfkeep",
        "/opt/wharfkeep/gateway",
        "/",
        "/dev",
        "/var",
        "/home",
    )
    answers = {attempt(os.open, f"{place}/x", os.O_CREAT | os.O_WRONLY, 0o600) for place in places}
    answers.add(attempt(os.rename, "/opt/wharfkeep", "/opt/other"))
    answers.add(open_to_write("/opt/wharfkeep/program.pyz"))
    return " ".join(sorted(answers))


def probe_remaining_etc(_: Place) -> str:
    known = {
        *("alternatives", "ca-certificates", "group", "hostname", "hosts", "ld.so.cache"),
        *("localtime", "nsswitch.conf", "passwd", "pki", "resolv.conf", "ssl"),
    }
    return str(sorted(set(os.listdir("/etc")) - known))


def probe_secrets_of_the_host(_: Place) -> str:
    places = "/root /etc/shadow /etc/sudoers /home/agent/.ssh /var/lib /srv /boot /etc/ssl/private"
    return str(
        [place for place in places.split() if os.path.exists(place)]
        + [name for name in os.listdir("/home") if name != "agent"]
    )


def probe_sockets_of_daemons(_: Place) -> str:
    found = []
    for top in ("/run", "/var", "/tmp", "/opt", "/home", "/mnt"):
        for directory, _subdirectories, names in os.walk(top):
            for name in names:
                path = os.path.join(directory, name)
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    found.append(path)
    return str(found)


def probe_devices(_: Place) -> str:
    known = {
        *("core", "fd", "full", "null", "ptmx", "pts", "random", "shm"),
        *("stderr", "stdin", "stdout", "tty", "urandom", "zero"),
    }
    return str(sorted(set(os.listdir("/dev")) - known))


def probe_make_device(_: Place) -> str:
    return attempt(os.mknod, "/workspace/disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))


# Terminals


def probe_controlling_terminal(_: Place) -> str:
    return attempt(os.open, "/dev/tty", os.O_RDWR)


def probe_type_for_others(_: Place) -> str:
    import fcntl
    import pty

    _master, terminal = pty.openpty()
    return " ".join(
        (
            attempt(fcntl.ioctl, terminal, 0x5412, b"x"),
            attempt(fcntl.ioctl, terminal, 0x541C, b"\3"),
        )
    )


# Networks


def probe_socket_families(_: Place) -> str:
    families = (40, 17, 38, 16)  # VSOCK, PACKET, ALG, and NETLINK for something else than routes
    kinds = (1, 3, 5, 3)
    protocols = (0, 0, 0, 12)
    return " ".join(
        attempt(socket.socket, *each) for each in zip(families, kinds, protocols, strict=True)
    )


def probe_rare_protocols(_: Place) -> str:
    return " ".join(
        (
            attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
            attempt(socket.socket, socket.AF_INET, socket.SOCK_SEQPACKET, 132),
            attempt(socket.socket, socket.AF_INET, socket.SOCK_STREAM, 132),
        )
    )


def connect(address: tuple[str, int]) -> str:
    with socket.socket() as dialled:
        dialled.settimeout(5)
        return attempt(dialled.connect, address)


def probe_metadata_address(_: Place) -> str:
    return " ".join(
        {connect((host, 80)) for host in ("169.254.169.254", "100.100.100.200", "168.63.129.16")}
    )


def probe_internet(_: Place) -> str:
    return connect(("1.1.1.1", 443))


def probe_loopback_of_the_host(place: Place) -> str:
    return connect(("127.0.0.1", place["port"]))


def probe_names(_: Place) -> str:
    try:
        socket.getaddrinfo("example.com", 80)
    except socket.gaierror:
        return "no answer"
    return "got an address"


def probe_abstract_sockets_of_the_host(place: Place) -> str:
    with socket.socket(socket.AF_UNIX) as dialled:
        return attempt(dialled.connect, "\0" + place["abstract"])


def probe_interfaces(_: Place) -> str:
    return str(sorted(name for _, name in socket.if_nameindex()))


# Limits


def probe_core_dumps(_: Place) -> str:
    return str(resource.getrlimit(resource.RLIMIT_CORE))


def probe_open_files(_: Place) -> str:
    opened = []
    try:
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return f"{errno.errorcode[error.errno or 0]} {len(opened) < 512}"


def probe_raise_limits(_: Place) -> str:
    kinds = (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)
    answers = set()
    for kind in kinds:
        try:
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            answers.add("got more")
        except (ValueError, OSError):
            answers.add("refused")
    return " ".join(answers)


def probe_file_size(_: Place) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open("/workspace/large", "wb") as file:
        return attempt(lambda: os.pwrite(file.fileno(), b"x", 32 * 1024**2))


def probe_memory_directories(_: Place) -> str:
    answers = []
    for place in ("/tmp", "/run", "/dev/shm"):
        file = Path(place, "large")
        answers.append(attempt(file.write_bytes, bytes(12 * 1024**2)))
        file.unlink()
    return " ".join(answers)


def probe_processes(_: Place) -> str:
    """Fork until it is refused; the pipe keeps the children waiting for their end."""
    reader, writer = os.pipe()
    children = 0
    answer = "got 600"
    for _attempt in range(600):
        try:
            child = os.fork()
        except OSError as error:
            answer = errno.errorcode[error.errno or 0]
            break
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        children += 1
    os.close(writer)
    for _child in range(children):
        os.wait()
    return f"{answer} {children < 100}"


def probe_memory(_: Place) -> str:
    def eat() -> int:
        return len(bytearray(os.urandom(1024)) * 1024 * 1024)

    return in_child(eat)


if __name__ == "__main__":
    print(globals()[f"probe_{sys.argv[1]}"](json.loads(sys.argv[2])))  # noqa: T201 - the answer
