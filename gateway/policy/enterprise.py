"""The enterprise's decision: two keys, three outcomes.

A call needs two keys: its agent must be permitted, and so must the user it acts for. Neither lends
the other anything. A policy denies; but a denial that would not be one if somebody had approved
this very call is an ask. So approval is a fact that policies see (``context.approval``), not a way
round them: what is forbidden without ``unless { context.approval.granted }`` stays forbidden.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from gateway.clock import rfc3339
from gateway.policy.arguments import Unjudgeable, to_cedar
from gateway.policy.cedar import Entities, Member, Policies, Question, Uid, Verdict
from gateway.policy.facts import (
    AgentFacts,
    ApprovalFacts,
    CallFacts,
    Facts,
    ServerFacts,
    ToolFacts,
    UserFacts,
)
from gateway.policy.reach import Outcome, describe, outcomes
from gateway.policy.schema import UNLISTED, Vocabulary, write_schema

_SOMEBODY = "*"
"""The approver of a call that nobody has approved yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the enterprise says of a call."""

    outcome: Literal["allow", "ask", "deny"]
    policies: tuple[str, ...] = ()
    """Ids of the policies that said so; none when no policy permitted."""
    approvers: frozenset[str] = frozenset()
    """For an ask: groups of which the approver has to be a member, where a policy names them."""
    second_person: bool = False
    """For an ask: whoever the agent acts for cannot approve it."""
    problem: str = ""
    """Why the call could not be judged at all."""


class Enterprise:
    """One set of policies over one vocabulary; immutable, safe to share."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        """Parse and check.

        Raises:
            PolicyInvalid: The policies cannot be used.
        """
        self.vocabulary = vocabulary
        self.policies = Policies(text, write_schema(vocabulary))
        self._tools = {tool.action: tool for tool in vocabulary.tools}
        self._groups = {
            action: frozenset(vocabulary.groups(action)) for action in (*self._tools, UNLISTED)
        }
        self._entities = lru_cache(maxsize=1024)(self._make_entities)
        self._outcomes = lru_cache(maxsize=4096)(self._find_outcomes)

    def decide(self, call: CallFacts, facts: Facts) -> Ruling:
        """Decide one call. Pure: the same call and facts, the same ruling."""
        try:
            arguments = self._arguments(call)
        except Unjudgeable as error:
            return Ruling(outcome="deny", problem=str(error))
        ruling = self._judge(call, facts, arguments)
        if ruling.outcome == "allow" or facts.approval is not None or ruling.problem:
            return ruling

        def allows(approver: str) -> bool:
            said = ApprovalFacts(by=approver, groups=frozenset(self.policies.asks.values()))
            return self._judge(call, replace(facts, approval=said), arguments).outcome == "allow"

        if not allows(_SOMEBODY):
            return ruling
        wanted = (self.policies.asks.get(policy, "") for policy in ruling.policies)
        return replace(
            ruling,
            outcome="ask",
            approvers=frozenset(filter(None, wanted)),
            second_person=not allows(facts.user.id),
        )

    def outcomes(self, tool: ToolFacts, facts: Facts) -> frozenset[Outcome]:
        """What could come of calling a tool, whatever with and whatever the session has done.

        Of the facts only who and what count. No outcome that can happen is missing; see
        `gateway.policy.reach` for those that may be there all the same.
        """
        return self._outcomes(tool, facts.agent, facts.user, facts.server)

    def reachable(self, tool: ToolFacts, facts: Facts) -> bool:
        """Whether some call of the tool could be allowed or asked; False only if none could."""
        return not self.outcomes(tool, facts) <= {"deny"}

    def _find_outcomes(
        self, tool: ToolFacts, agent: AgentFacts, user: UserFacts, server: ServerFacts
    ) -> frozenset[Outcome]:
        question = self._question(tool, agent, user, server, context="{}")
        world = describe(
            tool=tool,
            action=Member(
                ("Action", question.action),
                frozenset(("Action", group) for group in question.groups),
            ),
            members=(*question.principals, question.resource),
            agent=agent,
            user=user,
            server=server,
            attributes=frozenset(self.vocabulary.attributes),
        )
        groups = frozenset(("Group", name) for name in self.policies.asks.values())
        keys = [(key, self.policies.relevant(question, key)) for key in question.principals]
        return outcomes(keys, world, Member(("User", _SOMEBODY), groups))

    def _question(
        self, tool: ToolFacts, agent: AgentFacts, user: UserFacts, server: ServerFacts, context: str
    ) -> Question:
        action = tool.action if tool.action in self._tools else UNLISTED
        return Question(
            principals=(_agent_key(agent), _user_key(user)),
            action=action,
            groups=self._groups[action],
            resource=_resource(server),
            context=context,
        )

    def _arguments(self, call: CallFacts) -> dict[str, Any]:
        tool = self._tools.get(call.tool.action)
        return {} if tool is None else to_cedar(tool.arguments, call.arguments)

    def _judge(self, call: CallFacts, facts: Facts, arguments: dict[str, Any]) -> Ruling:
        context = json.dumps(_context(call, facts, arguments), ensure_ascii=False)
        try:
            entities = self._entities(facts.agent, facts.user, facts.server, facts.approval)
        except ValueError as error:
            return Ruling(outcome="deny", problem=str(error))
        question = self._question(call.tool, facts.agent, facts.user, facts.server, context)
        return _combine(self.policies.answer(question, entities))

    def _make_entities(
        self,
        agent: AgentFacts,
        user: UserFacts,
        server: ServerFacts,
        approval: ApprovalFacts | None,
    ) -> Entities:
        workspace = _reference(("Workspace", agent.workspace))
        declared = self.vocabulary.attributes
        known = {name: value for name, value in user.attributes if name in declared}
        about_user = {"kind": user.kind, **known}
        about_server = {"kind": server.kind, "pinned": server.pinned}
        entities = [
            _entity(_agent_key(agent), {"workspace": workspace, "version": agent.version}),
            _entity(_user_key(user), about_user),
            _entity(_resource(server), about_server),
        ]
        if approval is not None and approval.by != user.id:
            groups = frozenset(("Group", name) for name in approval.groups)
            entities.append(_entity(Member(("User", approval.by), groups), {"kind": "user"}))
        return self.policies.entities(entities)


def _combine(verdicts: Sequence[Verdict]) -> Ruling:
    """Both keys have to turn; whoever refuses is named."""
    problems = [error for verdict in verdicts for error in verdict.errors]
    refused = [verdict for verdict in verdicts if not verdict.allowed]
    said = {policy for verdict in refused or verdicts for policy in verdict.policies}
    outcome = "deny" if refused else "allow"
    return Ruling(outcome=outcome, policies=tuple(sorted(said)), problem="; ".join(problems))


def _context(call: CallFacts, facts: Facts, arguments: dict[str, Any]) -> dict[str, Any]:
    session, approval = facts.session, facts.approval
    context: dict[str, Any] = {
        "args": arguments,
        "agent": _reference(("Agent", facts.agent.id)),
        "user": _reference(("User", facts.user.id)),
        "workspace": _reference(("Workspace", facts.agent.workspace)),
        "session": {
            "id": session.id,
            "read_private": session.read_private,
            "read_untrusted": session.read_untrusted,
            "data_label": session.data_label,
            "spent_cents": session.spent_cents,
            "spend_cap_cents": session.spend_cap_cents,
            "calls_last_minute": session.calls_last_minute,
        },
        "approval": {"granted": False},
        "now": _extension("datetime", _moment(facts.now)),
        "tool": call.tool.name,
        "tool_digest": call.tool.digest,
    }
    if approval is not None:
        context["approval"] = {"granted": True, "by": _reference(("User", approval.by))}
    if facts.source_ip is not None:
        context["source_ip"] = _extension("ip", facts.source_ip)
    return context


def _moment(instant: int) -> str:
    """Cedar's times have milliseconds."""
    return f"{rfc3339(instant)[:-4]}Z"


def _agent_key(agent: AgentFacts) -> Member:
    classes = {("AgentClass", name) for name in agent.classes}
    return Member(("Agent", agent.id), frozenset({*classes, ("Workspace", agent.workspace)}))


def _user_key(user: UserFacts) -> Member:
    return Member(("User", user.id), frozenset(("Group", name) for name in user.groups))


def _resource(server: ServerFacts) -> Member:
    return Member(
        ("Server", server.id), frozenset(("ServerClass", name) for name in server.classes)
    )


def _entity(member: Member, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": {"type": member.uid[0], "id": member.uid[1]},
        "attrs": attributes,
        "parents": [{"type": kind, "id": name} for kind, name in sorted(member.within)],
    }


def _reference(uid: Uid) -> dict[str, Any]:
    return {"__entity": {"type": uid[0], "id": uid[1]}}


def _extension(function: str, argument: str) -> dict[str, Any]:
    return {"__extn": {"fn": function, "arg": argument}}
