"""Estimates, where nobody counts."""

import base64
import struct
from typing import Any

import pytest

from gateway.model import tokens
from gateway.model.contract import Request

PROSE = (
    "The harbour master wrote down the names of the ships as they came in, with the hour and the "
    "state of the tide, and never once in thirty years did he get the order wrong. "
)


def png(width: int, height: int) -> dict[str, Any]:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    data = base64.b64encode(head + bytes(20)).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def test_prose_is_within_a_fifth_of_what_tokenizers_make_of_it() -> None:
    # Words and punctuation marks of plain English are about one token each, a few are two.
    words = len(PROSE.split()) * 1.25
    assert tokens.of_text(PROSE) == pytest.approx(words, rel=0.2)


def test_other_scripts_take_more_tokens_for_each_letter() -> None:
    assert tokens.of_text("港" * 100) > 2 * tokens.of_text("h" * 100)
    assert tokens.of_text("é" * 100) == tokens.of_text("e" * 100)


def test_images_count_by_their_area_up_to_the_largest_kept() -> None:
    assert tokens.of_content([png(750, 100)]) == pytest.approx(100, rel=0.2)
    assert tokens.of_content([png(9_000, 9_000)]) == pytest.approx(1_600, rel=0.2)
    unknown = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    assert tokens.of_content([unknown]) == pytest.approx(1_600, rel=0.2)


def test_every_kind_of_block_counts_for_something() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [png(750, 100)]}
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": "hi"},
        {"type": "thinking", "thinking": "hm"},
        {"type": "tool_use", "name": "bash", "input": {"a": 1}},
        {"type": "document", "source": {"type": "base64", "data": "eA=="}},
        {"type": "document", "source": {"type": "text", "data": "words"}},
        {"type": "document", "source": {"type": "content", "content": "words"}},
        {"type": "hologram", "depth": 3},
        result,
    ]
    assert all(tokens.of_content([block]) > 0 for block in blocks)
    assert tokens.of_content([result]) > 100


def test_a_request_counts_all_the_model_reads() -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": PROSE}]
    small = Request(model="m", system="", messages=messages, tools=[])
    large = Request(model="m", system=PROSE, messages=messages, tools=[{"name": PROSE}])
    assert tokens.of_request(large) > 2.5 * tokens.of_request(small)
