"""JSON for people: all of it visible, none of it steering what shows it."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.legible import MOST, legible

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_what_is_shown_is_visible_and_the_same_value(value: Any):
    text = legible(value)
    assert all(character == "\n" or character.isprintable() for character in text)
    assert json.loads(text) == value


def test_neither_a_terminal_nor_a_reader_is_turned_around():
    assert legible("a\x1b[2Jb\u202ec\x9b") == '"a\\u001b[2Jb\\u202ec\\u009b"'


def test_what_is_too_long_says_how_much_is_missing():
    text = legible("x" * (MOST + 100))
    assert text.endswith("... 102 more characters")
    assert len(text) < MOST + 50
