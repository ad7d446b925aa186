"""Frames, read back by the SDK's own decoder."""

from collections.abc import Iterator

import pytest
from anthropic._streaming import ServerSentEvent, SSEDecoder
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from gateway.wire import sse
from tests.ledger.requirement import requirement


def _decode(stream: bytes) -> list[ServerSentEvent]:
    def chunks() -> Iterator[bytes]:
        yield stream

    return list(SSEDecoder().iter_bytes(chunks()))


@requirement("streams:frame:named", "streams:frame:unicode")
@given(st.text(st.characters(codec="utf-8")))
def test_a_frame_arrives_as_it_was_sent(text: str):
    data = to_json({"type": "agent.message", "text": text + "\u2028\u0085\x1c"})
    found = _decode(sse.frame("agent.message", data) + sse.frame("session.status_idle", b"{}"))
    assert [event.event for event in found] == ["agent.message", "session.status_idle"]
    assert found[0].data.encode() == data


def test_data_with_a_line_break_is_refused():
    for broken in (b"{\n}", b"{\r}"):
        with pytest.raises(ValueError, match="one line"):
            sse.frame("agent.message", broken)


def test_a_ping_has_the_name_that_clients_skip():
    assert [event.event for event in _decode(sse.PING)] == ["ping"]


def test_an_error_has_the_name_that_clients_raise():
    assert sse.error_frame(b"{}") == b"event: error\ndata: {}\n\n"
