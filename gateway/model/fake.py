"""`FakeModel`: a language model that follows a script. For demos, tests and rehearsals.

It streams like a real one and keeps no state: which step comes next is read from the conversation
itself, so it survives restarts and serves any number of sessions. The one thing it remembers, and
may forget, is how often a scripted fault has struck. The script's form is `gateway.model.script`.
"""

import hashlib
import json
import re
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import anyio
import anyio.lowlevel

from gateway.model import failure, tokens
from gateway.model.catalogue import claude
from gateway.model.contract import (
    Answer,
    Capabilities,
    Part,
    Request,
    TextDelta,
    Thinking,
    ToolStart,
    Usage,
)
from gateway.model.events import parse
from gateway.model.judge import VERDICT
from gateway.model.script import PRIMES, Fault, Script, Step, Tool, Turn, load

ENDPOINT = "script"
"""The name a script goes by where an endpoint's is expected."""

_OVER = Step(text="The script has nothing more to say.")
_CHUNK = 16
_REMEMBERED = 1024
_PLACEHOLDER = re.compile(r"\{(last_result|last_text|result_(\d+))\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a conversation stands."""

    texts: list[str]
    """Everything the user has said, oldest first."""
    answers: int
    """How often the model has answered since the user's last text."""
    results: list[str]
    """Texts of the tool results since then."""
    failed: bool
    """One of them is an error."""


class FakeModel:
    """A scripted model; a `gateway.model.contract.Model`.

    Args:
        script: The quickstart's by default.
        silence_seconds: How long a scripted hang lasts before it is taken for a failure.
    """

    def __init__(self, script: Script | None = None, *, silence_seconds: float = 300.0) -> None:
        self.script = script or load(PRIMES)
        self._silence = silence_seconds
        self._tries: dict[str, int] = {}

    def capabilities(self, model: str) -> Capabilities:
        known = claude(model)
        if known is None:
            return Capabilities(endpoint=ENDPOINT)
        return Capabilities(
            endpoint=ENDPOINT,
            max_input_tokens=known.max_input_tokens,
            max_tokens=known.max_tokens,
        )

    async def stream(self, request: Request) -> AsyncGenerator[Part, None]:
        """Play the step the conversation has come to.

        Raises:
            ModelError: The step says so.
        """
        place = _place(request.messages)
        step = self._step(request, place)
        key = _key(request)
        answer = _answer(step, place, request, key)
        await anyio.sleep(step.delay_seconds)
        fault = step.fail if step.fail is not None and self._strikes(key, step.fail) else None
        if fault is not None and not fault.cut:
            await self._fail(fault)
        parts = list(_parts(answer))
        if fault is not None:
            parts = parts[: len(parts) // 2]
        for part in parts:
            if isinstance(part, TextDelta) and part.text:
                await anyio.sleep(self.script.chunk_seconds)
            else:
                await anyio.lowlevel.checkpoint()
            yield part
        if fault is not None:
            raise failure.of_connection(ENDPOINT, "stopped in the middle of its answer")
        yield answer

    def _step(self, request: Request, place: _Place) -> Step:
        if request.purpose == "judge":
            return self._judgement(request.messages[-1]["content"][-1]["text"])
        if request.purpose != "turn":
            step: Step = getattr(self.script, request.purpose)
            return step
        turn = self._turn(place.texts)
        if turn is None or place.answers >= len(turn.steps):
            return _OVER
        if place.failed and turn.on_error is not None:
            return Step(text=turn.on_error)
        return turn.steps[place.answers]

    def _turn(self, texts: list[str]) -> Turn | None:
        """The first turn whose pattern fits; else the unpatterned ones in order, the last for ever.

        Texts that some pattern fits take no part in the order.
        """
        if not texts:
            return None
        patterned = [turn for turn in self.script.turns if turn.when is not None]
        for turn in patterned:
            if turn.matches(texts[-1]):
                return turn
        others = [turn for turn in self.script.turns if turn.when is None]
        before = sum(1 for text in texts[:-1] if not any(t.matches(text) for t in patterned))
        return others[min(before, len(others) - 1)] if others else None

    def _judgement(self, call: str) -> Step:
        for given in self.script.judgements:
            if given.when is None or given.matches(call):
                answer = {"why": given.why, "verdict": given.verdict}
                return Step(tools=[Tool(name=VERDICT, input=answer)])
        return self.script.judge

    def _strikes(self, key: str, fault: Fault) -> bool:
        if fault.times == 0:
            return True
        tries = self._tries.pop(key, 0) + 1
        self._tries[key] = tries
        if len(self._tries) > _REMEMBERED:
            del self._tries[next(iter(self._tries))]
        return tries <= fault.times

    async def _fail(self, fault: Fault) -> None:
        if fault.status is None:
            await anyio.sleep(self._silence)
            raise failure.of_connection(ENDPOINT, f"was silent for {self._silence:g} seconds")
        headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:f}"}
        body = json.dumps({"error": {"message": fault.message}})
        raise failure.of_status(ENDPOINT, fault.status, body, headers, now=0)


def _place(messages: list[dict[str, Any]]) -> _Place:
    texts: list[str] = []
    answers, results, failed = 0, list[str](), False
    for message in messages:
        if message["role"] == "assistant":
            answers += 1
        if message["role"] != "user":
            continue
        said = _said(message["content"])
        if said:
            texts.append(said)
            answers, results, failed = 0, [], False
            continue
        for block in message["content"]:
            if block["type"] == "tool_result":
                results.append(_said(block.get("content") or "").strip())
                failed = failed or bool(block.get("is_error"))
    return _Place(texts=texts, answers=answers, results=results, failed=failed)


def _said(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content if block["type"] == "text")


def _answer(step: Step, place: _Place, request: Request, key: str) -> Answer:
    content: list[dict[str, Any]] = []
    broken: set[str] = set()
    if step.thinking:
        thought = _filled(step.thinking, place)
        content.append({"type": "thinking", "thinking": thought, "signature": key})
    if step.text and (text := _filled(step.text, place)):
        content.append({"type": "text", "text": text})
    for number, tool in enumerate(step.tools):
        made = tool.input if tool.raw is None else parse(tool.raw)
        block = {"type": "tool_use", "id": f"toolu_{key}{number:02d}", "name": tool.name}
        if not isinstance(made, dict):
            broken.add(block["id"])
            made = {}
        content.append({**block, "input": _filled(made, place)})
    return Answer(
        content=content,
        stop_reason=step.stop_reason or ("tool_use" if step.tools else "end_turn"),
        stop_details=step.stop_details,
        usage=_usage(step, request, content),
        endpoint=ENDPOINT,
        model=request.model,
        broken_tools=frozenset(broken),
    )


def _usage(step: Step, request: Request, content: list[dict[str, Any]]) -> Usage:
    """The script's counts, and estimates for those it does not give."""
    usage = Usage(
        input_tokens=tokens.of_request(request),
        output_tokens=tokens.of_content(content),
        cache_read_input_tokens=step.usage.cache_read_input_tokens or 0,
        cache_creation_5m=step.usage.cache_creation_input_tokens or 0,
        inference_geo=request.inference_geo,
        speed="fast" if request.speed == "fast" else None,
        estimated=step.usage.input_tokens is None or step.usage.output_tokens is None,
    )
    if step.usage.input_tokens is not None:
        usage = replace(usage, input_tokens=step.usage.input_tokens)
    if step.usage.output_tokens is not None:
        usage = replace(usage, output_tokens=step.usage.output_tokens)
    return usage


def _parts(answer: Answer) -> Iterator[Part]:
    thoughts = texts = 0
    for block in answer.content:
        if block["type"] == "thinking":
            yield Thinking(thoughts)
            thoughts += 1
        elif block["type"] == "tool_use":
            yield ToolStart(block["id"], block["name"])
        else:
            for chunk in _chunks(block["text"]):
                yield TextDelta(texts, chunk)
            texts += 1


def _chunks(text: str) -> Iterator[str]:
    """Whole words, a few at a time."""
    chunk = ""
    for word in re.findall(r"\s*\S+|\s+$", text):
        chunk += word
        if len(chunk) >= _CHUNK:
            yield chunk
            chunk = ""
    if chunk:
        yield chunk


def _filled(value: Any, place: _Place) -> Any:
    """Put what happened into the placeholders, once: what is put in is never looked at again."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _meant(found, place), value)
    if isinstance(value, list):
        return [_filled(item, place) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, place) for key, item in value.items()}
    return value


def _meant(placeholder: re.Match[str], place: _Place) -> str:
    if placeholder[1] == "last_text":
        return place.texts[-1] if place.texts else ""
    number = int(placeholder[2]) - 1 if placeholder[2] else len(place.results) - 1
    return place.results[number] if 0 <= number < len(place.results) else "(no result)"


def _key(request: Request) -> str:
    """A name for this point of this conversation: the same today, tomorrow and elsewhere."""
    talk = [(message["role"], message["content"]) for message in request.messages]
    text = json.dumps([request.purpose, talk], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]
