"""Making a conversation fit: asking for a summary, and going on from it (spec/core 8.4).

Pure. When to compact is the loop's affair. The model is asked in one of two ways: with the
conversation as it stands, which the prompt cache has, when there is room for it; else with a
transcript of it as one text, shortened until it fits, which needs neither tools nor caches.
"""

import json
from typing import Any

from gateway.model import tokens
from gateway.model.catalogue import claude
from gateway.model.contract import Answer, ModelError, Request
from gateway.model.prompt import model_fields

SUMMARY_TOKENS = 16_000
"""Room for the summary and for the thinking before it."""

_ASK = (
    "The conversation has become too long and will be replaced by a summary that you write now. "
    "You will go on from it without anything else, so write down all you need: what the user "
    "asked for and every condition they set, what has been done and found, the exact names, "
    "paths, numbers and errors that matter, what is under way, and what comes next. "
    "Answer with the summary alone and call no tool."
)
_SYSTEM = "You summarise a conversation between a user and an agent, for the agent to go on from."
_PREFACE = "This is a summary of the conversation so far:\n\n"
_LAST = "The user's last message, in full:"
_DEFAULT_WINDOW = 200_000
_SPARE = 0.9
"""The share of the window an estimate may fill."""
_PIECES = (20_000, 4_000, 1_000, 250)
"""Characters kept of one block of a transcript, tried from the most to the least."""


def request(
    agent: dict[str, Any],
    messages: list[dict[str, Any]],
    *,
    like: Request | None = None,
    window: int | None = None,
) -> Request:
    """The request for a summary.

    Args:
        agent: The session's snapshot of the agent.
        messages: The conversation, ending with a user turn.
        like: The request of the turn that did not fit; with it, and room, the cache is used.
        window: The model's input window in tokens.
    """
    known = claude(agent["model"]["id"])
    window = window or (known.max_input_tokens if known else _DEFAULT_WINDOW)
    room = int(window * _SPARE) - SUMMARY_TOKENS
    common: dict[str, Any] = {
        **model_fields(agent),
        "max_tokens": SUMMARY_TOKENS,
        "purpose": "compact",
    }
    if like is not None and tokens.of_request(like) <= room:
        asked = [*like.messages, {"role": "user", "content": _text(_ASK)}]
        return Request(system=like.system, tools=like.tools, messages=asked, **common)
    text = f"<transcript>\n{_transcript(messages, room)}\n</transcript>\n\n{_ASK}"
    asked = [{"role": "user", "content": _text(text)}]
    return Request(system=_SYSTEM, tools=[], messages=asked, **common)


def shortened(messages: list[dict[str, Any]], answer: Answer) -> list[dict[str, Any]]:
    """The conversation to go on with: the summary and the user's last words, in one turn.

    System turns are kept after it: they are instructions, not history. Results of tools are in
    the summary; as blocks they would lack the calls they belong to.

    Raises:
        ModelError: The answer holds no summary.
    """
    parts = [block["text"] for block in answer.content if block["type"] == "text"]
    summary = "\n".join(parts).strip()
    if not summary:
        message = "The model was asked to summarise the conversation and gave no text."
        raise ModelError("request_failed", message, retryable=True)
    content = [*_text(_PREFACE + summary), *_last_words(messages)]
    kept = [
        {"role": "system", "content": message["content"]}
        for message in messages
        if message["role"] == "system"
    ]
    return [{"role": "user", "content": content}, *kept]


def _last_words(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the user said last, images and documents included."""
    for message in reversed(messages):
        if message["role"] == "user":
            said = [b for b in _blocks(message["content"]) if b["type"] != "tool_result"]
            # What an earlier compaction wrote here is in the new summary already.
            said = [b for b in said if not str(b.get("text", "")).startswith((_PREFACE, _LAST))]
            if said:
                return [*_text(_LAST), *said]
    return []


def _transcript(messages: list[dict[str, Any]], room: int) -> str:
    lines: list[str] = []
    for limit in _PIECES:
        lines = [_told(message, limit) for message in messages]
        if tokens.of_text("\n\n".join(lines)) <= room:
            return "\n\n".join(lines)
    return _ends(lines, room)


def _ends(lines: list[str], room: int) -> str:
    """The first turn, which is the task, and as many of the last ones as fit."""
    last: list[str] = []
    left = room - tokens.of_text(lines[0])
    for line in reversed(lines[1:]):
        left -= tokens.of_text(line)
        if left < 0:
            break
        last.insert(0, line)
    return "\n\n".join([lines[0], "[turns left out]", *last])


def _told(message: dict[str, Any], limit: int) -> str:
    told = [_line(block, limit) for block in _blocks(message["content"])]
    return f"{message['role']}:\n" + "\n".join(line for line in told if line)


def _line(block: dict[str, Any], limit: int) -> str:
    kind = block["type"]
    if kind == "text":
        return _cut(block["text"], limit)
    if kind == "tool_use":
        return f"[calls {block['name']} {_cut(json.dumps(block['input']), limit)}]"
    if kind == "tool_result":
        inner = "\n".join(_line(b, limit) for b in _blocks(block.get("content") or []))
        return f"[{'error' if block.get('is_error') else 'result'}: {_cut(inner, limit)}]"
    return "" if kind in ("thinking", "redacted_thinking") else f"[{kind}]"


def _cut(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}\n[...]\n{text[-half:]}"


def _blocks(content: Any) -> list[dict[str, Any]]:
    return _text(content) if isinstance(content, str) else content


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}]
