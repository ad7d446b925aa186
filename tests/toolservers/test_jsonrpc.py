"""What counts as a message."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolservers import jsonrpc
from toolservers.jsonrpc import RpcError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.fixed_dictionaries(
    {}, optional={"jsonrpc": st.just("2.0") | JSON, "id": JSON, "method": JSON, "params": JSON}
)


def refusal(line: bytes) -> RpcError:
    with pytest.raises(RpcError) as caught:
        jsonrpc.parse(line)
    return caught.value


def outcome(line: bytes) -> int | None:
    """The code of the refusal, if it is one."""
    try:
        jsonrpc.parse(line)
    except RpcError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"hello",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 1_000_000,
        b'{"id":' + b"9" * 5000 + b"}",
        b"NaN",
        b'{"a":Infinity}',
        b"{} {}",
        b"\0",
    ],
    ids=lambda line: repr(line[:12]),
)
def test_what_is_no_json_is_a_parse_error_without_an_id(line: bytes):
    error = refusal(line)
    assert (error.code, error.id) == (-32700, None)


@pytest.mark.parametrize(
    ("message", "request_id"),
    [
        (1, None),
        ("text", None),
        (None, None),
        ([], None),
        ([{"jsonrpc": "2.0", "id": 1, "method": "ping"}], None),
        ({}, None),
        ({"id": 1, "method": "ping"}, None),
        ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, None),
        ({"jsonrpc": "2.0", "id": 1}, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": 7}, 1),
        ({"jsonrpc": "2.0", "id": "a", "method": "ping", "params": []}, "a"),
        ({"jsonrpc": "2.0", "id": "a", "method": "ping", "params": None}, "a"),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, None),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, None),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, None),
        ({"jsonrpc": "2.0", "id": {}, "method": "ping"}, None),
    ],
)
def test_what_is_no_request_is_refused_with_its_id_if_it_has_one(message: Any, request_id: Any):
    error = refusal(json.dumps(message).encode())
    assert (error.code, error.id) == (-32600, request_id)


def test_responses_are_ignored():
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"result":{}}') is None
    assert jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}') is None


def test_a_request_without_an_id_is_a_notification():
    request = jsonrpc.parse(b' {"jsonrpc":"2.0","method":"notifications/initialized"}\r')
    assert request is not None
    assert (request.id, request.method, request.params, request.meta) == (
        None,
        "notifications/initialized",
        {},
        {},
    )


def test_a_meta_that_is_no_object_counts_as_none():
    line = b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":[1]}}'
    request = jsonrpc.parse(line)
    assert request is not None
    assert request.meta == {}


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_do_more_than_raise_the_one_error(line: bytes):
    assert outcome(line) in (None, -32700, -32600)


@given(FIELDS)
def test_no_fields_do_more_than_raise_the_one_error(fields: dict[str, Any]):
    assert outcome(json.dumps(fields).encode()) in (None, -32600)


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_fits_on_one_line_of_utf_8(text: str):
    line = jsonrpc.result_line(1, {"text": text})
    assert b"\n" not in line
    sent = json.loads(line.decode("utf-8"))["result"]["text"]
    assert len(sent) == len(text)
