"""Summaries: what is asked, and what the conversation goes on with."""

from typing import Any

import pytest

from gateway.model import prompt, tokens
from gateway.model.compact import request, shortened
from gateway.model.contract import Answer, ModelError, Request

AGENT: dict[str, Any] = {"system": "You are a pilot.", "model": {"id": "m", "effort": None}}
TOOLS: list[dict[str, Any]] = [{"name": "bash"}]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def call(command: str, result: str) -> list[dict[str, Any]]:
    use = {"type": "tool_use", "id": "t", "name": "bash", "input": {"command": command}}
    thought = {"type": "thinking", "thinking": "secret thought", "signature": "s"}
    answer = {"type": "tool_result", "tool_use_id": "t", "content": result}
    return [{"role": "assistant", "content": [thought, use]}, {"role": "user", "content": [answer]}]


def summary(*texts: str) -> Answer:
    content: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    return Answer(content=content, stop_reason="end_turn", endpoint="e", model="m")


def turn(messages: list[dict[str, Any]]) -> Request:
    return prompt.request(AGENT, messages, TOOLS)


def test_with_room_the_conversation_itself_is_asked_about() -> None:
    messages = [user("Do it"), *call("ls", "a.txt")]
    like = turn(messages)
    asked = request(AGENT, messages, like=like, window=200_000)
    assert asked.messages[:-1] == messages
    assert (asked.system, asked.tools) == (like.system, like.tools)
    assert asked.messages[-1]["role"] == "user"
    assert asked.purpose == "compact"


def test_without_room_a_transcript_is_asked_about_that_fits() -> None:
    messages = [user("Do it"), *(part for _ in range(30) for part in call("cat", "line\n" * 9_000))]
    asked = request(AGENT, messages, like=turn(messages), window=60_000)
    assert tokens.of_request(asked) < 60_000 - 16_000
    assert asked.tools == []
    text = asked.messages[0]["content"][0]["text"]
    assert "Do it" in text
    assert "cat" in text
    assert "secret thought" not in text


def test_a_transcript_that_can_be_cut_no_more_keeps_the_task_and_the_end() -> None:
    messages = [user("The task"), *(user(f"turn {n} " + "x" * 200) for n in range(4_000))]
    asked = request(AGENT, messages, window=60_000)
    assert tokens.of_request(asked) < 60_000 - 16_000
    text = asked.messages[0]["content"][0]["text"]
    assert "The task" in text
    assert "turn 3999" in text
    assert "turn 5 " not in text


def test_the_conversation_goes_on_from_the_summary_and_the_users_last_words() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    last = {"role": "user", "content": [{"type": "text", "text": "Now this"}, image]}
    messages = [user("Do it"), *call("ls", "a"), last, *call("cat a", "b")]
    (only,) = shortened(messages, summary("We did it."))
    texts = [block.get("text", "") for block in only["content"]]
    assert only["role"] == "user"
    assert "We did it." in texts[0]
    assert "Now this" in texts
    assert only["content"][-1] == image
    assert "tool_result" not in str(only)


def test_a_second_summary_takes_the_place_of_the_first() -> None:
    once = shortened([user("Do it"), *call("ls", "a")], summary("First."))
    (only,) = shortened([*once, *call("cat a", "b")], summary("Second."))
    texts = [block["text"] for block in only["content"]]
    assert "First." not in str(texts)
    assert texts[-1] == "Do it"
    assert len(texts) == 3


def test_system_turns_outlive_the_summary() -> None:
    rule = {"role": "system", "content": [{"type": "text", "text": "Be kind."}]}
    assert shortened([user("Do it"), rule], summary("Done."))[1:] == [rule]


@pytest.mark.parametrize("answer", [summary(), summary(" ")])
def test_an_answer_without_text_is_no_summary(answer: Answer) -> None:
    with pytest.raises(ModelError) as caught:
        shortened([user("Do it")], answer)
    assert caught.value.retryable
