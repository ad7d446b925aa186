"""From the events of a Messages stream to one whole answer, whatever the server got wrong.

Pure: events in, parts out. Tolerates what servers other than Anthropic's are known to do
(research notes on who speaks Messages): missing signatures, empty or broken tool JSON, deltas
for blocks that never began or share an index, unknown events, unknown blocks and stop reasons.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.model.contract import Answer, Part, Request, TextDelta, Thinking, ToolStart
from gateway.model.events import parse
from gateway.model.meter import Meter

_STOP_REASONS = {
    "end_turn": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "pause_turn": "pause_turn",
    "refusal": "refusal",
    "model_context_window_exceeded": "model_context_window_exceeded",
    "length": "max_tokens",
    "content_filter": "refusal",
}
_THOUGHTS = ("thinking", "redacted_thinking")


@dataclass(slots=True)
class _Block:
    """A block under construction: what it began with, and the pieces that followed."""

    start: dict[str, Any]
    pieces: list[str] = field(default_factory=list[str])
    placed: bool = False
    ordinal: int = 0

    @property
    def kind(self) -> str:
        return self.start["type"]


class Accumulator:
    """Builds the answer to one request.

    Args:
        new_id: Makes an id for a tool call that came without one, or with a used one.
    """

    def __init__(self, *, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._begun: list[_Block] = []
        self._blocks: list[_Block] = []
        self._at: dict[Any, _Block] = {}
        self._texts = 0
        self._thoughts = 0
        self._tool_ids: set[str] = set()
        self._meter = Meter()
        self._stop: str | None = None
        self._stop_details: dict[str, Any] | None = None
        self.ended = False

    @property
    def complete(self) -> bool:
        """The server said that the answer ends here."""
        return self.ended or self._stop is not None

    def take(self, event: dict[str, Any]) -> Iterator[Part]:
        """Take one event and yield what it adds; unknown events add nothing."""
        kind = event.get("type")
        if kind == "content_block_delta":
            yield from self._delta(event.get("index"), event.get("delta"))
        elif kind == "content_block_start":
            yield from self._start(event.get("index"), event.get("content_block"))
        elif kind == "message_start":
            message = event.get("message")
            self._meter.take(_get(message, "usage"), final=False)
        elif kind == "message_delta":
            self._finish(event.get("delta"))
            self._meter.take(event.get("usage"), final=True)
        elif kind == "message_stop":
            self.ended = True
        elif kind == "message":
            yield from self._whole(event)

    def answer(self, request: Request, endpoint: str) -> Answer:
        """The answer, once the stream is over."""
        content = [_built(block) for block in self._blocks]
        broken = [block for block in content if block.get("input", {}) is None]
        for block in broken:
            block["input"] = {}
        return Answer(
            content=content,
            stop_reason=self._stop_reason(content),
            stop_details=self._stop_details,
            usage=self._meter.usage(request, content),
            endpoint=endpoint,
            model=request.model,
            broken_tools=frozenset(b["id"] for b in broken if b["type"] == "tool_use"),
        )

    def _whole(self, message: dict[str, Any]) -> Iterator[Part]:
        """A server that does not stream has answered with one message."""
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else []):
            yield from self._start(index, block)
        self._finish(message)
        self._meter.take(message.get("usage"), final=True)
        self.ended = True

    def _start(self, index: Any, start: Any) -> Iterator[Part]:
        kind = _get(start, "type")
        if not isinstance(kind, str):
            return
        block = self._begin(index, dict(start))
        if kind == "text":
            yield from self._text(block, block.start.get("text"))
            return
        self._place(block)
        if kind in _THOUGHTS:
            self._thoughts += 1
            yield Thinking(self._thoughts - 1)
        elif kind == "tool_use":
            self._name(block)
            yield ToolStart(block.start["id"], block.start["name"])

    def _delta(self, index: Any, delta: Any) -> Iterator[Part]:
        kind = _get(delta, "type")
        if kind == "text_delta":
            yield from self._text(self._find(index, "text"), delta.get("text"))
        elif kind == "input_json_delta":
            self._extend(self._find_input(index), delta.get("partial_json"))
        elif kind in ("thinking_delta", "signature_delta"):
            block = self._find(index, "thinking")
            if not block.placed:
                self._place(block)
                self._thoughts += 1
                yield Thinking(self._thoughts - 1)
            if kind == "thinking_delta":
                self._extend(block, delta.get("thinking"))
            elif isinstance(delta.get("signature"), str):
                block.start["signature"] = delta["signature"]
        elif kind == "citations_delta" and isinstance(delta.get("citation"), dict):
            block = self._find(index, "text")
            block.start["citations"] = [*(block.start.get("citations") or []), delta["citation"]]

    def _text(self, block: _Block, text: Any) -> Iterator[Part]:
        """Add text. A block takes its place with its first text: an empty one never existed."""
        if not isinstance(text, str) or not text:
            return
        if not block.placed:
            self._place(block)
            block.ordinal = self._texts
            self._texts += 1
        block.pieces.append(text)
        yield TextDelta(block.ordinal, text)

    def _begin(self, index: Any, start: dict[str, Any]) -> _Block:
        block = self._at[_key(index)] = _Block(start)
        self._begun.append(block)
        return block

    def _place(self, block: _Block) -> None:
        block.placed = True
        self._blocks.append(block)

    def _find(self, index: Any, kind: str) -> _Block:
        """The block a delta means: the one at its index, else the last one that could be meant."""
        block = self._at.get(_key(index))
        if block is not None and block.kind == kind:
            return block
        for other in reversed(self._begun):
            if other.kind == kind:
                return other
        return self._begin(index, {"type": kind})

    def _find_input(self, index: Any) -> _Block | None:
        block = self._at.get(_key(index))
        if block is not None and "input" in block.start:
            return block
        return next((b for b in reversed(self._begun) if "input" in b.start), None)

    @staticmethod
    def _extend(block: _Block | None, piece: Any) -> None:
        if block is not None and isinstance(piece, str) and piece:
            block.pieces.append(piece)

    def _name(self, block: _Block) -> None:
        """Give a tool call what every tool call must have: an id of its own, a name, an input."""
        start = block.start
        if not isinstance(start.get("id"), str) or not start["id"] or start["id"] in self._tool_ids:
            start["id"] = self._new_id()
        self._tool_ids.add(start["id"])
        if not isinstance(start.get("name"), str):
            start["name"] = ""
        start.setdefault("input", {})

    def _finish(self, delta: Any) -> None:
        if isinstance(_get(delta, "stop_reason"), str):
            self._stop = delta["stop_reason"]
        if isinstance(_get(delta, "stop_details"), dict):
            self._stop_details = delta["stop_details"]

    def _stop_reason(self, content: list[dict[str, Any]]) -> str:
        reason = _STOP_REASONS.get(self._stop or "", "end_turn")
        calls = any(block["type"] == "tool_use" for block in content)
        if reason == "end_turn" and calls:
            return "tool_use"
        return "end_turn" if reason == "tool_use" and not calls else reason


def _built(block: _Block) -> dict[str, Any]:
    """The finished block; a ``tool_use`` whose input is no JSON object has input None."""
    whole = "".join(block.pieces)
    if block.kind == "text":
        return {**block.start, "text": whole}
    if block.kind == "thinking":
        begun = block.start.get("thinking")
        return {**block.start, "thinking": (begun if isinstance(begun, str) else "") + whole}
    if "input" not in block.start:
        return block.start
    value = whole if whole.strip() else block.start["input"]
    if isinstance(value, str) and value.strip() not in ("", "null"):
        value = parse(value)
    elif not isinstance(value, dict):
        value = {}
    return {**block.start, "input": value if isinstance(value, dict) else None}


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _key(index: Any) -> Any:
    return index if isinstance(index, int) else None
