"""What the model is told first, and what of it may be cached."""

from typing import Any

from gateway.model import prompt
from gateway.model.prompt import breakpoints

AGENT: dict[str, Any] = {
    "system": "You are a pilot.",
    "model": {"id": "m", "effort": {"type": "low"}, "speed": "fast", "inference_geo": "us"},
}
TOOLS: list[dict[str, Any]] = [{"name": "bash"}, {"name": "read"}]
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]


def test_the_agents_own_words_come_first_then_the_environment() -> None:
    system = prompt.request(AGENT, HELLO, TOOLS, surroundings="Here is a sandbox.").system
    assert system == "You are a pilot.\n\nHere is a sandbox."


def test_an_agent_without_sandbox_tools_hears_nothing_of_a_sandbox() -> None:
    told = {"surroundings": "Here is a sandbox."}
    assert prompt.request(AGENT, HELLO, [{"name": "crm"}], **told).system == "You are a pilot."
    assert prompt.request({**AGENT, "system": None}, HELLO, [], **told).system == ""


def test_the_agents_model_settings_go_with_it() -> None:
    request = prompt.request(AGENT, HELLO, TOOLS)
    assert (request.model, request.effort, request.speed) == ("m", "low", "fast")
    assert request.inference_geo == "us"
    assert request.purpose == "turn"


def test_tools_system_and_the_last_two_user_turns_are_marked() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
        {"role": "user", "content": [{"type": "text", "text": "two"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": []},
                {"type": "text", "text": "three"},
            ],
        },
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
    ]
    system, tools, marked = breakpoints("S", TOOLS, messages)
    places = [block for block in (*system, *tools) if "cache_control" in block]
    turns = [
        index
        for index, message in enumerate(marked)
        if isinstance(message["content"], list) and "cache_control" in message["content"][-1]
    ]
    assert len(places) == 2
    assert turns == [2, 4]
    assert str([*system, *tools, *marked]).count("cache_control") == 4
    assert "cache_control" not in str([*TOOLS, *messages])


def test_what_cannot_be_marked_is_left_alone() -> None:
    empty = [{"role": "user", "content": ""}, {"role": "user", "content": []}]
    assert breakpoints("", [], empty) == ([], [], empty)
