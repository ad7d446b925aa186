"""What counts as a JSON body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from gateway.errors import InvalidRequest
from gateway.wire import body
from tests.ledger.requirement import requirement


def _message(raw: bytes) -> str:
    with pytest.raises(InvalidRequest) as refusal:
        body.read(raw)
    return refusal.value.message


@requirement("transport:body:empty")
@pytest.mark.parametrize("raw", [b"", b"  \n", b"{}"])
def test_an_empty_body_is_an_empty_object(raw: bytes):
    assert body.read(raw) == {}


@requirement("transport:body:malformed")
@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"{", "not valid JSON"),
        (b'{"a":1,}', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a":"\xff"}', "not valid UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not valid UTF-8"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"a":"\n"}', "not valid JSON"),
    ],
)
def test_what_is_not_a_json_object_in_utf8_is_refused(raw: bytes, told: str):
    assert told in _message(raw)


@requirement("transport:body:unstorable")
@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"a":1,"b":{"c":1,"c":2}}', "'c' appears twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "too long"),
        (b'{"a":["x\\u0000y"]}', "a.0: text must not contain the NUL character"),
        (b'{"a":{"\\u0000":1}}', "NUL"),
        (b'{"a":"\\ud800"}', "a: text must not contain a lone surrogate"),
        (b'{"a":"\\uDC00\\ud800"}', "lone surrogate"),
        (b"{%b}" % b",".join(b'"%d":1' % n for n in range(50_001)), "more than 50000 keys"),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "nested more than 100 levels"),
        (b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}", "nested more than 100 levels"),
    ],
)
def test_what_cannot_be_stored_or_read_in_one_way_is_refused(raw: bytes, told: str):
    assert told in _message(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"\\\\u0000 is how one writes it"}',
        b'{"a":' + b"[" * 99 + b"]" * 99 + b"}",
        b'{"a":[' + b"{}," * 500 + b"{}]}",
    ],
)
def test_pairs_of_surrogates_escaped_backslashes_and_wide_bodies_are_fine(raw: bytes):
    assert "a" in body.read(raw)


_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(_TEXT, _JSON, max_size=5))
def test_everything_else_is_read_as_it_was_written(value: dict[str, object]):
    assert body.read(to_json(value)) == value
