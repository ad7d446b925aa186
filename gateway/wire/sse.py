"""Server-sent events as the SDKs read them (spec/core 6.10, spec/resources 8.6).

Every frame has a name, because the SDK drops frames without one, and one ``data:`` line, because
JSON as we write it holds no line break. There are no ids: a client that lost its stream lists the
events and opens a new one.
"""

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
"""Breaks the silence; every client skips it."""


def frame(name: str, data: bytes) -> bytes:
    """One event: its type, and its JSON on one line.

    Raises:
        ValueError: `data` holds a line break and would be cut in two.
    """
    if b"\n" in data or b"\r" in data:
        raise ValueError("the data of a frame must be on one line")
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


def error_frame(body: bytes) -> bytes:
    """A failure of the stream itself; the client raises it. Sessions fail in their own events."""
    return frame("error", body)
