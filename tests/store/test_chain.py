"""The chains of the audit trail: whatever is changed is found, and where."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.chain import (
    START,
    Link,
    canonical,
    digest,
    find_breaks,
    mac,
    read_record,
    write_record,
)
from tests.store.trail import record

KEY = bytes(range(32))
PAYLOADS = st.lists(st.binary(max_size=40), min_size=1, max_size=12)


def chained(payloads: Sequence[bytes], chain: str = "sesn_1", key: bytes = KEY) -> list[Link]:
    links: list[Link] = []
    previous = START
    for n, payload in enumerate(payloads, 1):
        previous = mac(key, previous, chain, n, payload)
        links.append(Link(n, payload, previous))
    return links


def broken(links: Sequence[Link], chain: str = "sesn_1", key: bytes = KEY) -> list[int]:
    return [found.n for found in find_breaks(key, chain, links)]


@given(PAYLOADS, st.integers(0, 12))
def test_what_was_written_is_whole_however_it_is_cut_into_pages(payloads: list[bytes], cut: int):
    links = chained(payloads)
    assert broken(links) == []
    after = links[:cut][-1:] or [Link(0, b"", START)]
    assert list(find_breaks(KEY, "sesn_1", links[cut:], after=after[0])) == []


@given(PAYLOADS, st.data())
def test_a_changed_record_is_the_one_that_is_found(payloads: list[bytes], data: st.DataObject):
    links = chained(payloads)
    i = data.draw(st.integers(0, len(links) - 1))
    other = data.draw(st.binary(max_size=40).filter(lambda new: new != payloads[i]))
    links[i] = Link(i + 1, other, links[i].mac)
    assert broken(links) == [i + 1]


@given(PAYLOADS, st.data())
def test_a_forged_code_is_found_at_its_record(payloads: list[bytes], data: st.DataObject):
    links = chained(payloads)
    i = data.draw(st.integers(0, len(links) - 1))
    links[i] = Link(i + 1, links[i].record, mac(b"another key", START, "sesn_1", i + 1, b""))
    assert broken(links)[0] == i + 1


@given(PAYLOADS, st.data())
def test_dropped_records_are_found_where_they_were(payloads: list[bytes], data: st.DataObject):
    links = chained([*payloads, b"the last one"])
    first = data.draw(st.integers(0, len(links) - 2))
    last = data.draw(st.integers(first, len(links) - 2))
    assert broken(links[:first] + links[last + 1 :]) == [first + 1]
    renumbered = [
        Link(n, link.record, link.mac)
        for n, link in enumerate(links[:first] + links[last + 1 :], 1)
    ]
    assert broken(renumbered)[0] == first + 1


@given(st.lists(st.binary(max_size=40), min_size=2, max_size=12, unique=True), st.data())
def test_records_in_another_order_are_found(payloads: list[bytes], data: st.DataObject):
    links = chained(payloads)
    i, j = sorted(
        data.draw(st.lists(st.integers(0, len(links) - 1), min_size=2, max_size=2, unique=True))
    )
    links[i], links[j] = (
        Link(i + 1, links[j].record, links[j].mac),
        Link(j + 1, links[i].record, links[i].mac),
    )
    assert broken(links)[0] == i + 1


@given(PAYLOADS, st.binary(max_size=40), st.binary(min_size=32, max_size=32), st.data())
def test_a_record_put_in_is_found(
    payloads: list[bytes], new: bytes, code: bytes, data: st.DataObject
):
    links = chained(payloads)
    i = data.draw(st.integers(0, len(links)))
    put = [*links[:i], Link(i + 1, new, code), *(Link(k.n + 1, k.record, k.mac) for k in links[i:])]
    assert broken(put)[0] == i + 1


@given(PAYLOADS, st.data())
def test_a_record_of_another_chain_is_found(payloads: list[bytes], data: st.DataObject):
    links, others = chained(payloads), chained(payloads, "sesn_2")
    i = data.draw(st.integers(0, len(links) - 1))
    assert broken([*links[:i], others[i], *links[i + 1 :]])[0] == i + 1
    assert broken(others) == list(range(1, len(others) + 1))


@given(PAYLOADS)
def test_without_the_key_nothing_fits(payloads: list[bytes]):
    assert broken(chained(payloads, key=b"guessed")) == list(range(1, len(payloads) + 1))


def test_a_record_comes_back_as_it_was():
    before = record(
        "aud_1", workspace=None, body={"b": [1, 2.5, None, "\u00e9\U0001f600"], "a": {}}
    )
    written = write_record(before)
    assert read_record(written) == before
    assert write_record(read_record(written)) == written


def test_half_a_surrogate_pair_does_not_keep_a_record_from_being_written():
    written = write_record(record("aud_1", body={"reason": "a\ud800b"}))
    assert read_record(written).body == {"reason": "a?b"}


@pytest.mark.parametrize("written", [b"", b"{}", b"[]", b"nonsense", b'{"id":"aud_1"}'])
def test_what_is_no_record_is_not_read_as_one(written: bytes):
    with pytest.raises(ValueError, match=r"audit record|Expecting"):
        read_record(written)


def test_equal_values_have_one_canonical_form():
    assert (
        canonical({"b": 1, "a": ["\u00e9", True, None]})
        == '{"a":["\u00e9",true,null],"b":1}'.encode()
    )
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    assert digest({}) == hashlib.sha256(b"{}").hexdigest()
    assert canonical("\ud800") == b'"\xed\xa0\x80"'
