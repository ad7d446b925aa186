"""The way of a logged call back to the gate, at once or with what a person has answered."""

from dataclasses import dataclass, replace
from typing import Any

from gateway.loop.acting import Acting
from gateway.loop.state import OpenCall
from gateway.policy.judge import Verdict
from gateway.store.approvals import ApprovalRow
from gateway.tools.admission import Admission, Call
from gateway.tools.call import Gate
from gateway.tools.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Passage:
    """Has calls of one session admitted."""

    _acting: Acting
    _gate: Gate
    _catalog: Catalog

    async def admit(self, call: OpenCall) -> Admission:
        """Have a call decided again. What is new in the decision is staged to be recorded."""
        acting, request = self._acting, self._request(call)
        row = None
        if call.answer is not None:
            row = await acting.approval(call.event)
        if call.answer == "allow" and row is not None:
            request = await self._with_approval(request, row)
        admission = self._gate.admit(request, self._catalog, acting.standing(but=call.event))
        decided = admission.decided
        if call.answer is not None or decided.decision.outcome != call.permission:
            acting.record(decided, "admitted", event=call.event, approval=row)
        return admission

    async def _with_approval(self, request: Call, row: ApprovalRow) -> Call:
        """Use an approval up; one that is not of this very call is as good as none."""
        acting, tool = self._acting, self._catalog.get(request.name)
        if tool is None or not acting.holds(row, tool, request.input):
            return replace(request, answer=None)
        acting.journal.approve(replace(row, state="used"))
        return replace(request, approval=await acting.approver(row))

    def _request(self, call: OpenCall) -> Call:
        return Call(
            id=call.event,
            session=self._acting.journal.id,
            thread=self._acting.journal.state.primary,
            name=call.name,
            input=call.input,
            broken=call.broken,
            denied=call.permission == "deny",
            answer=call.answer,
            reason=call.reason,
            verdict=_verdict(call.evaluation),
        )


def _verdict(evaluation: dict[str, Any] | None) -> Verdict | None:
    """What the judge said of a call when it was made, from its event."""
    if evaluation is None or evaluation["type"] != "auto":
        return None
    said = evaluation["evaluated_permission"]
    return Verdict(said["type"], said.get("reason_code"))
