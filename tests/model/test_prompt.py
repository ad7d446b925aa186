"""What the model is told first, and what of it may be cached."""

from typing import Any

from gateway.model.prompt import Prompt, breakpoints

AGENT: dict[str, Any] = {
    "system": "You are a pilot.",
    "model": {"id": "m", "effort": {"type": "low"}, "speed": "fast", "inference_geo": "us"},
}
TOOLS: list[dict[str, Any]] = [{"name": "bash"}, {"name": "read"}]
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]


def test_the_agents_own_words_come_first_then_the_environment() -> None:
    prompt = Prompt(network="The sandbox has no network.")
    system = prompt.request(AGENT, HELLO, TOOLS, environment="cloud").system
    assert system.startswith("You are a pilot.\n\n")
    assert "/workspace" in system
    assert "/mnt/session/outputs" in system
    assert "no network" in system


def test_a_self_hosted_environment_has_no_outputs_and_no_network_of_ours() -> None:
    prompt = Prompt(network="The sandbox has no network.")
    system = prompt.request(AGENT, HELLO, TOOLS, environment="self_hosted").system
    assert "/workspace" in system
    assert "/mnt/session/outputs" not in system
    assert "no network" not in system


def test_an_agent_without_sandbox_tools_hears_nothing_of_a_sandbox() -> None:
    assert Prompt().request(AGENT, HELLO, [{"name": "crm"}]).system == "You are a pilot."
    assert Prompt().request({**AGENT, "system": None}, HELLO, []).system == ""


def test_the_prompt_is_the_same_each_time() -> None:
    prompt = Prompt(network="None.")
    assert prompt.request(AGENT, HELLO, TOOLS) == prompt.request(AGENT, HELLO, TOOLS)


def test_the_agents_model_settings_go_with_it() -> None:
    request = Prompt().request(AGENT, HELLO, TOOLS)
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
