"""The floor: the least a program can do that still runs the same turn and keeps a log of it.

One process, no gateway: a raw HTTP client to the same endpoint, a new unisolated shell for each
call, one SQLite append for each event, one reader of the events over HTTP. It has no API, no
permissions, no isolation and no recovery; it is what everything else is compared with.
"""

import json
import socket
import sqlite3
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

EVENTS_PER_STEP = 6
"""What the gateway logs for a model request with one tool call."""


class Floor:
    """Runs turns one after the other."""

    def __init__(self, endpoint: str, directory: Path) -> None:
        host, _, port = endpoint.removeprefix("http://").partition(":")
        self._model = socket.create_connection((host, int(port)))
        self._model.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._log = sqlite3.connect(directory / "floor.db", isolation_level=None)
        self._log.execute("PRAGMA journal_mode = WAL")
        self._log.execute("PRAGMA synchronous = NORMAL")
        self._log.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, wire TEXT)")
        self._out, reader = socket.socketpair()
        self._reader = threading.Thread(target=_read, args=(reader,), daemon=True)
        self._reader.start()

    def turn(self, name: str) -> float:
        """Run one turn; returns the seconds it took."""
        begin = time.monotonic()
        messages: list[dict[str, Any]] = [{"role": "user", "content": name}]
        self._append(2)
        while True:
            answer = self._ask(messages)
            self._append(EVENTS_PER_STEP)
            if b'"tool_use"' not in answer:
                return time.monotonic() - begin
            done = subprocess.run(["/bin/bash", "-c", "true"], stdout=subprocess.PIPE, check=False)
            result = {"type": "tool_result", "content": done.stdout.decode()}
            messages.append({"role": "assistant", "content": [{"type": "text", "text": "call"}]})
            messages.append({"role": "user", "content": [result]})

    def _ask(self, messages: list[dict[str, Any]]) -> bytes:
        body = json.dumps({"model": "bench", "stream": True, "messages": messages}).encode()
        # As the gateway's own requests look: compact enough for the endpoint to count results.
        body = body.replace(b'"type": "tool_result"', b'"type":"tool_result"')
        head = b"POST /v1/messages HTTP/1.1\r\nhost: model\r\ncontent-length: %d\r\n\r\n"
        self._model.sendall(head % len(body) + body)
        answer = b""
        while b'message_stop"' not in answer:
            answer += self._model.recv(65536)
        for line in answer.split(b"\n"):
            if line.startswith(b"data: "):
                json.loads(line[6:])
        return answer

    def _append(self, events: int) -> None:
        for _ in range(events):
            wire = json.dumps({"type": "event", "text": "x" * 200})
            self._log.execute("INSERT INTO log (wire) VALUES (?)", (wire,))
            self._out.sendall(b"event: x\ndata: " + wire.encode() + b"\n\n")

    def close(self) -> None:
        self._out.close()
        self._reader.join()
        self._model.close()
        self._log.close()


def _read(reader: socket.socket) -> None:
    with reader:
        while chunk := reader.recv(65536):
            for line in chunk.split(b"\n"):
                if line.startswith(b"data: ") and line.endswith(b"}"):
                    json.loads(line[6:])
