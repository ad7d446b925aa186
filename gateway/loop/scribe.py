"""Turns a finished answer into events, in the order clients rely on.

Thinking, message, tool uses, then the end of the span (spec/core 6.6). Each tool use carries what
the gate decided about it. Nothing here is committed: the runner does that.
"""

from typing import Any

from gateway.loop import draft
from gateway.loop.journal import Journal
from gateway.loop.state import ThreadState
from gateway.loop.turn import Previews
from gateway.model.contract import Answer, Usage
from gateway.model.price import Prices
from gateway.tools.call import Call, Gate
from gateway.tools.catalog import Catalog, Tool

_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


class Scribe:
    """Writes answers into one journal."""

    def __init__(self, journal: Journal, gate: Gate, catalog: Catalog, prices: Prices) -> None:
        self._journal = journal
        self._gate = gate
        self._catalog = catalog
        self._prices = prices

    def write(self, thread: ThreadState, answer: Answer, previews: Previews) -> None:
        """Stage thinking, message, tool uses and the end of the span, in that order."""
        journal = self._journal
        thoughts = [b for b in answer.content if b["type"] in ("thinking", "redacted_thinking")]
        for number in range(len(thoughts)):
            known = previews.thinking[number : number + 1]
            journal.write(draft.thinking(known[0] if known else None), thread.id)
        texts = [b["text"] for b in answer.content if b["type"] == "text" and b["text"]]
        if texts:
            journal.write(draft.message(texts, previews.message), thread.id)
        for block in answer.content:
            if block["type"] == "tool_use":
                self._tool_use(thread, block, broken=block["id"] in answer.broken_tools)
        self.end_span(thread, answer, "turn")

    def _tool_use(self, thread: ThreadState, block: dict[str, Any], *, broken: bool) -> None:
        tool = self._catalog.get(block["name"])
        call = Call(
            id="",
            session=self._journal.id,
            thread=thread.id,
            name=block["name"],
            input=block["input"],
            broken=broken,
        )
        decision = self._gate.decide(call, self._catalog)
        fields: dict[str, Any] = {"name": block["name"], "input": block["input"]}
        kind = _event_type(tool)
        if kind == "agent.mcp_tool_use" and tool is not None:
            fields["mcp_server_name"] = tool.server
        if kind != "agent.custom_tool_use":
            fields["evaluated_permission"] = decision.outcome
            if decision.evaluation is not None:
                fields["evaluation"] = decision.evaluation
        private = {
            "tool_use_id": block["id"],
            "place": tool.place if tool else "sandbox",
            "broken": broken,
        }
        self._journal.write(draft.Draft(kind, fields, private), thread.id)

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
            "usage": counters(usage),
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


def counters(usage: Usage) -> dict[str, Any]:
    """What a request adds to the session's usage, by wire name (spec/core 5.2)."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cache_read_input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_creation_5m,
            "ephemeral_1h_input_tokens": usage.cache_creation_1h,
        },
        "server_tool_use": {
            "web_search_requests": usage.web_search_requests,
            "web_fetch_requests": usage.web_fetch_requests,
        },
    }


def _event_type(tool: Tool | None) -> str:
    kinds = {"custom": "agent.custom_tool_use", "mcp": "agent.mcp_tool_use"}
    return kinds.get(tool.kind, "agent.tool_use") if tool else "agent.tool_use"
