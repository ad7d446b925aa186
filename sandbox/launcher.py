"""The small process that starts every sandbox, and stays their parent.

It is run as a script, on its own, by `sandbox.spawn`; it imports the standard library alone. Why
a process of its own: changing the user between fork and exec needs a real fork, which takes
milliseconds in a grown gateway and half of one here; nothing of the gateway's memory or
environment is ever in a process on its way into a sandbox; and ``--die-with-parent`` follows the
thread that forked, which here is the only one and lives until the gateway closes the socket.

One request is one packet, ``{"program": PATH, "argv": [...], "uid": N or null,
"limits": [[RESOURCE, VALUE]...]}`` with descriptors attached that the new process finds at 0, 1
and so on. The answer is ``{"pid": N}`` with a descriptor of that process, or ``{"error": TEXT}``.
"""

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
from pathlib import Path
from typing import Any

PACKET = 65536
MAX_DESCRIPTORS = 8
_STANDARD_ERROR = 2
_ABOVE = 64
_ALL = 1 << 20
_OOM_SCORE = "500"
"""When memory runs out, a sandbox goes before anything else of this machine."""


def serve(gateway: socket.socket) -> None:
    """Start processes and collect them, until the gateway closes its end."""
    children: dict[int, int] = {}
    poller = select.poll()
    poller.register(gateway, select.POLLIN)
    while True:
        for descriptor, _ in poller.poll():
            if descriptor != gateway.fileno():
                poller.unregister(descriptor)
                os.waitpid(children.pop(descriptor), 0)
                os.close(descriptor)
            elif (started := _answer(gateway)) is None:
                return
            elif started:
                pid, pidfd = started
                children[pidfd] = pid
                poller.register(pidfd, select.POLLIN)


def _answer(gateway: socket.socket) -> tuple[int, int] | tuple[()] | None:
    """Serve one request: the process started, nothing, or None when the gateway is gone."""
    data, descriptors, _, _ = socket.recv_fds(
        gateway, PACKET, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
    )
    if not data:
        return None
    try:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(data), descriptors)
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        gateway.send(json.dumps({"error": str(error)}).encode())
        return ()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    socket.send_fds(gateway, [json.dumps({"pid": pid}).encode()], [pidfd])
    return pid, pidfd


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Turn this forked copy into the program asked for; never returns.

    What goes wrong is said on the standard error of the request.
    """
    try:
        _arrange(descriptors)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
        for kind, value in request["limits"]:
            resource.setrlimit(kind, (value, value))
        _drop(request["uid"])
        os.chdir("/")
        os.umask(0o022)
        # Python ignores these two, and what is ignored stays so over an exec.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execve(request["program"], request["argv"], {})  # noqa: S606 - a shell is not wanted
    except (OSError, ValueError) as error:
        os.write(_STANDARD_ERROR, f"{error}\n".encode())
    finally:
        os._exit(126)


def _drop(uid: int | None) -> None:
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if 0 in os.getresuid():
        raise PermissionError("a sandbox is never started as root")


def _arrange(descriptors: list[int]) -> None:
    """Put the descriptors at 0 and up, and close all others."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for fd in descriptors]
    for place, descriptor in enumerate(high):
        os.dup2(descriptor, place)
    os.closerange(len(high), _ALL)


if __name__ == "__main__":
    serve(socket.socket(fileno=0))
