"""Attempts to get out, run inside a sandbox: each tells in a few words how far it came.

``attempts.py PLACE`` makes every attempt, each in a child of its own, and prints a line of JSON for
each, ``[NAME, ANSWER]``. Standard library only; read by ``outpost.py`` and never imported. An error
is told by its name (``EPERM``), success by what was gained, beginning with ``got``.
"""

# An attempt should read like the system call it makes.
# ruff: noqa: PTH110, PTH115, PTH118, PTH123, PTH208

import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Place = dict[str, Any]
"""What the outpost tells: secrets written backwards, addresses, the neighbour's name."""

SECONDS = 20.0

X86 = platform.machine() == "x86_64"
libc = ctypes.CDLL(None, use_errno=True)


def call(x86: int, arm: int, *arguments: object) -> str:
    """Make a system call; its error by name, or what it gave."""
    number = x86 if X86 else arm
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    given = libc.syscall(ctypes.c_long(number), *words)
    return f"got {given}" if given != -1 else errno.errorcode[ctypes.get_errno()]


def tried(action: Callable[..., object], *arguments: object) -> str:
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
    return tried(os.open, path, os.O_WRONLY)


def each(answers: Iterable[str]) -> str:
    """What several attempts of one kind gave, each outcome once."""
    return " ".join(sorted(set(answers)))


def processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def read(path: str, size: int = -1) -> bytes:
    """What is in a regular file, as far as it can be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read(size) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return b""


def target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def status_of(pid: object, *names: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return " ".join(fields[name].strip() for name in names)


# Mounts, namespaces, handles


def attempt_mount(_: Place) -> str:
    return call(165, 40, b"none", b"/mnt/memory", b"tmpfs", 0, 0)


def attempt_umount(_: Place) -> str:
    return call(166, 39, b"/workspace", 0)


def attempt_new_mount_interface(_: Place) -> str:
    return " ".join((call(430, 430, b"tmpfs", 0), call(428, 428, -100, b"/", 0)))


def attempt_pivot_root(_: Place) -> str:
    return call(155, 41, b"/workspace", b"/workspace")


def attempt_chroot(_: Place) -> str:
    return tried(os.chroot, "/workspace")


def attempt_unshare_user(_: Place) -> str:
    return call(272, 97, 0x10000000)


def attempt_clone_user(_: Place) -> str:
    return in_child(lambda: call(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0))


def attempt_clone3(_: Place) -> str:
    return call(435, 435, ctypes.create_string_buffer(88), 88)


def attempt_setns(_: Place) -> str:
    return call(308, 268, os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)


def attempt_open_by_handle(_: Place) -> str:
    return call(304, 265, os.open("/workspace", 0), ctypes.create_string_buffer(64), 0)


# The kernel


def attempt_bpf(_: Place) -> str:
    return call(321, 280, 0, ctypes.create_string_buffer(64), 64)


def attempt_io_uring(_: Place) -> str:
    return call(425, 425, 8, ctypes.create_string_buffer(120))


def attempt_userfaultfd(_: Place) -> str:
    return call(323, 282, 0)


def attempt_perf(_: Place) -> str:
    return call(298, 241, ctypes.create_string_buffer(128), 0, -1, -1, 0)


def attempt_keys(_: Place) -> str:
    return " ".join((call(250, 219, 0, -3, 0), call(248, 217, b"user", b"a", b"b", 1, -3)))


def attempt_modules(_: Place) -> str:
    return " ".join((call(175, 105, b"", 0, b""), call(246, 104, 0, 0, 0, 0)))


def attempt_kernel_log(_: Place) -> str:
    return call(103, 116, 3, ctypes.create_string_buffer(64), 64)


def attempt_personality(_: Place) -> str:
    return call(135, 92, 0x0040000)


def attempt_other_architecture(_: Place) -> str:
    if not X86:
        return "SIGSYS"

    def run() -> int:
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid as a 32-bit program asks
        place = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return ctypes.CFUNCTYPE(ctypes.c_int)(place)()

    return in_child(run)


def attempt_x32(_: Place) -> str:
    return in_child(lambda: call(0x40000000 + 39, 0)) if X86 else "SIGSYS"


def attempt_core_pattern(_: Place) -> str:
    return open_to_write("/proc/sys/kernel/core_pattern")


def attempt_sysrq(_: Place) -> str:
    return open_to_write("/proc/sysrq-trigger")


def attempt_kernel_memory(_: Place) -> str:
    return tried(os.open, "/proc/kcore", os.O_RDONLY)


def attempt_kernel_addresses(_: Place) -> str:
    with open("/proc/kallsyms") as symbols:
        return "zero" if int(symbols.readline().split()[0], 16) == 0 else "got addresses"


def attempt_kernel_settings(_: Place) -> str:
    """No file below /proc/sys can be opened for writing."""
    got = []
    for directory, _subdirectories, names in os.walk("/proc/sys"):
        for name in names:
            path = os.path.join(directory, name)
            if Path(path).is_file() and open_to_write(path).startswith("got"):
                got.append(path)
    return str(got)


def attempt_hidden_proc(_: Place) -> str:
    """What tells this machine from others."""
    names = "cmdline diskstats interrupts key-users keys locks partitions"
    paths = [*names.split(), "sys/kernel/random/boot_id"]
    return str([path for path in paths if read(f"/proc/{path}")])


def attempt_sys(_: Place) -> str:
    return tried(os.listdir, "/sys")


def attempt_cgroups(_: Place) -> str:
    """None of their directories can be reached, mounted or not."""
    mounts = [line.split() for line in read("/proc/self/mounts").decode().splitlines()]
    return str([each[1] for each in mounts if "cgroup" in each[2] and os.path.exists(each[1])])


# Other processes


def attempt_ptrace(_: Place) -> str:
    return call(101, 117, 16, 1, 0, 0)


def attempt_process_memory(_: Place) -> str:
    buffer = ctypes.create_string_buffer(32)
    return call(310, 270, 1, buffer, 1, buffer, 1, 0)


def attempt_descriptors_of_others(_: Place) -> str:
    return call(438, 438, os.pidfd_open(1), 0, 0)


def attempt_open_the_first_process(_: Place) -> str:
    """Its memory holds the token with which channels are opened; its code is what answers."""
    names = (
        "mem maps environ fd/0 fdinfo ns/mnt ns/net cwd root exe auxv io stack syscall clear_refs"
    )
    return each(tried(os.open, f"/proc/1/{name}", os.O_RDONLY) for name in names.split())


def attempt_write_to_the_first_process(_: Place) -> str:
    names = "mem oom_score_adj coredump_filter comm"
    return each(open_to_write(f"/proc/1/{name}") for name in names.split())


def attempt_signal_the_first_process(_: Place) -> str:
    for number in sorted(signal.valid_signals()):
        os.kill(1, number)
    os.kill(1, 0)
    return "it lives"


def attempt_limit_the_first_process(_: Place) -> str:
    kinds = (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_AS)
    return each(tried(resource.prlimit, 1, kind, (0, 0)) for kind in kinds)


def attempt_find_the_token(place: Place) -> str:
    """In everything of other processes that can be read, and wherever a start might drop it."""
    token = place["token"].encode()[::-1]
    found = [
        f"{process}/{name}"
        for process in processes()
        for name in ("environ", "cmdline", "comm")
        if token in read(f"/proc/{process}/{name}")
    ]
    for top in ("/opt/wharfkeep", "/tmp", "/run", "/home/agent", "/mnt", "/dev/shm"):
        for directory, _subdirectories, names in os.walk(top):
            paths = (os.path.join(directory, name) for name in names)
            found += [path for path in paths if token in read(path, 10**6)]
    return f"got {found}" if found else "absent"


def attempt_guess_the_token(_: Place) -> str:
    """Whoever does not know it is hung up on without a word."""
    answers = []
    for words in ({"token": "guess"}, {"token": "guess", "channel": "1"}, {"channel": "1"}):
        with socket.socket(socket.AF_UNIX) as dialled:
            dialled.settimeout(10)
            dialled.connect("/opt/wharfkeep/gateway/socket")
            dialled.sendall(json.dumps(words).encode() + b"\n")
            answers.append(str(dialled.recv(100)))
    return each(answers)


def attempt_listen_for_others(_: Place) -> str:
    """The gateway's socket is not replaced by one that hears the token."""
    path = "/opt/wharfkeep/gateway/socket"
    with socket.socket(socket.AF_UNIX) as listener:
        return each(
            (
                tried(os.unlink, path),
                tried(os.rename, path, path + "2"),
                tried(listener.bind, path + "3"),
            )
        )


def attempt_visible_processes(_: Place) -> str:
    """The first, the one that runs these attempts, and its child."""
    return str(len(processes()) <= 4)


def attempt_canary(place: Place) -> str:
    """A secret of the gateway's environment, in that of any process inside."""
    canary = place["canary"].encode()[::-1]  # it is not on this command line as it is
    found = [
        f"{process}/{name}"
        for process in processes()
        for name in ("environ", "cmdline")
        if canary in read(f"/proc/{process}/{name}")
    ]
    return f"got {found}" if found else "absent"


