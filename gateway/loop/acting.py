"""For whom a session's agent acts, what policies may know of it, and what is written down of it."""

import json
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from gateway.clock import Clock
from gateway.loop.journal import Journal
from gateway.policy import evidence
from gateway.policy.audit import Approved, Redaction, decision_record, digest_arguments
from gateway.policy.facts import (
    AgentFacts,
    ApprovalFacts,
    SessionFacts,
    Standing,
    UserFacts,
)
from gateway.policy.grants import read_grants
from gateway.rulebook import Rulebook
from gateway.store.approvals import ApprovalRow
from gateway.store.people import PrincipalRow
from gateway.store.records import Event
from gateway.store.store import Store
from gateway.tools.admission import Decided, History
from gateway.tools.catalog import Tool

_MINUTE = 60_000_000
_DATA = "data:"
_WORDS = ("user.message",)
_CALLS = tuple(sorted(evidence.TYPES - set(_WORDS)))
_LAST_WORDS, _LAST_CALLS = 200, 200
"""So many of the last events a judge is shown; it looks at fewer if they are long."""
NOBODY = "unknown"
"""Who a session acts for that was made before anybody asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """The acting side of one session under one lease."""

    journal: Journal
    store: Store
    rulebook: Rulebook
    clock: Clock
    redaction: Redaction
    principal: PrincipalRow | None
    """Whom the session's key belongs to; None if it is nobody's."""
    approval_micros: int
    """How long an ask of the enterprise waits."""

    def standing(self, *, but: str = "", more_cents: int = 0) -> Standing:
        """What holds for a call now.

        Args:
            but: The call that is about to be judged, if it is in the log already.
            more_cents: What calls before it will spend that are not in the log yet.
        """
        return Standing(
            agent=self._agent(),
            user=self._user(),
            session=self._session(but, more_cents),
            source_ip=self.journal.state.conduct.source_ip,
        )

    async def history(self) -> History:
        """What a judge may want to see of the session: its beginning and its end."""
        read = partial(self.store.log.list, session=self.journal.id)
        first = await read(limit=1, types=_WORDS)
        words = await read(limit=_LAST_WORDS, types=_WORDS, order="desc")
        calls = await read(limit=_LAST_CALLS, types=_CALLS, order="desc")
        rows = [*first.rows, *words.rows, *calls.rows]
        logged = {row.seq: row for row in rows if isinstance(row, Event)}
        staged = [row for row in self.journal.staged if row.type in evidence.TYPES]
        every = [*(logged[seq] for seq in sorted(logged)), *staged]
        return History([json.loads(row.wire) for row in every], len(words.rows) == _LAST_WORDS)

    def record(
        self,
        decided: Decided,
        stage: Literal["proposed", "admitted"],
        *,
        event: str,
        approval: ApprovalRow | None = None,
    ) -> None:
        """Stage the audit record of a decision."""
        judgement, standing = decided.judgement, decided.standing
        approved = None
        if approval is not None and approval.approver is not None:
            approved = Approved(id=approval.id, by=approval.approver)
        self.journal.record(
            decision_record(
                id=self.clock.new_id("audit"),
                at=self.clock.now(),
                stage=stage,
                session=self.journal.id,
                thread=decided.call.thread,
                event=event,
                agent=standing.agent,
                actor=standing.user,
                tool=decided.named,
                outcome=decided.decision.outcome,
                rule=decided.decision.rule,
                evaluation=decided.decision.evaluation,
                state=standing.session,
                arguments=decided.call.input,
                redaction=self.redaction,
                ruling=judgement.ruling if judgement else None,
                policy_set=judgement.digest if judgement else "",
                shadow=judgement.shadow if judgement else None,
                switch=judgement.switch if judgement else "",
                enforced=judgement.enforced if judgement else True,
                approval=approved,
            )
        )

    def ask(self, decided: Decided, *, event: str) -> None:
        """Stage the approval that a call has to wait for."""
        tool, judgement = decided.tool, decided.judgement
        assert tool is not None
        assert judgement is not None
        now, enterprise = self.clock.now(), decided.decision.enterprise
        ruling = judgement.ruling if enterprise else None
        body = {
            "thread": decided.call.thread,
            "tool": decided.named.action,
            "tool_digest": decided.named.digest,
            "arguments": self.redaction.show(decided.call.input),
            "arguments_digest": digest_arguments(decided.call.input),
            "policy_set": judgement.digest,
            "policies": list(ruling.policies) if ruling else [],
            "actor": decided.standing.user.id,
            "approvers": sorted(ruling.approvers) if ruling else [],
            "second_person": ruling.second_person if ruling else False,
            "wire": _asks_itself(tool),
            "enterprise": enterprise,
        }
        self.journal.approve(
            ApprovalRow(
                id=self.clock.new_id("appr"),
                workspace=self.journal.session.workspace,
                session=self.journal.id,
                event=event,
                state="pending",
                body=body,
                created_at=now,
                expires_at=now + self.approval_micros if enterprise else None,
            )
        )

    async def approval(self, event: str) -> ApprovalRow | None:
        """What a person was asked of a call, and said."""
        return await self.store.approvals.of(session=self.journal.id, event=event)

    def holds(self, row: ApprovalRow, tool: Tool, arguments: dict[str, Any]) -> bool:
        """Whether an approval is one of this very call, under the policies now in force."""
        asked = row.body
        return (
            row.state == "approved"
            and asked["tool_digest"] == tool.facts.digest
            and asked["arguments_digest"] == digest_arguments(arguments)
            and (not asked["enterprise"] or asked["policy_set"] == self.rulebook.rules.digest)
        )

    async def approver(self, row: ApprovalRow) -> ApprovalFacts:
        """Who approved, as policies see them."""
        by = row.approver or NOBODY
        person = await self.store.people.principal(id=by)
        known = self.rulebook.rules.user(id=by, kind="user", email=person.email if person else None)
        return ApprovalFacts(by=by, groups=known.groups)

    def _agent(self) -> AgentFacts:
        agent = self.journal.session.body["agent"]
        return self.rulebook.rules.agent(
            id=agent["id"],
            name=agent["name"],
            version=agent["version"],
            workspace=self.journal.session.workspace,
        )

    def _user(self) -> UserFacts:
        actor, principal = self.journal.session.actor or NOBODY, self.principal
        if principal is None:
            return self.rulebook.rules.user(id=actor, kind="api_key")
        return self.rulebook.rules.user(id=actor, kind=principal.kind, email=principal.email)

    def _session(self, but: str, more_cents: int) -> SessionFacts:
        state, since = self.journal.state, self.clock.now() - _MINUTE
        conduct = state.conduct
        under_way = [
            call.cents
            for thread in state.threads.values()
            for call in thread.calls.values()
            if call.event != but and call.permission != "deny"
        ]
        recent = sum(made > since for made in conduct.calls)
        return SessionFacts(
            id=self.journal.id,
            read_private="private" in conduct.labels,
            read_untrusted="untrusted" in conduct.labels,
            data_label=",".join(
                label.removeprefix(_DATA) for label in conduct.labels if label.startswith(_DATA)
            ),
            spent_cents=conduct.cents + sum(under_way) + more_cents,
            grants=read_grants(self.journal.session.body["metadata"]),
            calls_last_minute=max(recent - bool(but), 0),
        )


def _asks_itself(tool: Tool) -> bool:
    """Whether the agent's own toolset may ask, whatever the enterprise says."""
    return tool.permission is not None and tool.permission.policy != "always_allow"
