"""A scripted Messages endpoint in a process of its own: three shell calls, then a final text.

It stands in for the language model in benchmarks, answers at once, and notes when each request
arrived and when each answer had left. Which step comes next is read from the conversation, so it
serves any number of sessions. ``GET /times`` gives and forgets the notes.
"""

import json
import re
import sys
import time
from contextlib import suppress
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream

CALLS = 3
COMMAND = "true"
_TURN = re.compile(rb"bench-\d+")
_TIMES: list[dict[str, Any]] = []


def _events(step: int) -> bytes:
    """The answer of one step, as server-sent events."""
    usage = {"input_tokens": 100, "output_tokens": 1}
    message = {
        "id": f"msg_{step}",
        "type": "message",
        "role": "assistant",
        "model": "bench",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    if step < CALLS:
        block = {"type": "tool_use", "id": f"toolu_{step}", "name": "bash", "input": {}}
        part = {"type": "input_json_delta", "partial_json": json.dumps({"command": COMMAND})}
        stop = "tool_use"
    else:
        block = {"type": "text", "text": ""}
        part = {"type": "text_delta", "text": "done"}
        stop = "end_turn"
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": part},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": 10},
        },
        {"type": "message_stop"},
    ]
    return b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), _json(e)) for e in events)


def _json(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


_ANSWERS = [_events(step) for step in range(CALLS + 1)]


async def _serve(client: SocketStream) -> None:
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        async with client:
            await _converse(client)


async def _converse(client: SocketStream) -> None:
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            buffer += await client.receive()
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        length = _length(head)
        while len(buffer) < length:
            buffer += await client.receive()
        body, buffer = buffer[:length], buffer[length:]
        await _answer(client, head, body)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def _answer(client: SocketStream, head: bytes, body: bytes) -> None:
    arrived = time.monotonic()
    if head.startswith(b"GET"):
        times = _json(_TIMES)
        _TIMES.clear()
        await client.send(_reply(b"application/json", times))
        return
    turn = _TURN.findall(body)[-1]
    step = body.count(b'"tool_result"', body.rfind(turn))
    await client.send(_reply(b"text/event-stream", _ANSWERS[step]))
    left = time.monotonic()
    _TIMES.append({"turn": turn.decode(), "step": step, "arrived": arrived, "left": left})


def _reply(kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (kind, len(body)) + body


async def main() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await listener.serve(_serve)


if __name__ == "__main__":
    anyio.run(main)
