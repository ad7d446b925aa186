"""Page tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.wire.cursor import EventCursor, Order, PageCursor, decode_event, decode_page, encode
from tests.ledger.requirement import requirement

_ORDERS = st.sampled_from(("asc", "desc"))
_COUNTS = st.none() | st.integers(0, 2**53)
_PLACE = PageCursor("desc", 1_775_044_800_000_000, "agent_01abc")


@given(
    _ORDERS,
    st.integers(0, 10**17),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    st.booleans(),
)
def test_a_page_token_brings_its_position_back(order: Order, at: int, row: str, backwards: bool):
    place = PageCursor(order, at, row, backwards)
    assert decode_page(encode(place), order) == place


@given(_ORDERS, _COUNTS, _COUNTS)
def test_an_event_token_brings_its_position_back(
    order: Order, seq: int | None, position: int | None
):
    place = EventCursor(order, seq, position)
    assert decode_event(encode(place), order) == place


@requirement("pagination:cursor:opaque")
@given(st.data())
def test_a_token_with_any_change_is_refused(data: st.DataObject):
    token = encode(_PLACE)
    index = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCxyz059-_=+/ é").filter(lambda c: c != token[index]))
    changed = data.draw(
        st.sampled_from(
            (
                token[:index] + other + token[index + 1 :],
                token[:index],
                token[index + 1 :],
                token + other,
            )
        )
    )
    with pytest.raises(InvalidRequest, match=r"^page: "):
        decode_page(changed, "desc")


@requirement("pagination:cursor:order")
def test_a_token_belongs_to_its_order():
    with pytest.raises(InvalidRequest, match=r"^page: .*order=desc, not order=asc"):
        decode_page(encode(_PLACE), "asc")
    with pytest.raises(InvalidRequest, match=r"^page: .*order=asc, not order=desc"):
        decode_event(encode(EventCursor("asc", 4)), "desc")


@requirement("pagination:cursor:opaque")
def test_a_token_of_another_kind_of_list_is_refused():
    with pytest.raises(InvalidRequest, match=r"^page: "):
        decode_event(encode(_PLACE), "desc")
    with pytest.raises(InvalidRequest, match=r"^page: "):
        decode_page(encode(EventCursor("desc", 4)), "desc")


def test_a_token_needs_no_escaping_in_a_url():
    token = encode(PageCursor("asc", 0, "\u00ff\u00fe>?" * 9))
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum()
