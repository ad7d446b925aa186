"""Turns a finished answer into events, in the order clients rely on.

Thinking, message, tool uses, then the end of the span (spec/core 6.6). Each tool use carries what
the gate decided about it. Nothing here is committed: the runner does that.
"""

from typing import Any

import anyio

from gateway.loop import draft
from gateway.loop.acting import Acting
from gateway.loop.journal import Journal
from gateway.loop.state import ThreadState
from gateway.loop.turn import Previews
from gateway.model.contract import Answer
from gateway.model.price import Prices
from gateway.policy.facts import Standing
from gateway.tools.admission import Call, Decided
from gateway.tools.call import Gate
from gateway.tools.catalog import Catalog, Tool

_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


class Scribe:
    """Writes answers into one journal."""

    def __init__(
        self, journal: Journal, gate: Gate, catalog: Catalog, prices: Prices, acting: Acting
    ) -> None:
        self._journal = journal
        self._acting = acting
        self._gate = gate
        self._catalog = catalog
        self._prices = prices

    async def decide(self, thread: ThreadState, answer: Answer) -> list[Decided]:
        """Have the gate decide the calls of an answer, in its order. Nothing is staged yet."""
        calls = [
            self._call(thread, block, broken=block["id"] in answer.broken_tools)
            for block in answer.content
            if block["type"] == "tool_use"
        ]
        decided: list[Decided | None] = [None] * len(calls)

        async def propose(place: int, standing: Standing) -> None:
            decided[place] = await self._gate.propose(
                calls[place], self._catalog, standing, self._acting.history
            )

        cents = 0
        async with anyio.create_task_group() as tasks:  # a judge may take a while for each
            for place, call in enumerate(calls):
                tasks.start_soon(propose, place, self._acting.standing(more_cents=cents))
                cents += self._gate.cents(call, self._catalog)
        return [each for each in decided if each is not None]

    def write(
        self, thread: ThreadState, answer: Answer, previews: Previews, decided: list[Decided]
    ) -> None:
        """Stage thinking, message, tool uses and the end of the span, in that order."""
        journal = self._journal
        thoughts = [b for b in answer.content if b["type"] in ("thinking", "redacted_thinking")]
        for number in range(len(thoughts)):
            known = previews.thinking[number : number + 1]
            journal.write(draft.thinking(known[0] if known else None), thread.id)
        texts = [b["text"] for b in answer.content if b["type"] == "text" and b["text"]]
        if texts:
            journal.write(draft.message(texts, previews.message), thread.id)
        uses = (block for block in answer.content if block["type"] == "tool_use")
        for block, each in zip(uses, decided, strict=True):
            self._tool_use(thread, block["id"], each)
        self.end_span(thread, answer, "turn")

    def _call(self, thread: ThreadState, block: dict[str, Any], *, broken: bool) -> Call:
        return Call(
            id="",
            session=self._journal.id,
            thread=thread.id,
            name=block["name"],
            input=block["input"],
            broken=broken,
        )

    def _tool_use(self, thread: ThreadState, provider_id: str, decided: Decided) -> None:
        call, tool, decision = decided.call, decided.tool, decided.decision
        kind = _event_type(tool)
        fields: dict[str, Any] = {"name": tool.name if tool else call.name, "input": call.input}
        if kind == "agent.mcp_tool_use" and tool is not None:
            fields["mcp_server_name"] = tool.server
        if kind != "agent.custom_tool_use":
            fields["evaluated_permission"] = decision.outcome
            if decision.evaluation is not None:
                fields["evaluation"] = decision.evaluation
        private: dict[str, Any] = {
            "tool_use_id": provider_id,
            "place": tool.place if tool else "sandbox",
            "broken": call.broken,
            "name": call.name,
            **self._gate.effects(decided),
            **((decided.verdict.spent if decided.verdict else None) or {}),
        }
        event = self._journal.write(draft.Draft(kind, fields, private), thread.id)
        self._acting.record(decided, "proposed", event=event)
        if decision.outcome == "ask":
            self._acting.ask(decided, event=event)

    def end_span(self, thread: ThreadState, answer: Answer, purpose: str) -> None:
        """Close the open span with what the answer used and cost."""
        assert thread.span is not None
        usage = answer.usage
        private = {
            "purpose": purpose,
            "content": answer.content,
            "stop_reason": answer.stop_reason,
            "stop_details": answer.stop_details,
            "endpoint": answer.endpoint,
            "model": answer.model,
            "usage": usage.counters(),
            "cost": str(self._prices.cents(answer.model, usage) or 0),
        }
        shown: dict[str, Any] = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_input_tokens": usage.cache_read_input_tokens,
            "cache_creation_input_tokens": usage.cache_creation_5m + usage.cache_creation_1h,
        }
        if usage.speed is not None:
            shown["speed"] = usage.speed
        end = draft.request_end(thread.span, shown, is_error=False, private=private)
        self._journal.write(end, thread.id)

    def fail_span(self, thread: ThreadState) -> None:
        """Close the open span, if there is one, of a request that came to nothing."""
        if thread.span is None:
            return
        zero: dict[str, Any] = dict.fromkeys(_TOKENS, 0)
        end = draft.request_end(thread.span, zero, is_error=True, private={})
        self._journal.write(end, thread.id)


def _event_type(tool: Tool | None) -> str:
    kinds = {"custom": "agent.custom_tool_use", "mcp": "agent.mcp_tool_use"}
    return kinds.get(tool.kind, "agent.tool_use") if tool else "agent.tool_use"
