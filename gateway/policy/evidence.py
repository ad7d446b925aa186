"""What a judge is shown of a session: the user's words, and apart from them what the agent does.

Only the text of ``user.message`` events is what the user wants (spec/core 2.8). It stands in a
part of its own, with a size of its own: nothing else can enter that part or crowd it out.

Everything else is data from strangers, between marks that say so:

- the call to judge, whole or not at all: what is not seen is not judged;
- the calls before it, newest first, because a call often means nothing without them ("run
  setup.sh"), with what the policies and a person said of each, so that a way around a denial shows.

What tools answered is not shown: no result, page, message of the agent or of another thread. None
of it can make a call more wanted, since only the user's words can; all that it could do is argue,
and results are where an outsider's argument comes in. So a judge that needs a result to see that
a call is right will ask a person, and that is the right answer. Images, documents, outcomes and
system messages are not the text of a ``user.message`` and are left out as well.

Both parts are JSON, one value a line. No value can hold a line break or an angle bracket, so none
can end its line or its part, or begin another; strangers' values are printable ASCII throughout:
what is invisible, turned around or looks like something else is spelled out.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.policy.judge import Plea

INTENT = 60_000
"""Characters of the user's words: the first message and as many of the last as there is room."""
MESSAGE = 15_000
"""Characters of one message; of a longer one, its two ends."""
CALL = 100_000
"""Characters of the call as it is shown; a longer one is not judged."""
DESCRIPTION = 2_000
"""Characters of the tool's description."""
RECORD = 30_000
"""Characters of the calls before, as they are shown."""
INPUT = 3_000
"""Characters of the input of one of them, as it is shown; of a longer one, its two ends."""
NAME = 200
"""Characters of the name of its tool."""

INTENT_MARK = "user_words"
DATA_MARK = "untrusted"

_CALLS = frozenset({"agent.tool_use", "agent.mcp_tool_use", "agent.custom_tool_use"})
TYPES = _CALLS | {"user.message", "user.tool_confirmation"}
"""The events that matter here; whoever makes a plea need not read others."""
_OUTCOMES = ("allow", "ask", "deny")
_MARKUP = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a judge may see, in three marked texts."""

    intent: str
    """What the user said, and nothing else."""
    record: str
    """The calls before; strangers' data."""
    call: str
    """The call to judge; strangers' data."""


def show(plea: Plea) -> Evidence | None:
    """Write down what a judge may see; None when the call cannot be shown whole."""
    try:
        call = _encode(_call(plea))
        if len(call) > CALL:
            return None
        record = _record(plea.events)
    except (RecursionError, ValueError):  # nested or with a number beyond what can be written
        return None
    return Evidence(
        intent=_mark(INTENT_MARK, _intent(plea)),
        record=_mark(DATA_MARK, record),
        call=_mark(DATA_MARK, [call]),
    )


def _mark(mark: str, lines: Iterable[str]) -> str:
    return "\n".join([f"<{mark}>", *lines, f"</{mark}>"])


def _intent(plea: Plea) -> list[str]:
    said = [text for event in plea.events if (text := _text_of_user(event)).strip()]
    first, later = said[:1], said[1:]
    kept = _last(later, INTENT - MESSAGE)
    left_out = "many" if plea.gap else len(later) - len(kept)
    gap = [_spell({"messages_left_out": left_out})] if left_out else []
    return [*map(_said, first), *gap, *map(_said, kept)]


def _text_of_user(event: dict[str, Any]) -> str:
    if event.get("type") != "user.message":
        return ""
    blocks = event.get("content") or ()
    return "\n".join(block["text"] for block in blocks if block.get("type") == "text")


def _last(texts: list[str], room: int) -> list[str]:
    """As many of the last as there is room for."""
    kept = 0
    for text in reversed(texts):
        room -= min(len(text), MESSAGE)
        if room < 0:
            break
        kept += 1
    return texts[len(texts) - kept :]


def _said(text: str) -> str:
    if len(text) <= MESSAGE:
        return _spell(text)
    start, end = _ends(text, MESSAGE)
    left_out = len(text) - MESSAGE
    return _spell({"start": start, "characters_left_out": left_out, "end": end})


def _record(events: Sequence[dict[str, Any]]) -> list[str]:
    answers = {
        event.get("tool_use_id"): event.get("result")
        for event in events
        if event.get("type") == "user.tool_confirmation"
    }
    calls = [event for event in events if event.get("type") in _CALLS]
    lines: list[str] = []
    room = RECORD
    for event in reversed(calls):
        line = _encode(_earlier(event, answers.get(event.get("id"))))
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    if len(lines) < len(calls):
        lines.append(_encode({"earlier_calls_left_out": len(calls) - len(lines)}))
    return lines[::-1]


def _earlier(event: dict[str, Any], answer: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"earlier_call": str(event.get("name"))[:NAME]}
    if server := event.get("mcp_server_name"):
        shown["server"] = str(server)[:NAME]
    said = {"policy": event.get("evaluated_permission"), "person": answer}
    known = {who: outcome for who, outcome in said.items() if outcome in _OUTCOMES}
    return {**shown, **_shortened(event.get("input")), **known}


def _shortened(value: Any) -> dict[str, Any]:
    whole = _encode(value)
    if len(whole) <= INPUT:
        return {"input": value}
    start, end = _ends(whole, INPUT)
    left_out = len(whole) - INPUT
    return {"input_start": start, "characters_left_out": left_out, "input_end": end}


def _ends(text: str, room: int) -> tuple[str, str]:
    half = room // 2
    return text[:half], text[-half:]


def _call(plea: Plea) -> dict[str, Any]:
    return {
        "call": plea.tool,
        "description": plea.description[:DESCRIPTION],
        "input": plea.input,
    }


def _encode(value: Any) -> str:
    """JSON of a stranger's value, on one line, in printable ASCII without markup."""
    return _unmarked(json.dumps(value, separators=(",", ":")))


def _spell(value: Any) -> str:
    """JSON of the user's words, on one line, in any script; only what cannot be seen is escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not text.isprintable():
        seen = (letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)
        text = "".join(seen)
    return _unmarked(text)


def _unmarked(text: str) -> str:
    """The same JSON without angle brackets; plain replacement, because it may be long."""
    for letter, escape in _MARKUP.items():
        text = text.replace(letter, escape)
    return text
