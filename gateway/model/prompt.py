"""What the model is told before the conversation, and where the provider may cache it.

The agent's own words come first and are never changed; then what only the gateway knows: where
tools run and where results go. Nothing here changes from one request to the next (no date, no
ids), because the same beginning is what a prompt cache recognises.
"""

from typing import Any

from gateway.model.contract import Request

CACHED = {"type": "ephemeral"}
"""Kept by the provider for five minutes after each use (spec/core 8.5)."""

_SANDBOX_TOOLS = frozenset({"bash", "read", "write", "edit", "glob", "grep"})
_UNCACHEABLE = frozenset({"thinking", "redacted_thinking"})
_CACHED_TURNS = 2


def request(
    agent: dict[str, Any],
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]],
    *,
    surroundings: str = "",
) -> Request:
    """The next request of a conversation.

    Args:
        agent: The session's snapshot of the agent (spec/core 5.3).
        messages: The conversation, as the Messages API has it.
        tools: Definitions of the tools the model may see.
        surroundings: What `gateway.model.surroundings` says; told to agents with a sandbox.
    """
    sandboxed = any(tool.get("name") in _SANDBOX_TOOLS for tool in tools)
    parts = [
        part for part in (agent.get("system") or "", surroundings if sandboxed else "") if part
    ]
    return Request(system="\n\n".join(parts), messages=messages, tools=tools, **model_fields(agent))


def model_fields(agent: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `Request` that an agent's ``model`` object decides."""
    model = agent["model"]
    effort = model.get("effort")
    return {
        "model": model["id"],
        "effort": effort.get("type") if isinstance(effort, dict) else effort,
        "speed": model.get("speed"),
        "inference_geo": model.get("inference_geo"),
    }


def breakpoints(
    system: str, tools: list[dict[str, Any]], messages: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Mark what may be cached: the tools, the system prompt, and the last two user turns.

    The last but one is what the request before wrote, so it is read; the last is written for the
    request after. Never more than the four marks the API takes. The arguments stay as they are.
    """
    blocks = [{"type": "text", "text": system, "cache_control": CACHED}] if system else []
    marked_tools = [*tools[:-1], {**tools[-1], "cache_control": CACHED}] if tools else []
    marked = list(messages)
    left = _CACHED_TURNS
    for position in range(len(marked) - 1, -1, -1):
        if left and marked[position]["role"] == "user":
            marked[position] = _marked(marked[position])
            left -= 1
    return blocks, marked_tools, marked


def _marked(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not content or content[-1].get("type") in _UNCACHEABLE:
        return message
    if content[-1].get("type") == "text" and not content[-1].get("text"):
        return message
    return {**message, "content": [*content[:-1], {**content[-1], "cache_control": CACHED}]}
