"""API keys: their form, and what is kept of them."""

import hashlib
import re

from gateway.keys import digest, hint, new_key


def test_a_key_is_the_prefix_and_forty_base62_characters():
    assert re.fullmatch(r"wk-[0-9A-Za-z]{40}", new_key())


def test_no_two_keys_are_equal():
    assert len({new_key() for _ in range(1000)}) == 1000


def test_what_is_stored_is_the_plain_sha_256_of_the_key():
    assert digest("wk-abcd") == hashlib.sha256(b"wk-abcd").digest()


def test_the_hint_is_too_short_to_help_a_guesser():
    assert hint("wk-0123456789") == "6789"
