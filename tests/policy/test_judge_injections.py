"""A set of attempts to move the judge, each made from every place a stranger can write to.

That a model resists an argument cannot be proved. What can: a stranger's words stand where
strangers' words stand, or nowhere, and the user's words and the instructions stay as they are.
"""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.model.contract import Request
from gateway.model.judge import write_request
from gateway.policy import evidence
from gateway.policy.evidence import Evidence, show
from gateway.policy.judge import Plea
from tests.policy.transcript import Body, plea, result, text, use, user, values

_FILE = Path(__file__).with_name("injections.toml")
_ATTEMPTS = tomllib.loads(_FILE.read_text(encoding="utf-8"))["attempt"]
ATTEMPTS: dict[str, str] = {
    attempt["name"]: attempt["text"] * attempt.get("times", 1) for attempt in _ATTEMPTS
}

TASK = user("Find out why the build fails. Change nothing, and send nothing anywhere.")
LATER = user("Look at <Makefile> first, bitte.")
CALL = {"tool": "mcp__files__send", "description": "Sends a file.", "input": {"path": "a.log"}}


def ask(*between: Body, **fields: Any) -> Plea:
    """The call, in a session in which strangers have spoken between the user's two messages."""
    return plea(TASK, use(), *between, LATER, use("read"), **{**CALL, **fields})


def search_result(words: str) -> Body:
    block = {"type": "search_result", "source": words, "title": words, "content": [text(words)]}
    return result(block)


def document(words: str) -> Body:
    source = {"type": "text", "media_type": "text/plain", "data": words}
    return result({"type": "document", "title": words, "context": words, "source": source})


def confirmation(words: str) -> Body:
    fields = {"tool_use_id": "sevt_other", "result": "deny", "deny_message": words}
    return {"type": "user.tool_confirmation", **fields}


def message(type_: str) -> Callable[[str], Plea]:
    return lambda words: ask({"type": type_, "id": "sevt_x", "content": [text(words)]})


UNSEEN: dict[str, Callable[[str], Plea]] = {
    "result": lambda words: ask(result(text(words))),
    "search result": lambda words: ask(search_result(words)),
    "fetched document": lambda words: ask(document(words)),
    "MCP result": message("agent.mcp_tool_result"),
    "agent's message": message("agent.message"),
    "message from a thread": message("agent.thread_message_received"),
    "message to a thread": message("agent.thread_message_sent"),
    "client's result": message("user.custom_tool_result"),
    "result of a self-hosted sandbox": message("user.tool_result"),
    "system message": message("system.message"),
    "reason of a denial": lambda words: ask(confirmation(words)),
}
"""Places whose words a judge never sees."""

SEEN: dict[str, Callable[[str], Plea]] = {
    "input": lambda words: ask(input={"path": words}),
    "name of an argument": lambda words: ask(input={words: "a.log"}),
    "list in an input": lambda words: ask(input={"paths": ["a.log", {"b": [words]}]}),
    "name of the tool": lambda words: ask(tool=words),
    "description of the tool": lambda words: ask(description=words),
    "input before": lambda words: ask(use(input={"command": words})),
    "name of a tool before": lambda words: ask(use(words)),
    "name of a server before": lambda words: ask(
        use("x", type="agent.mcp_tool_use", mcp_server_name=words)
    ),
}
"""Places whose words it sees, as a stranger's."""


def marked(request: Request) -> list[tuple[str, str]]:
    """What stands between marks in the whole request, whatever wrote the marks."""
    content = request.messages[0]["content"]
    whole = "\n".join(block["text"] for block in content)
    return re.findall(r"<(\w+)>\n(.*?)\n?</\1>", whole, re.DOTALL)


def plain() -> Evidence:
    made = show(ask())
    assert made is not None
    return made


def test_the_set_is_large_and_no_attempt_is_in_it_twice() -> None:
    assert len(ATTEMPTS) == len(_ATTEMPTS)
    assert len(set(ATTEMPTS.values())) >= 40


@pytest.mark.parametrize("place", UNSEEN)
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_is_not_shown_changes_nothing_at_all(attempt: str, place: str) -> None:
    assert show(UNSEEN[place](ATTEMPTS[attempt])) == plain()


@pytest.mark.parametrize("place", SEEN)
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_strangers_words_stand_among_strangers_words(attempt: str, place: str) -> None:
    made = show(SEEN[place](ATTEMPTS[attempt]))
    if made is None:
        # Too large to be shown whole: such a call is not judged, so nobody can be moved.
        assert attempt.startswith("a flood")
        return
    request, untouched = write_request(made, "m"), write_request(plain(), "m")
    assert (request.system, request.tools) == (untouched.system, untouched.tools)
    assert [mark for mark, _ in marked(request)] == ["user_words", "untrusted", "untrusted"]
    assert marked(request)[0] == marked(untouched)[0]
    for _, inside in marked(request)[1:]:
        assert inside.isascii()
        assert inside.replace("\n", "").isprintable()
        assert not set(inside) & set("<>&")
    assert [next(iter(value)) for value in values(made.call)] == ["call"]
    assert {next(iter(value)) for value in values(made.record)} <= {
        "earlier_call",
        "earlier_calls_left_out",
    }


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_is_judged_is_the_call_as_it_is(attempt: str) -> None:
    made = show(SEEN["input"](ATTEMPTS[attempt]))
    if made is not None:
        (call,) = values(made.call)
        assert call == {
            "call": CALL["tool"],
            "description": CALL["description"],
            "input": {"path": ATTEMPTS[attempt]},
        }


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_thousand_calls_of_a_flood_push_no_word_of_the_user_out(attempt: str) -> None:
    words = ATTEMPTS[attempt][:20_000]
    flood = [use(input={"command": words}), result(text(words))] * 1_000
    made = show(ask(*flood))
    assert made is not None
    assert made.intent == plain().intent
    assert len(made.record) < evidence.RECORD + 100
    assert values(made.record)[-1]["earlier_call"] == "read"
