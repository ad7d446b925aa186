"""Child processes: started without a fork of this process's memory, reaped as they end.

One thread waits for every child there is, also for orphans that fall to this process when it is
the first of its PID namespace. So nobody else may wait for a child.
"""

from __future__ import annotations

import errno
import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


# Linux's own numbers, because importing `signal` takes longer than starting a shell.
SIGKILL, SIGPIPE, SIGXFSZ = 9, 13, 25


class Child:
    """A process of ours, the leader of a session and of a process group of its own."""

    def __init__(self, pid: int, on_exit: Callable[[Child], None]) -> None:
        self.pid = pid
        self.status: int | None = None
        """None while it lives, then its exit code, or the negative number of the fatal signal."""
        self.on_exit = on_exit


class Children:
    """Everything this process has started and not yet seen die."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = threading.Condition(self._lock)
        self._births = 0
        self._living: dict[int, Child] = {}
        self._reaping = False

    def spawn(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        descriptors: Mapping[int, int],
        on_exit: Callable[[Child], None],
    ) -> Child:
        """Start a program; `descriptors` maps the child's numbers to ours, all others close.

        The working directory is this process's. `on_exit` runs once, on the reaping thread.

        Raises:
            OSError: There is no such program, or it cannot be started.
        """
        program = find_program(argv[0], env)
        with self._lock:
            self._start_reaping()
            child = Child(_posix_spawn(program, argv, env, descriptors), on_exit)
            self._living[child.pid] = child
            self._births += 1
            self._started.notify()
        return child

    def kill(self, child: Child) -> None:
        """Kill the child and its whole process group, unless it is dead already."""
        with self._lock:  # not reaped under this lock: the number still names this child
            if child.status is None:
                try:
                    os.killpg(child.pid, SIGKILL)
                except ProcessLookupError:
                    return

    def kill_all(self) -> None:
        with self._lock:
            living = list(self._living.values())
        for child in living:
            self.kill(child)

    def _start_reaping(self) -> None:
        if self._reaping:
            return
        try:
            threading.Thread(target=self._reap, name="reap", daemon=True).start()
        except RuntimeError:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        self._reaping = True

    def _reap(self) -> None:
        while True:
            births = self._births
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                with self._lock:
                    while self._births == births:
                        self._started.wait()
                continue
            if ended is not None:
                self._bury(ended.si_pid)

    def _bury(self, pid: int) -> None:
        with self._lock:
            _, wait_status = os.waitpid(pid, 0)
            child = self._living.pop(pid, None)
            if child is not None:
                child.status = os.waitstatus_to_exitcode(wait_status)
        if child is not None:
            child.on_exit(child)


def find_program(name: str, env: Mapping[str, str]) -> str:
    """The path of a program; a name without a slash is looked up in the PATH of `env`.

    Raises:
        FileNotFoundError: There is none.
    """
    candidates = [name]
    if "/" not in name:
        places = env.get("PATH", os.defpath).split(":")
        candidates = [os.path.join(place, name) for place in places if place.startswith("/")]
    for path in candidates:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _posix_spawn(
    program: str, argv: Sequence[str], env: Mapping[str, str], descriptors: Mapping[int, int]
) -> int:
    import fcntl

    # Copies above every target number, lest one descriptor overwrites the source of the next.
    floor = max(descriptors) + 1
    copies: dict[int, int] = {}
    try:
        for number, source in descriptors.items():
            copies[number] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, floor)
        return os.posix_spawn(
            program,
            list(argv),
            dict(env),
            file_actions=[(os.POSIX_SPAWN_DUP2, copy, number) for number, copy in copies.items()],
            setsid=True,
            # Python ignores these two; a shell whose children ignore them writes to closed pipes.
            setsigdef=[SIGPIPE, SIGXFSZ],
            setsigmask=[],
        )
    finally:
        for copy in copies.values():
            os.close(copy)
