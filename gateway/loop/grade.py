"""Grades work towards an outcome: a second model with eyes of its own (spec/core 8.7).

The grader sees the rubric and the files, never the agent's reasoning. It looks at the workspace
with read-only tools, through the same gate as everyone, and ends with one verdict.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import anyio

from gateway.loop import draft
from gateway.loop.acting import Acting
from gateway.loop.fold import add
from gateway.loop.journal import Journal
from gateway.loop.turn import receive
from gateway.model.contract import Answer, Model, ModelError, Request
from gateway.model.price import Prices
from gateway.tools import catalog
from gateway.tools.admission import Call, Client, Refused
from gateway.tools.call import Gate

HEARTBEAT_SECONDS = 10
MAX_ROUNDS = 20
"""Model requests of one evaluation."""

_SYSTEM = (
    "You grade the work of another agent against a rubric. Look at its files with your tools; "
    "deliverables are in /mnt/session/outputs and the workspace is /workspace. Judge each "
    "criterion of the rubric on what you see, not on what is claimed. Then call `verdict` once: "
    "`satisfied` when every criterion is met, `needs_revision` with what to change when one is "
    "not, `failed` when the rubric does not fit the task."
)
_VERDICTS = ("satisfied", "needs_revision", "failed")
_VERDICT_TOOL: dict[str, Any] = {
    "name": "verdict",
    "description": "Give the final verdict on the work.",
    "input_schema": {
        "type": "object",
        "properties": {
            "result": {"type": "string", "enum": list(_VERDICTS)},
            "explanation": {"type": "string"},
        },
        "required": ["result", "explanation"],
    },
}
_TOOLSET: dict[str, Any] = {
    "type": "agent_toolset_20260401",
    "default_config": {"enabled": False, "permission_policy": {"type": "always_allow"}},
    "configs": [{"name": name, "enabled": True} for name in ("read", "glob", "grep")],
}


@dataclass(slots=True)
class Verdict:
    """What an evaluation came to, and what it used."""

    result: str = "failed"
    explanation: str = "The grader gave no verdict."
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    cents: Decimal = Decimal(0)


class Grader:
    """Evaluates outcomes of one session."""

    def __init__(
        self, journal: Journal, *, model: Model, gate: Gate, prices: Prices, acting: Acting
    ) -> None:
        self._journal = journal
        self._acting = acting
        self._model = model
        self._gate = gate
        self._prices = prices
        self._catalog = catalog.build([_TOOLSET], "cloud")
        self._scope: anyio.CancelScope | None = None

    def interrupt(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    async def grade(self, outcome: dict[str, Any]) -> None:
        """Run one evaluation and write its events; an interrupt leaves it open."""
        journal = self._journal
        iteration = _iteration(outcome)
        start = journal.write(draft.evaluation_start(outcome["outcome_id"], iteration))
        await journal.flush()
        verdict = Verdict()
        with anyio.CancelScope() as self._scope:
            if journal.interrupted:
                self._scope.cancel()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beat, outcome["outcome_id"], iteration)
                await self._look(outcome, verdict)
                tasks.cancel_scope.cancel()
        interrupted = self._scope.cancelled_caught
        self._scope = None
        if interrupted:
            return
        rubric = journal.state.rubrics[outcome["outcome_id"]]
        last = iteration + 1 >= (rubric.get("max_iterations") or 3)
        if verdict.result == "needs_revision" and last:
            verdict.result = "max_iterations_reached"
        body, private = _body(verdict), {"usage": verdict.usage, "cost": str(verdict.cents)}
        journal.write(draft.evaluation_end(outcome["outcome_id"], iteration, start, body, private))

    def interrupted(self, outcome: dict[str, Any]) -> draft.Draft:
        """The end of an outcome whose session was interrupted, graded or not (spec/core 6.8)."""
        start = self._journal.state.evaluation or ""
        verdict = Verdict("interrupted", "The session was interrupted.")
        return draft.evaluation_end(
            outcome["outcome_id"], outcome["iteration"], start, _body(verdict)
        )

    async def _beat(self, outcome: str, iteration: int) -> None:
        while True:
            await anyio.sleep(HEARTBEAT_SECONDS)
            self._journal.write(draft.evaluation_ongoing(outcome, iteration))
            await self._journal.flush()

    async def _look(self, outcome: dict[str, Any], verdict: Verdict) -> None:
        messages = [{"role": "user", "content": [_task(self._journal, outcome)]}]
        agent = self._journal.session.body["agent"]
        tools = self._gate.visible_tools(self._catalog, self._acting.standing())
        tools = [*tools, _VERDICT_TOOL]
        for _ in range(MAX_ROUNDS):
            request = Request(
                model=agent["model"]["id"],
                system=_SYSTEM,
                messages=messages,
                tools=tools,
                purpose="grade",
            )
            try:
                answer = await receive(self._model, request, None)
            except ModelError as error:
                verdict.explanation = f"The grader could not be asked: {error.message}"
                return
            self._count(answer, verdict)
            if await self._take(answer, messages, verdict):
                return

    def _count(self, answer: Answer, verdict: Verdict) -> None:
        add(verdict.usage, answer.usage.counters())
        verdict.cents += self._prices.cents(answer.model, answer.usage) or 0

    async def _take(self, answer: Answer, messages: list[dict[str, Any]], verdict: Verdict) -> bool:
        uses = [block for block in answer.content if block["type"] == "tool_use"]
        for use in uses:
            if use["name"] == "verdict" and use["input"].get("result") in _VERDICTS:
                verdict.result = use["input"]["result"]
                verdict.explanation = str(use["input"].get("explanation", ""))
                return True
        if not uses:
            verdict.explanation = " ".join(b["text"] for b in answer.content if b["type"] == "text")
            return True
        messages.append({"role": "assistant", "content": answer.content})
        messages.append({"role": "user", "content": [await self._call(use) for use in uses]})
        return False

    async def _call(self, use: dict[str, Any]) -> dict[str, Any]:
        call = Call(
            id=self._journal.new_id("sevt"),
            session=self._journal.id,
            thread="grader",
            name=use["name"],
            input=use["input"],
        )
        admission = self._gate.admit(call, self._catalog, self._acting.standing())
        self._acting.record(admission.decided, "admitted", event=call.id)
        await self._journal.flush()
        assert not isinstance(admission, Client), "its tools run in the sandbox"
        if isinstance(admission, Refused):
            result = admission.result
        else:
            result = await self._gate.run(admission)
        block: dict[str, Any] = {
            "type": "tool_result",
            "tool_use_id": use["id"],
            "content": result.content,
        }
        return {**block, "is_error": True} if result.is_error else block


def _body(verdict: Verdict) -> dict[str, Any]:
    """The fields of ``span.outcome_evaluation_end`` that the grader decides."""
    creation = verdict.usage.get("cache_creation", {})
    return {
        "result": verdict.result,
        "explanation": verdict.explanation,
        "usage": {
            "input_tokens": verdict.usage.get("input_tokens", 0),
            "output_tokens": verdict.usage.get("output_tokens", 0),
            "cache_read_input_tokens": verdict.usage.get("cache_read_input_tokens", 0),
            "cache_creation_input_tokens": sum(creation.values()),
        },
    }


def _iteration(outcome: dict[str, Any]) -> int:
    """Which evaluation this is, from 0: one more than the last, unless it is the first."""
    return outcome["iteration"] + 1 if outcome["explanation"] is not None else 0


def _task(journal: Journal, outcome: dict[str, Any]) -> dict[str, Any]:
    rubric = journal.state.rubrics[outcome["outcome_id"]]["rubric"]
    text = f"Task: {outcome['description']}\n\nRubric:\n{rubric.get('content', '')}"
    return {"type": "text", "text": text}
