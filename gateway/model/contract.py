"""What a language model is to the rest of the gateway: a request in, a stream of parts out.

Everything speaks the Messages API's own shapes. Provider blocks are opaque here: they are stored
as they came and replayed to the endpoint that made them. Who answers, and how, is not said here.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from gateway.errors import GatewayError

Failure: TypeAlias = Literal[
    "overloaded", "rate_limited", "billing", "request_failed", "context_overflow"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a model.

    An assistant turn in `messages` may carry ``endpoint`` and ``model`` beside ``role`` and
    ``content``: who wrote it. They are never sent; thinking written elsewhere is left out.
    """

    model: str
    system: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    max_tokens: int | None = None
    """The longest answer; None leaves it to the client."""
    effort: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    purpose: Literal["turn", "compact", "judge", "grade"] = "turn"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of the block at `index` among the answer's text blocks, counted from 0."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block began, the one at `index` among the answer's thinking blocks."""

    index: int


@dataclass(frozen=True, slots=True)
class ToolStart:
    """A tool call began; its input is still being written."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one request used. `input_tokens` excludes whatever the caches served or stored."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_5m: int = 0
    cache_creation_1h: int = 0
    web_search_requests: int = 0
    web_fetch_requests: int = 0
    speed: str | None = None
    """``fast`` when fast mode answered, else None."""
    inference_geo: str | None = None
    """Where the request was pinned to, for its price."""
    estimated: bool = False
    """The endpoint gave no counts; these come from the sizes of the texts."""

    @property
    def prompt_tokens(self) -> int:
        """Everything the model read, cached or not."""
        created = self.cache_creation_5m + self.cache_creation_1h
        return self.input_tokens + self.cache_read_input_tokens + created

    def counters(self) -> dict[str, Any]:
        """What the request adds to the session's usage, by wire name (spec/core 5.2)."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read_input_tokens": self.cache_read_input_tokens,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.cache_creation_5m,
                "ephemeral_1h_input_tokens": self.cache_creation_1h,
            },
            "server_tool_use": {
                "web_search_requests": self.web_search_requests,
                "web_fetch_requests": self.web_fetch_requests,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; always the last part of a stream."""

    content: list[dict[str, Any]]
    """The provider's blocks in order; no text block is empty, every tool input is an object."""
    stop_reason: str
    """``end_turn``, ``tool_use``, ``max_tokens``, ``stop_sequence``, ``pause_turn``, ``refusal``
    or ``model_context_window_exceeded``; nothing else."""
    stop_details: dict[str, Any] | None = None
    usage: Usage = field(default_factory=Usage)
    endpoint: str
    """The name of the endpoint that wrote it."""
    model: str
    """The model id that was asked for."""
    broken_tools: frozenset[str] = frozenset()
    """Ids of the ``tool_use`` blocks whose input was not a JSON object; it is ``{}`` there."""


Part: TypeAlias = TextDelta | Thinking | ToolStart | Answer


class ModelError(GatewayError):
    """There is no answer.

    Args:
        kind: What went wrong, in the words of the session's error events (spec/core 8.3).
        message: One sentence for the person who reads it; never a secret.
        retryable: The same request may succeed later.
        retry_after: Seconds the endpoint asked to be left alone.
    """

    def __init__(
        self, kind: Failure, message: str, *, retryable: bool, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind: Failure = kind
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an endpoint takes for one model. The client leaves out whatever it does not take."""

    endpoint: str = ""
    thinking: bool = True
    cache_control: bool = True
    count_tokens: bool = True
    images: bool = True
    documents: bool = True
    system_turns: bool = True
    max_input_tokens: int = 200_000
    max_tokens: int = 32_000


class Model(Protocol):
    """A language model. Two kinds exist: an endpoint of the Messages API, and a script."""

    def stream(self, request: Request) -> AsyncIterator[Part]:
        """Ask, and yield the parts of the answer as they come; the last one is the `Answer`.

        The iterator is an async generator: leave it with ``aclose``, or cancel it at any await.

        Raises:
            ModelError: There is no answer.
        """
        ...

    def capabilities(self, model: str) -> Capabilities:
        """What may be asked of a model; the defaults for an id that no endpoint serves."""
        ...
