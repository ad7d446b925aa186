"""What a hostile tool server may say, and what clients see of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tools.result import MAX_BLOCKS, Result, from_mcp, oversized, shorten

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_text_stays_text() -> None:
    answer = {"content": [{"type": "text", "text": "hi"}], "isError": True}
    assert from_mcp(answer) == Result([{"type": "text", "text": "hi"}], is_error=True)


@pytest.mark.parametrize("media", ["image/png", "image/jpeg", "image/gif", "image/webp"])
def test_an_image_becomes_an_image_block(media: str) -> None:
    result = from_mcp({"content": [{"type": "image", "data": "AAAA", "mimeType": media}]})
    source = {"type": "base64", "media_type": media, "data": "AAAA"}
    assert result.content == [{"type": "image", "source": source}]


def test_an_image_of_another_kind_is_named_and_not_shown() -> None:
    block = {"type": "image", "data": "AAAA", "mimeType": "image/svg+xml"}
    result = from_mcp({"content": [block]})
    assert result.content == [{"type": "text", "text": "[image content is not shown]"}]


def test_an_embedded_pdf_becomes_a_document() -> None:
    resource = {"uri": "file:///a.pdf", "mimeType": "application/pdf", "blob": "AAAA"}
    result = from_mcp({"content": [{"type": "resource", "resource": resource}]})
    assert result.content[0]["type"] == "document"


def test_a_result_without_content_is_an_error() -> None:
    assert from_mcp({}).is_error


@given(content=st.lists(JSON, max_size=80))
def test_any_content_becomes_blocks_that_clients_know(content: list[Any]) -> None:
    result = from_mcp({"content": content})
    assert len(result.content) <= MAX_BLOCKS
    assert {block["type"] for block in result.content} <= {"text", "image", "document"}


def test_short_text_is_not_oversized() -> None:
    assert oversized(Result([{"type": "text", "text": "x" * 100_000}])) is None


def test_long_text_is_replaced_by_its_beginning_and_where_the_rest_is() -> None:
    image = {"type": "image", "source": {}}
    result = Result([{"type": "text", "text": "x" * 100_001}, image])
    text = oversized(result)
    assert text is not None
    shown = shorten(result, text, "/tmp/all.txt")
    assert "/tmp/all.txt" in shown.content[0]["text"]
    assert "100001 characters" in shown.content[0]["text"]
    assert len(shown.content[0]["text"]) < 3_000
    assert shown.content[1] == image
