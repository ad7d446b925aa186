"""An MCP server at the other end of a byte channel, spoken to in lines of JSON-RPC.

This is the client half for servers inside a sandbox, where a call must cost less than a
millisecond: revision 2026-07-28 needs no handshake, so a call is one line out and one line back.
Everything that comes back is hostile: lines are bounded, unknown ids are dropped, and a broken
line ends the connection.
"""

import json
from typing import Any

import anyio

from sandbox.contract import Channel, SandboxGone

PROTOCOL_VERSION = "2026-07-28"
MAX_LINE = 48 * 1024 * 1024
"""A 20 MiB document in base64, with room to spare."""
MAX_PARTS = 1_000_000
"""Objects, lists and commas in a line; in memory each takes many times the bytes it came in."""

_META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "wharfkeep", "version": "0.1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class ProtocolError(Exception):
    """The server answered with a JSON-RPC error; the message is the server's own."""


class _Pending:
    """A request on its way; `done` is set when `answer` is there or the server is gone."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.answer: dict[str, Any] | None = None


class ToolServer:
    """Calls tools over one channel, several at a time. `listen` must be running."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pending: dict[int, _Pending] = {}
        self._next_id = 0
        self._sending = anyio.Lock()
        self.closed = False

    async def call(
        self, name: str, arguments: dict[str, Any], meta: dict[str, Any]
    ) -> dict[str, Any]:
        """Call a tool and return its result object. Cancelling tells the server to stop.

        Raises:
            SandboxGone: The server went away before it answered.
            ProtocolError: It refused the request.
        """
        params = {"name": name, "arguments": arguments, "_meta": _META | meta}
        answer = await self._request("tools/call", params)
        result = answer.get("result")
        if isinstance(result, dict):
            return result
        error = answer.get("error")
        message = error.get("message") if isinstance(error, dict) else None
        raise ProtocolError(str(message or "the tool server sent neither result nor error")[:2000])

    async def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if self.closed:
            raise SandboxGone("the tool server is gone")
        self._next_id += 1
        number = self._next_id
        pending = self._pending[number] = _Pending()
        try:
            await self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            await pending.done.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(1, shield=True):
                await self._cancel(number)
            raise
        finally:
            del self._pending[number]
        if pending.answer is None:
            raise SandboxGone("the tool server went away during the call")
        return pending.answer

    async def _cancel(self, number: int) -> None:
        note = {"method": "notifications/cancelled", "params": {"requestId": number}}
        try:
            await self._send({"jsonrpc": "2.0", **note})
        except SandboxGone:
            return

    async def _send(self, message: dict[str, Any]) -> None:
        # Two halves of different lines must never meet: one sender at a time.
        async with self._sending:
            await self._channel.send(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def listen(self) -> None:
        """Read answers until the channel ends; then fail everything that still waits."""
        buffer = bytearray()
        try:
            while chunk := await self._channel.receive():
                buffer += chunk
                if b"\n" in chunk:
                    *lines, rest = buffer.split(b"\n")
                    buffer = bytearray(rest)
                    for line in lines:
                        self._deliver(line)
                if len(buffer) > MAX_LINE:
                    return
        except (SandboxGone, ValueError, RecursionError):
            return
        finally:
            self._close()

    def _deliver(self, line: bytes | bytearray) -> None:
        if not line.strip():
            return
        if len(line) > MAX_PARTS and sum(map(line.count, (b",", b"[", b"{"))) > MAX_PARTS:
            raise ValueError("too many parts")
        message: Any = _whole(json.loads(line)) if b"\\u" in line else json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("a JSON-RPC message is an object")  # noqa: TRY004 - ends the channel
        number = message.get("id")
        pending = self._pending.get(number) if isinstance(number, int) else None
        if pending is not None and "method" not in message:
            pending.answer = message
            pending.done.set()

    def _close(self) -> None:
        self.closed = True
        for pending in self._pending.values():
            pending.done.set()

    async def aclose(self) -> None:
        await self._channel.aclose()


def _whole(value: Any) -> Any:
    """The value with halves of surrogate pairs replaced: no text of ours can hold them."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
