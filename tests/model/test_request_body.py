"""What is sent: the request, less what the endpoint cannot take."""

from typing import Any

import pytest

from gateway.model.body import build
from gateway.model.contract import Capabilities, Request

IMAGE: dict[str, Any] = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
PDF: dict[str, Any] = {"type": "document", "source": {"type": "base64", "data": "eA=="}}
THOUGHT: dict[str, Any] = {"type": "thinking", "thinking": "Hm", "signature": "s"}
PLAIN = Capabilities(endpoint="local", cache_control=False)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def sent(*messages: dict[str, Any], able: Capabilities = PLAIN, **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"model": "m", "system": "", "tools": [], "messages": list(messages)}
    return build(Request(**{**base, **fields}), able)


def test_a_plain_request_has_nothing_that_a_plain_server_could_refuse() -> None:
    asked = sent(user(text("Hi")), effort="high")
    assert asked == {
        "model": "m",
        "max_tokens": 32_000,
        "messages": [user(text("Hi"))],
        "stream": True,
    }


def test_marks_for_the_cache_go_only_where_they_are_taken() -> None:
    tools = [{"name": "a"}, {"name": "b"}]
    plain = sent(user(text("Hi")), system="S", tools=tools)
    assert "cache_control" not in str(plain)
    assert plain["system"] == "S"
    marked = sent(user(text("Hi")), system="S", tools=tools, able=Capabilities())
    assert "cache_control" in marked["system"][0]
    assert "cache_control" in marked["tools"][1]
    assert "cache_control" in marked["messages"][0]["content"][0]
    assert "cache_control" not in marked["tools"][0]
    assert "cache_control" not in str(tools), "what was handed in stays as it was"


@pytest.mark.parametrize(
    ("wrote", "able", "kept"),
    [
        ({"endpoint": "local"}, PLAIN, True),
        ({"endpoint": "local", "model": "m"}, PLAIN, True),
        ({"endpoint": None}, PLAIN, True),
        ({}, PLAIN, True),
        ({"endpoint": "other"}, PLAIN, False),
        ({"endpoint": "local", "model": "other"}, PLAIN, False),
        (
            {"endpoint": "local"},
            Capabilities(endpoint="local", cache_control=False, thinking=False),
            False,
        ),
    ],
)
def test_thinking_goes_back_only_to_who_wrote_it(
    wrote: dict[str, Any], able: Capabilities, *, kept: bool
) -> None:
    turn = {"role": "assistant", "content": [THOUGHT, text("Hello")], **wrote}
    back = sent(user(text("Hi")), turn, user(text("And?")), able=able)["messages"][1]
    blocks = [THOUGHT, text("Hello")] if kept else [text("Hello")]
    assert back == {"role": "assistant", "content": blocks}


def test_a_turn_of_which_nothing_is_left_is_left_out() -> None:
    turn = {"role": "assistant", "content": [THOUGHT, text(" \n")], "endpoint": "other"}
    asked = sent(user(text("Hi")), turn, user(text("And?")))
    assert asked["messages"] == [user(text("Hi"), text("And?"))]


def test_images_and_documents_become_notes_where_they_cannot_be_read() -> None:
    able = Capabilities(cache_control=False, images=False, documents=False)
    result = {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE, text("x")]}
    blocks = sent(user(IMAGE, PDF, result), able=able)["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["text", "text", "tool_result"]
    assert "image" in blocks[0]["text"]
    assert "document" in blocks[1]["text"]
    assert blocks[2]["content"][0]["type"] == "text"
    assert sent(user(IMAGE, PDF))["messages"] == [user(IMAGE, PDF)]


def test_what_is_text_stays_readable_where_documents_are_not_taken() -> None:
    able = Capabilities(cache_control=False, documents=False)
    source = {"type": "text", "media_type": "text/plain", "data": "# Page"}
    page = {"type": "document", "title": "T", "context": "https://a.example/", "source": source}
    found = {
        "type": "search_result",
        "source": "https://b.example/",
        "title": "Found",
        "content": [text("an"), text("excerpt")],
        "citations": {"enabled": False},
    }
    result = {"type": "tool_result", "tool_use_id": "t", "content": [page, found]}
    (block,) = sent(user(result), able=able)["messages"][0]["content"]
    assert block["content"] == [
        text("T\nhttps://a.example/\n# Page"),
        text("Found\nhttps://b.example/\nan\nexcerpt"),
    ]
    assert sent(user(result))["messages"] == [user(result)]


def test_system_turns_stay_or_become_the_users_words() -> None:
    turn = {"role": "system", "content": [text("Be kind.")]}
    assert sent(user(text("Hi")), turn)["messages"][1] == turn
    able = Capabilities(cache_control=False, system_turns=False)
    asked = sent(user(text("Hi")), turn, able=able)["messages"]
    assert asked == [user(text("Hi"), text("<system>\nBe kind.\n</system>"))]


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("claude-opus-5-5", "xhigh", "xhigh"),
        ("claude-opus-4-6", "xhigh", "high"),
        ("claude-opus-4-6", "max", "max"),
        ("claude-opus-4-5", "max", "high"),
        ("claude-haiku-4-5", "high", None),
        ("qwen3", "high", None),
        ("claude-opus-5-5", None, None),
    ],
)
def test_effort_is_one_the_model_has(model: str, effort: str | None, expected: str | None) -> None:
    asked = sent(user(text("Hi")), model=model, effort=effort)
    assert asked.get("output_config", {}).get("effort") == expected


def test_thinking_is_asked_of_models_that_would_not_think_unasked() -> None:
    adaptive = {"type": "adaptive"}
    assert sent(user(text("Hi")), model="claude-opus-4-7")["thinking"] == adaptive
    for model in ("claude-opus-5-5", "claude-haiku-4-5", "qwen3"):
        assert "thinking" not in sent(user(text("Hi")), model=model)


def test_an_answer_is_never_longer_than_the_endpoint_allows() -> None:
    able = Capabilities(cache_control=False, max_tokens=4_096)
    assert sent(user(text("Hi")), able=able)["max_tokens"] == 4_096
    assert sent(user(text("Hi")), able=able, max_tokens=9_999)["max_tokens"] == 4_096
    assert sent(user(text("Hi")), able=able, max_tokens=10)["max_tokens"] == 10
