"""Which models there are: the Claude ids, with what is publicly known of each, and configured ones.

Serves `GET /v1/models` (spec/resources 7.3) and the per-model defaults of agents. What a request
costs is `gateway.model.price`; where it goes is `gateway.model.endpoints`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from gateway.settings import Endpoint, Models

Names: TypeAlias = tuple[str, ...]

_LOW_TO_HIGH: Names = ("low", "medium", "high")
_UP_TO_MAX: Names = (*_LOW_TO_HIGH, "max")
_ALL_EFFORTS: Names = (*_LOW_TO_HIGH, "xhigh", "max")
_DEFAULT_EFFORT = "high"
_ANTHROPIC = "://api.anthropic.com"
_EPOCH = "1970-01-01T00:00:00Z"
_THINKING_TYPES: Names = ("adaptive", "between_tools", "disabled", "enabled")
_CONTEXT_EDITS: Names = ("clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claude:
    """What is publicly known of one Claude model."""

    id: str
    name: str
    released: str | None = None
    max_input_tokens: int = 1_000_000
    max_tokens: int = 128_000
    efforts: Names = _ALL_EFFORTS
    """Levels the model accepts; none means that it has no effort setting."""
    default_effort: str = _DEFAULT_EFFORT
    thinking: Names = ("adaptive",)
    """The ``thinking.type`` values it accepts."""
    thinks_unasked: bool = True
    """It thinks without a ``thinking`` parameter."""
    fast: bool = False
    retires: str | None = None

    @property
    def line(self) -> str:
        return self.id.split("-")[1]


_4_5 = Claude(
    id="4.5",
    name="before adaptive thinking",
    max_input_tokens=200_000,
    max_tokens=64_000,
    efforts=(),
    thinking=("enabled", "disabled"),
    thinks_unasked=False,
)
_4_6 = Claude(
    id="4.6",
    name="adaptive thinking, when asked for",
    efforts=_UP_TO_MAX,
    thinking=("adaptive", "enabled", "disabled"),
    thinks_unasked=False,
)
_4_7 = replace(_4_6, efforts=_ALL_EFFORTS, thinking=("adaptive", "disabled"))
_OPUS_4_5 = replace(_4_5, name="Claude Opus 4.5", released="2025-11-24", efforts=_LOW_TO_HIGH)
_HAIKU_4_5 = replace(_4_5, name="Claude Haiku 4.5", released="2025-10-15")
_SONNET_4_5 = replace(_4_5, name="Claude Sonnet 4.5", released="2025-09-29", retires="2026-11-30")

# The ids of the SDK's `BetaManagedAgentsModel` literal, newest first.
_CLAUDE: tuple[Claude, ...] = (
    Claude(id="claude-fable-5-2", name="Claude Fable 5.2", released="2026-11-09", fast=True),
    Claude(
        id="claude-haiku-5-5",
        name="Claude Haiku 5.5",
        released="2026-10-07",
        default_effort="medium",
        thinking=("adaptive", "disabled"),
    ),
    Claude(
        id="claude-sonnet-5-5",
        name="Claude Sonnet 5.5",
        thinking=("adaptive", "between_tools"),
    ),
    Claude(id="claude-opus-5-5", name="Claude Opus 5.5", default_effort="medium", fast=True),
    Claude(id="claude-fable-5-1", name="Claude Fable 5.1", released="2026-09-01"),
    Claude(
        id="claude-sonnet-5",
        name="Claude Sonnet 5",
        released="2026-06-30",
        thinking=("adaptive", "disabled"),
    ),
    Claude(id="claude-fable-5", name="Claude Fable 5", released="2026-06-09"),
    Claude(
        id="claude-opus-5",
        name="Claude Opus 5",
        released="2026-07-24",
        thinking=("adaptive", "disabled"),
        fast=True,
    ),
    replace(_4_7, id="claude-opus-4-8", name="Claude Opus 4.8", fast=True),
    replace(_4_7, id="claude-opus-4-7", name="Claude Opus 4.7"),
    replace(_4_6, id="claude-opus-4-6", name="Claude Opus 4.6", released="2026-02-05"),
    replace(
        _4_6,
        id="claude-sonnet-4-6",
        name="Claude Sonnet 4.6",
        released="2026-02-17",
        max_tokens=64_000,
    ),
    replace(_HAIKU_4_5, id="claude-haiku-4-5"),
    replace(_HAIKU_4_5, id="claude-haiku-4-5-20251001"),
    replace(_OPUS_4_5, id="claude-opus-4-5"),
    replace(_OPUS_4_5, id="claude-opus-4-5-20251101"),
    replace(_SONNET_4_5, id="claude-sonnet-4-5"),
    replace(_SONNET_4_5, id="claude-sonnet-4-5-20250929"),
)
_BY_ID = {entry.id: entry for entry in _CLAUDE}


class Catalogue:
    """The models of one gateway."""

    def __init__(self, models: Models) -> None:
        self._endpoints = models.endpoints

    def entries(self) -> list[dict[str, Any]]:
        """Every model that is known by its whole id, in wire form; the Claude ones first."""
        named = {
            name: endpoint
            for endpoint in self._endpoints.values()
            for name in endpoint.models
            if not name.endswith("*") and name not in _BY_ID
        }
        claude = [_claude_form(entry, _serving(self._endpoints, entry.id)) for entry in _CLAUDE]
        return claude + [_plain_form(name, endpoint) for name, endpoint in named.items()]

    def get(self, model: str) -> dict[str, Any] | None:
        """One model in wire form; None when neither Anthropic nor an endpoint names it."""
        endpoint = _serving(self._endpoints, model)
        if model in _BY_ID:
            return _claude_form(_BY_ID[model], endpoint)
        return None if endpoint is None else _plain_form(model, endpoint)


def claude(model: str) -> Claude | None:
    """What is known of a Claude model."""
    return _BY_ID.get(model)


def default_effort(model: str) -> str:
    """The effort an agent gets that asks for none (spec/core 2.4)."""
    entry = _BY_ID.get(model)
    return entry.default_effort if entry else _DEFAULT_EFFORT


def named_by(names: Iterable[str], model: str) -> int:
    """How precisely a list of ids and ``prefix*`` patterns names a model.

    Returns:
        0 when it does not; otherwise the more, the more precise: a whole id beats any prefix.
    """
    best = 0
    for name in names:
        if name == model:
            return len(model) + 2
        if name.endswith("*") and model.startswith(name[:-1]):
            best = max(best, len(name))
    return best


def _serving(endpoints: dict[str, Endpoint], model: str) -> Endpoint | None:
    found = max(endpoints.values(), key=lambda e: named_by(e.models, model), default=None)
    return found if found is not None and named_by(found.models, model) else None


def _claude_form(entry: Claude, endpoint: Endpoint | None) -> dict[str, Any]:
    efforts, thinking = entry.efforts, entry.thinking
    if endpoint is not None and not endpoint.thinking:
        efforts, thinking = (), ()
    return {
        **_object(entry.id, entry.name, entry.max_input_tokens, entry.max_tokens),
        "created_at": f"{entry.released}T00:00:00Z" if entry.released else _EPOCH,
        "lifecycle": "deprecated" if entry.retires else "active",
        "retires_at": f"{entry.retires}T00:00:00Z" if entry.retires else None,
        "line": entry.line,
        "capabilities": _capabilities(
            efforts=efforts,
            thinking=thinking,
            images=endpoint is None or endpoint.images,
            documents=endpoint is None or endpoint.documents,
            first_party=endpoint is None or _ANTHROPIC in endpoint.base_url,
        ),
    }


def _plain_form(model: str, endpoint: Endpoint) -> dict[str, Any]:
    return {
        **_object(model, model, endpoint.max_input_tokens, endpoint.max_tokens),
        "capabilities": _capabilities(
            efforts=(),
            thinking=(),
            images=endpoint.images,
            documents=endpoint.documents,
            first_party=False,
        ),
    }


def _object(model: str, name: str, max_input: int, max_output: int) -> dict[str, Any]:
    return {
        "id": model,
        "type": "model",
        "display_name": name,
        "created_at": _EPOCH,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "max_input_tokens": max_input,
        "max_tokens": max_output,
        "allowed_fallback_models": [],
    }


def _capabilities(
    *, efforts: Names, thinking: Names, images: bool, documents: bool, first_party: bool
) -> dict[str, Any]:
    """The object of MD-4. Anthropic's own features are claimed only where Anthropic answers."""

    def leaf(supported: bool) -> dict[str, bool]:
        return {"supported": supported}

    def leaves(names: Names, held: Names) -> dict[str, Any]:
        return {name: leaf(name in held) for name in names}

    tools = ("code_execution", "web_search")
    edits = _CONTEXT_EDITS if first_party else ()
    return {
        "batch": leaf(first_party),
        "citations": leaf(first_party),
        "code_execution": leaf(first_party),
        "context_management": {"supported": first_party, **leaves(_CONTEXT_EDITS, edits)},
        "effort": {"supported": bool(efforts), **leaves(_ALL_EFFORTS, efforts)},
        "image_input": leaf(images),
        "pdf_input": leaf(documents),
        "server_tools": {
            "supported": first_party,
            **leaves(tools, tools if first_party else ()),
        },
        "structured_outputs": leaf(first_party),
        "thinking": {
            "supported": bool(thinking),
            "types": leaves(_THINKING_TYPES, thinking or ("disabled",)),
        },
    }
