"""One MCP connection: reads requests, runs tool calls on threads, writes answers.

The thread that reads a call also runs it, and gives the reading to another thread only when there
is more to read meanwhile: so a call on an idle connection waits for no other thread to wake up.
"""

from __future__ import annotations

import threading

from toolservers import jsonrpc
from toolservers.call import Call, Cancelled
from toolservers.jsonrpc import RpcError
from toolservers.protocol import Session, ToolCall
from toolservers.stream import LineTooLong
from toolservers.toolbox import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from toolservers.host import Host
    from toolservers.jsonrpc import Request
    from toolservers.stream import LineReader, LineWriter

MAX_CALLS = 64


class _Running:
    """A call that is being run."""

    def __init__(self, id_: int | str, tool_call: ToolCall, call: Call) -> None:
        self.id = id_
        self.tool_call = tool_call
        self.call = call


class _Turn:
    """One thread's right to read; kept while it runs a call, unless passed on meanwhile."""

    def __init__(self, reading: threading.Lock) -> None:
        self._reading = reading
        self._held = False

    def take(self) -> None:
        if not self._held:
            self._reading.acquire()
            self._held = True

    def end(self) -> None:
        if self._held:
            self._held = False
            self._reading.release()


class Connection:
    """Serves MCP to one client, with at most one thread more than calls run at once."""

    def __init__(self, reader: LineReader, writer: LineWriter, host: Host) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host
        self._session = Session(host.tools)
        self._reading = threading.Lock()
        self._lock = threading.Lock()
        self._running: dict[int | str, _Running] = {}
        self._threads = 1
        self._ended = False
        self._empty = threading.Event()

    def serve(self) -> None:
        """Returns at the end of the input, when every call was cancelled and has ended."""
        self._work()
        self._empty.wait()

    def _work(self) -> None:
        turn = _Turn(self._reading)

        def pass_on() -> None:
            self._pass_on(turn)

        while True:
            turn.take()
            running = self._next_call()
            if running is None:
                break
            running.call.hold_requests(self._reader.fd, pass_on)
            if self._reader.has_line():
                running.call.hand_over()
            self._run(running)
        turn.end()
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                self._empty.set()

    def _pass_on(self, turn: _Turn) -> None:
        with self._lock:
            if self._threads == len(self._running):
                try:
                    threading.Thread(target=self._work, name="mcp", daemon=True).start()
                except RuntimeError:
                    return  # no process left for a thread: requests wait until this call is done
                self._threads += 1
        turn.end()

    def _next_call(self) -> _Running | None:
        """Read until there is a call to run; None at the end. Only the reading thread is here."""
        running = None
        while running is None and not self._ended:
            running = self._read_message()
        return running

    def _read_message(self) -> _Running | None:
        try:
            line = self._reader.read_line()
            if line is None:
                self._end()
            return self._take(line) if line else None
        except LineTooLong:
            self._refuse(None, RpcError(jsonrpc.PARSE_ERROR, "Parse error: line too long"))
        except RpcError as error:
            self._refuse(error.id, error)
        return None

    def _take(self, line: bytes) -> _Running | None:
        request = jsonrpc.parse(line)
        if request is None:
            return None
        if request.id is None:
            if request.method == "notifications/cancelled":
                self._cancel(request.params.get("requestId"))
            return None
        try:
            answer = self._session.answer(request)
            if isinstance(answer, ToolCall):
                return self._admit(request, answer)
            self._writer.write_line(jsonrpc.result_line(request.id, answer))
        except RpcError as error:
            self._refuse(request.id, error)
        return None

    def _admit(self, request: Request, tool_call: ToolCall) -> _Running:
        assert request.id is not None
        report = self._reporter(tool_call.progress_token)
        call = Call(
            thread=tool_call.thread,
            seconds=tool_call.seconds,
            report=report,
            settings=tool_call.settings,
        )
        running = _Running(request.id, tool_call, call)
        with self._lock:
            if request.id in self._running:
                raise RpcError(jsonrpc.INVALID_REQUEST, "Invalid request: the id is in use")
            if len(self._running) == MAX_CALLS:
                raise RpcError(jsonrpc.BUSY, f"{MAX_CALLS} calls are running")
            self._running[request.id] = running
        return running

    def _run(self, running: _Running) -> None:
        tool_call, call = running.tool_call, running.call
        try:
            result = run_tool(tool_call.name, tool_call.arguments, call, self._host)
        except Cancelled:
            result = None
        with self._lock:
            del self._running[running.id]
        if result is not None and not call.cancelled:  # a cancelled request is never answered
            line = jsonrpc.result_line(running.id, tool_call.result(result))
            self._writer.write_line(line)

    def _cancel(self, id_: object) -> None:
        with self._lock:
            running = self._running.get(id_) if isinstance(id_, (int, str)) else None
        if running is not None:
            running.call.cancel()

    def _end(self) -> None:
        self._ended = True
        with self._lock:
            left = list(self._running.values())
        for running in left:
            running.call.cancel()

    def _refuse(self, id_: int | str | None, error: RpcError) -> None:
        self._writer.write_line(jsonrpc.error_line(id_, error))

    def _reporter(self, token: int | str | None) -> Callable[[int, str], None] | None:
        if token is None:
            return None

        def report(done: int, message: str) -> None:
            params = {"progressToken": token, "progress": done, "message": message}
            self._writer.write_line(jsonrpc.notification_line("notifications/progress", params))

        return report