def attempt_inherited_descriptors(_: Place) -> str:
    own = os.listdir("/proc/self/fd")
    return str([name for name in own if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}")])


def attempt_work_outside(_: Place) -> str:
    """Neither the directory nor a descriptor of any process leads to a file of the host."""
    plain = ("socket:", "pipe:", "anon_inode:", "/dev/null", "/proc/", "/workspace")
    links = [f"/proc/{process}/cwd" for process in processes()]
    for process in processes():
        try:
            links += [entry.path for entry in os.scandir(f"/proc/{process}/fd")]
        except PermissionError:
            continue
    return str([link for link in map(target, links) if link and not link.startswith(plain)])


def attempt_executables(_: Place) -> str:
    return each(open_to_write(f"/proc/{process}/exe") for process in ("self", 1))


def attempt_capabilities(_: Place) -> str:
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    return each(f"{status_of('self', *sets)} {status_of(1, *sets)}".split())


def attempt_new_privileges(_: Place) -> str:
    return f"{status_of('self', 'NoNewPrivs')} {status_of(1, 'NoNewPrivs')}"


def attempt_filter(_: Place) -> str:
    return f"{status_of('self', 'Seccomp')} {status_of(1, 'Seccomp')}"


def attempt_become_root(_: Place) -> str:
    return " ".join((tried(os.setuid, 0), tried(os.setgid, 0), tried(os.setgroups, [0])))


def attempt_setuid_bit(_: Place) -> str:
    copy = Path("/workspace/id")
    copy.write_bytes(Path("/usr/bin/id").read_bytes())
    copy.chmod(0o6755)
    told = subprocess.run([copy, "-u"], capture_output=True, text=True, check=True).stdout
    return "nothing gained" if int(told) == os.getuid() else f"got {told}"


# Files


def attempt_host_name(_: Place) -> str:
    return f"{socket.gethostname()} {read('/etc/hostname').decode().strip()}"


def attempt_writable_mounts(_: Place) -> str:
    """Only the layer and memory."""
    fields = [line.split() for line in read("/proc/self/mountinfo").decode().splitlines()]
    places = {place for _, _, _, _, place, *_ in fields if os.access(place, os.W_OK)}
    known = {"/workspace", "/mnt/session/outputs", "/home/agent", "/tmp", "/run", "/dev/shm"}
    known |= {"/dev/mqueue", "/dev/pts"}  # of its own namespaces
    return str(sorted(place for place in places - known if not Path(place).is_char_device()))


def attempt_the_neighbour_s_layer(place: Place) -> str:
    """What the host calls our layer is known from the mounts; it leads nowhere here."""
    places = [place["layers"], f"{place['layers']}/{place['neighbour']}"]
    return each(tried(os.listdir, path) for path in places)


def attempt_dotdot(_: Place) -> str:
    here = os.open("/workspace", os.O_RDONLY)
    up = os.open("../../../..", os.O_RDONLY, dir_fd=here)
    return str(sorted(os.listdir(up)) == sorted(os.listdir("/")))


def attempt_system_is_read_only(_: Place) -> str:
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
    answers = {tried(os.open, f"{place}/x", os.O_CREAT | os.O_WRONLY, 0o600) for place in places}
    answers.add(tried(os.rename, "/opt/wharfkeep", "/opt/other"))
    answers.add(open_to_write("/opt/wharfkeep/program.pyz"))
    return " ".join(sorted(answers))


def attempt_remaining_etc(_: Place) -> str:
    known = {
        *("alternatives", "ca-certificates", "group", "hostname", "hosts", "ld.so.cache"),
        *("localtime", "nsswitch.conf", "passwd", "pki", "resolv.conf", "ssl"),
    }
    found = [name for name in os.listdir("/etc") if not name.startswith("java-")]
    return str(sorted(set(found) - known))


def attempt_secrets_of_the_host(_: Place) -> str:
    places = "/root /etc/gshadow /etc/sudoers /home/agent/.ssh /etc/ssl/private /etc/ssh"
    return str(
        [place for place in places.split() if os.access(place, os.R_OK)]
        + [name for name in os.listdir("/home") if name != "agent"]
    )


def attempt_shadow(_: Place) -> str:
    return tried(os.open, "/etc/shadow", os.O_RDONLY)


def attempt_sockets_of_daemons(_: Place) -> str:
    found = []
    for top in ("/run", "/var", "/tmp", "/opt", "/home", "/mnt"):
        for directory, _subdirectories, names in os.walk(top):
            for name in names:
                path = os.path.join(directory, name)
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    found.append(path)
    return str(found)


def attempt_devices(_: Place) -> str:
    known = {
        *("core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"),
        *("stderr", "stdin", "stdout", "tty", "urandom", "zero"),
    }
    return str(sorted(set(os.listdir("/dev")) - known))


def attempt_make_device(_: Place) -> str:
    return tried(os.mknod, "/workspace/disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))


# Terminals


def attempt_controlling_terminal(_: Place) -> str:
    return tried(os.open, "/dev/tty", os.O_RDWR)


def attempt_type_for_others(_: Place) -> str:
    import fcntl
    import pty

    _master, terminal = pty.openpty()
    return " ".join(
        (
            tried(fcntl.ioctl, terminal, 0x5412, b"x"),
            tried(fcntl.ioctl, terminal, 0x541C, b"\3"),
        )
    )


# Networks


def attempt_socket_families(_: Place) -> str:
    families = (40, 17, 38, 16)  # VSOCK, PACKET, ALG, and NETLINK for something else than routes
    kinds = (1, 3, 5, 3)
    protocols = (0, 0, 0, 12)
    return " ".join(
        tried(socket.socket, *each) for each in zip(families, kinds, protocols, strict=True)
    )


def attempt_rare_protocols(_: Place) -> str:
    return " ".join(
        (
            tried(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
            tried(socket.socket, socket.AF_INET, socket.SOCK_SEQPACKET, 132),
            tried(socket.socket, socket.AF_INET, socket.SOCK_STREAM, 132),
        )
    )


def connect(address: tuple[str, int]) -> str:
    with socket.socket() as dialled:
        dialled.settimeout(5)
        return tried(dialled.connect, address)


def attempt_metadata_address(_: Place) -> str:
    return " ".join(
        {connect((host, 80)) for host in ("169.254.169.254", "100.100.100.200", "168.63.129.16")}
    )


def attempt_internet(_: Place) -> str:
    return connect(("1.1.1.1", 443))


def attempt_loopback_of_the_host(place: Place) -> str:
    return connect(("127.0.0.1", place["port"]))


def attempt_names(_: Place) -> str:
    try:
        socket.getaddrinfo("example.com", 80)
    except socket.gaierror:
        return "no answer"
    return "got an address"


def attempt_abstract_sockets_of_the_host(place: Place) -> str:
    with socket.socket(socket.AF_UNIX) as dialled:
        return tried(dialled.connect, "\0" + place["abstract"])


def attempt_datagrams(_: Place) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        answers = [tried(plain.sendto, b"x", ("1.1.1.1", 53))]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain:
        answers.append(tried(plain.sendto, b"x", ("2606:4700:4700::1111", 53)))
    return each(answers)


def attempt_interfaces(_: Place) -> str:
    return str(sorted(name for _, name in socket.if_nameindex()))


# Limits


def attempt_core_dumps(_: Place) -> str:
    """With a limit of 1 nothing is dumped, not even to the core handler of the host."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return f"{before} {resource.getrlimit(resource.RLIMIT_CORE)}"


def attempt_large_hole(_: Place) -> str:
    Path("/workspace/hole").touch()
    return tried(os.truncate, "/workspace/hole", 2**40)


def attempt_open_files(_: Place) -> str:
    opened = []
    try:
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return f"{errno.errorcode[error.errno or 0]} {len(opened) < 512}"


def attempt_raise_limits(_: Place) -> str:
    kinds = (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE)
    answers = set()
    for kind in kinds:
        try:
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            answers.add("got more")
        except (ValueError, OSError):
            answers.add("refused")
    return " ".join(answers)


def attempt_file_size(_: Place) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open("/workspace/large", "wb") as file:
        return tried(lambda: os.pwrite(file.fileno(), b"x", 32 * 1024**2))


def attempt_memory_directories(_: Place) -> str:
    answers = []
    for place in ("/tmp", "/run", "/dev/shm"):
        file = Path(place, "large")
        answers.append(tried(file.write_bytes, bytes(12 * 1024**2)))
        file.unlink()
    return " ".join(answers)


def attempt_processes(_: Place) -> str:
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


def attempt_memory(_: Place) -> str:
    def eat() -> int:
        return len(bytearray(os.urandom(1024)) * 1024 * 1024)

    return in_child(eat)


def attempt_memory_files(_: Place) -> str:
    """Memory without a name counts as memory too."""

    def eat() -> int:
        files = [os.memfd_create("large") for _ in range(120)]
        eaten = sum(os.write(file, bytes(8 * 1024**2)) for file in files)
        select.select((), (), (), 3)  # a watchdog looks twice a second
        return eaten

    return in_child(eat)


def main(place: Place) -> None:
    names = [name for name in globals() if name.startswith("attempt_")]
    for name in names:
        answer = in_time(lambda name=name: str(globals()[name](place)))
        print(json.dumps([name.removeprefix("attempt_"), answer]), flush=True)  # noqa: T201 - the answer


def in_time(action: Callable[[], str]) -> str:
    """Act in a child that has no descriptor but its answer and is killed when time is over."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(writer, 1)
        os.closerange(3, 4096)
        try:
            answer = action()
        except BaseException as error:  # noqa: BLE001 - the answer of a child
            answer = f"fails: {error!r}"
        os.write(1, answer.encode()[:4000])
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], SECONDS)
    answer = os.read(reader, 4096).decode() if ready else "hangs"
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return answer.strip() or "dies"


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
