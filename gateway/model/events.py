"""From the bytes of a Messages stream to its events, as plain JSON objects.

Not a general event-stream reader: the name of an event is ignored, because its data says the same
in ``type``, and data that is not a JSON object is passed over (some servers end with ``[DONE]``).
"""

import json
from typing import Any

from gateway.errors import GatewayError

MAX_EVENT = 16 * 1024**2
"""Bytes of one event; a longer one is not an answer but an attack or a fault."""


class EventTooLong(GatewayError):
    """The stream went on without the end of an event."""


class EventReader:
    """Takes bytes as they come, in pieces of any size, and gives events as they become whole."""

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Return the events that `chunk` completes.

        Raises:
            EventTooLong: An event has grown past the limit.
        """
        events: list[dict[str, Any]] = []
        self._rest += chunk
        if b"\n" in chunk:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                self._line(line.rstrip(b"\r"), events)
        if len(self._rest) + self._size > self._max:
            raise EventTooLong(f"an event of the stream is longer than {self._max} bytes")
        return events

    def close(self) -> list[dict[str, Any]]:
        """The stream is over: return the event that lacks only its empty line, if there is one."""
        events: list[dict[str, Any]] = []
        self._line(bytes(self._rest).rstrip(b"\r"), events)
        self._line(b"", events)
        self._rest.clear()
        return events

    def _line(self, line: bytes, events: list[dict[str, Any]]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:])
            self._size += len(line)
        elif not line and self._data:
            event = parse(b"\n".join(self._data))
            self._data, self._size = [], 0
            if isinstance(event, dict):
                events.append(event)


class MessageReader:
    """For a server that does not stream: its whole message is one event."""

    def __init__(self, max_message: int = MAX_EVENT) -> None:
        self._max = max_message
        self._body = bytearray()

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Keep the bytes; nothing is whole yet.

        Raises:
            EventTooLong: The message has grown past the limit.
        """
        self._body += chunk
        if len(self._body) > self._max:
            raise EventTooLong(f"the message is longer than {self._max} bytes")
        return []

    def close(self) -> list[dict[str, Any]]:
        """The body is over: return the message, if it is one."""
        message = parse(bytes(self._body))
        return [message] if isinstance(message, dict) else []


def parse(data: str | bytes) -> Any:
    """Read JSON that a stranger wrote into values every part of the gateway can write again.

    Returns:
        The value, with halves of surrogate pairs replaced; None for anything that is not JSON.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        value = json.loads(text, parse_constant=_refuse)
        # Only an escape can smuggle in half a pair, and only a half cannot be written as UTF-8.
        return _whole(value) if "\\u" in text else value
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value
