"""The first program of a sandbox: takes orders on the control line, opens a channel for each.

What travels on the lines is told in the docstring of ``sandbox/contract.py``. This side only
dials, never listens. A bad line is answered with an error and forgotten; the program ends when
the control line does, and everything it started with it.

Beyond the contract: a channel's first line after a pull's ``{"ok": true}`` also has the file's
``size``; a push may say ``size`` and fails if other bytes came; an order nobody understands gets
``{"error": TEXT}``.
"""

from __future__ import annotations

import json
import os
import socket
import threading

from toolservers import relay, transfer
from toolservers.children import find_program
from toolservers.connection import Connection
from toolservers.output import LIMIT
from toolservers.paths import reason
from toolservers.stream import LineReader, LineTooLong, LineWriter, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from toolservers.children import Child
    from toolservers.host import Host

MAX_CHANNELS = 256
_MAX_ORDER = 4 * 1024 * 1024


class BadOrder(Exception):
    """The order cannot be carried out; the text says why."""


class Init:
    """The sandbox's end of the control line."""

    def __init__(self, path: str, token: str, host: Host) -> None:
        """`path` is the driver's socket."""
        self._path = path
        self._token = token
        self._host = host
        self._channels = threading.BoundedSemaphore(MAX_CHANNELS)
        self._control = LineWriter(-1)

    def serve(self) -> None:
        """Dial, say that all is ready, and take orders until the control line ends.

        Raises:
            OSError: Nobody listens.
        """
        control = self._dial({})
        self._control = LineWriter(control)
        self._say({"ready": True, "pid": os.getpid()})
        reader = LineReader(control, limit=_MAX_ORDER)
        try:
            while self._take_order(reader):
                pass
        finally:
            self._host.children.kill_all()

    def _take_order(self, reader: LineReader) -> bool:
        try:
            line = reader.read_line()
            if line is None:
                return False
            order = _decode(line)
            if order.get("exit"):
                return False
            self._obey(order)
        except LineTooLong:
            self._say({"error": "the line is too long"})
        except BadOrder as error:
            self._say({"error": str(error)})
        return True

    def _obey(self, order: dict[str, Any]) -> None:
        if "claim" in order:
            self._claim(order["claim"])
            return
        for verb in ("open", "pull", "push"):
            if verb in order:
                channel = order[verb]
                if not isinstance(channel, (int, str)):
                    raise BadOrder("a channel is a number or a string")
                self._start_channel(channel, verb, order)
                return
        raise BadOrder("unknown order")

    def _claim(self, claim: Any) -> None:
        claim = claim if isinstance(claim, dict) else {}
        output = claim.get("output", LIMIT)
        if type(output) is not int or output <= 0:
            raise BadOrder("output is a number of bytes")
        self._host.claim(_check_env(claim.get("env")), output)
        relay.start(os.path.join(os.path.dirname(self._path), relay.EGRESS_NAME))
        self._say({"claimed": True})

    def _start_channel(self, channel: int | str, verb: str, order: dict[str, Any]) -> None:
        if not self._channels.acquire(blocking=False):
            self._say({"failed": channel, "error": f"{MAX_CHANNELS} channels are open"})
            return
        name = f"{verb} {channel}"
        work = (channel, verb, order)
        try:
            threading.Thread(target=self._run_channel, args=work, name=name, daemon=True).start()
        except RuntimeError:
            self._channels.release()
            self._say({"failed": channel, "error": "no process left for another thread"})

    def _run_channel(self, channel: int | str, verb: str, order: dict[str, Any]) -> None:
        try:
            if verb == "push":
                self._push(channel, order)
            elif verb == "pull":
                self._pull(channel, order)
            else:
                self._open(channel, order)
        except BadOrder as error:
            self._say({"failed": channel, "error": str(error)})
        except OSError as error:
            self._say({"failed": channel, "error": reason(error)})
        finally:
            self._channels.release()

    def _open(self, channel: int | str, order: dict[str, Any]) -> None:
        target = order.get("target")
        if target == "tools":
            self._serve_tools(channel)
        elif target == "spawn":
            self._spawn(channel, order)
        else:
            raise BadOrder("unknown target")

    def _serve_tools(self, channel: int | str) -> None:
        with _Closing(self._dial({"channel": channel})) as fd:
            Connection(LineReader(fd), LineWriter(fd), self._host).serve()

    def _spawn(self, channel: int | str, order: dict[str, Any]) -> None:
        argv = order.get("argv")
        if not isinstance(argv, list) or not argv or not all(map(_is_word, argv)):
            raise BadOrder("argv must be a list of strings, not empty")
        env = {**self._host.env, **_check_env(order.get("env") or {})}
        find_program(argv[0], env)  # before the channel is there: nobody waits for an answer on it

        def tell(child: Child) -> None:
            self._say({"exited": channel, "status": child.status})

        with _Closing(self._dial({"channel": channel})) as fd:
            self._host.children.spawn(argv, env, descriptors={0: fd, 1: fd, 2: 2}, on_exit=tell)

    def _pull(self, channel: int | str, order: dict[str, Any]) -> None:
        path = self._path_of(order)
        with _Closing(self._dial({"channel": channel})) as fd:
            writer = LineWriter(fd)
            try:
                file, size = transfer.open_to_send(path)
            except transfer.TransferError as error:
                writer.write_line(_encode({"error": str(error)}))
                return
            with _Closing(file):
                writer.write_line(_encode({"ok": True, "size": size}))
                transfer.send(file, fd)

    def _push(self, channel: int | str, order: dict[str, Any]) -> None:
        path = self._path_of(order)
        mode, size = order.get("mode", 0o644), order.get("size")
        if not isinstance(mode, int) or not isinstance(size, (int, type(None))):
            raise BadOrder("mode and size must be numbers")
        with _Closing(self._dial({"channel": channel})) as fd:
            answer: dict[str, Any] = {"ok": True}
            try:
                transfer.take(fd, path, mode=mode, size=size)
            except transfer.TransferError as error:
                answer = {"error": str(error)}
            LineWriter(fd).write_line(_encode(answer))
            transfer.skip(fd)  # to close on unread bytes would take the answer away again

    def _path_of(self, order: dict[str, Any]) -> str:
        path = order.get("path")
        if not _is_word(path) or not path:
            raise BadOrder("path must be a string, not empty")
        return os.path.join(self._host.roots.workdir, path)

    def _dial(self, words: dict[str, Any]) -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dialled:
            dialled.connect(self._path)
            write_all(dialled.fileno(), _encode({"token": self._token, **words}) + b"\n")
            return dialled.detach()

    def _say(self, words: dict[str, Any]) -> None:
        self._control.write_line(_encode(words))


class _Closing:
    """A descriptor for the length of a block."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _decode(line: bytes) -> dict[str, Any]:
    try:
        order = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadOrder("not JSON") from None
    if not isinstance(order, dict):
        raise BadOrder("not an object")
    return order


def _check_env(env: Any) -> dict[str, str]:
    if not isinstance(env, dict):
        raise BadOrder("env must be an object")
    for name, value in env.items():
        if not _is_word(name) or not _is_word(value) or not name or "=" in name:
            raise BadOrder("env must map names to strings")
    return env


def _is_word(value: Any) -> bool:
    """Whether it is a string that a program can be given."""
    try:
        return isinstance(value, str) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def _encode(words: dict[str, Any]) -> bytes:
    return json.dumps(words).encode("ascii")
