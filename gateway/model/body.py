"""The body of a Messages request: a `Request`, less what its endpoint cannot take.

Pure. Says nothing of where it goes; that is `gateway.model.endpoints`.
"""

from typing import Any

from gateway.model.catalogue import Claude, claude
from gateway.model.contract import Capabilities, Request
from gateway.model.prompt import breakpoints

MAX_TOKENS = 32_000
"""The longest answer of a request that does not say, thinking included."""
FAST_BETA = "fast-mode-2026-02-01"

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})


def build(request: Request, able: Capabilities) -> dict[str, Any]:
    """The JSON body, ``stream`` included."""
    known = claude(request.model)
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": min(request.max_tokens or MAX_TOKENS, able.max_tokens),
        "messages": _messages(request, able),
        "stream": True,
    }
    system: Any = request.system
    tools = request.tools
    if able.cache_control:
        system, tools, body["messages"] = breakpoints(request.system, tools, body["messages"])
    if system:
        body["system"] = system
    if tools:
        body["tools"] = tools
    return {**body, **_settings(request, known, able)}


def headers(request: Request) -> dict[str, str]:
    """What the request needs beside its body."""
    return {"anthropic-beta": FAST_BETA} if request.speed == "fast" else {}


def _settings(request: Request, known: Claude | None, able: Capabilities) -> dict[str, Any]:
    """Effort and thinking go to models known to have them: others answer 400 to the parameter."""
    settings: dict[str, Any] = {}
    effort = _effort(request.effort, known)
    if effort:
        settings["output_config"] = {"effort": effort}
    if known and able.thinking and not known.thinks_unasked and "adaptive" in known.thinking:
        settings["thinking"] = {"type": "adaptive"}
    if request.speed == "fast":
        settings["speed"] = "fast"
    if request.inference_geo:
        settings["inference_geo"] = request.inference_geo
    return settings


def _effort(asked: str | None, known: Claude | None) -> str | None:
    """The level asked for, or the highest below it that the model has."""
    if known is None or asked not in _EFFORTS:
        return None
    allowed = [level for level in _EFFORTS[: _EFFORTS.index(asked) + 1] if level in known.efforts]
    return allowed[-1] if allowed else None


def _messages(request: Request, able: Capabilities) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for message in request.messages:
        role, content = message["role"], _blocks(message["content"])
        if role == "system" and not able.system_turns:
            role, content = "user", _as_user(content)
        elif role == "assistant":
            content = _replayed(message, content, request.model, able)
        elif role == "user":
            content = [_taken(block, able) for block in content]
        if not content:
            continue
        if messages and role == "user" and messages[-1]["role"] == "user":
            content = [*messages.pop()["content"], *content]
        messages.append({"role": role, "content": content})
    return messages


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _as_user(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For models without ``system`` turns: the same words, marked as the operator's."""
    text = "\n".join(block.get("text") or "" for block in content)
    return [{"type": "text", "text": f"<system>\n{text}\n</system>"}]


def _replayed(
    message: dict[str, Any], content: list[dict[str, Any]], model: str, able: Capabilities
) -> list[dict[str, Any]]:
    """The model's own turn. Thinking goes back only to who wrote it; blank text is refused."""
    own = message.get("endpoint") in (None, able.endpoint) and message.get("model") in (None, model)
    keeps = own and able.thinking
    return [
        block
        for block in content
        if not (block["type"] in _THOUGHTS and not keeps)
        and not (block["type"] == "text" and not block["text"].strip())
    ]


def _taken(block: dict[str, Any], able: Capabilities) -> dict[str, Any]:
    """A block the endpoint takes: itself, or a sentence in the place of what it cannot see."""
    kind = block.get("type")
    if kind == "image" and not able.images:
        return _note("an image")
    if kind in ("document", "search_result") and not able.documents:
        return _plain(block)
    if kind == "tool_result" and isinstance(block.get("content"), list):
        return {**block, "content": [_taken(inner, able) for inner in block["content"]]}
    if "cache_control" in block:
        return {key: value for key, value in block.items() if key != "cache_control"}
    return block


def _plain(block: dict[str, Any]) -> dict[str, Any]:
    """A document that is text, or a search result, as a text block."""
    match block:
        case {"type": "document", "source": {"type": "text", "data": str(text)}}:
            heads = (block.get("title"), block.get("context"))
        case {"type": "search_result", "content": [*parts]}:
            heads = (block.get("title"), block.get("source"))
            text = "\n".join(part["text"] for part in parts)
        case _:
            return _note("a document")
    return {"type": "text", "text": "\n".join([*filter(None, heads), text])}


def _note(what: str) -> dict[str, Any]:
    return {"type": "text", "text": f"[{what} was here; this model cannot read it]"}
