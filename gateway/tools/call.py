"""THE GATE: the one path every tool call takes, whoever asks and wherever the tool runs.

A call passes here up to three times, and is decided from the top each time:

    propose   the model has made it: may it run, and who has to agree? The judge is asked here
    admit     it is about to leave, at once or after a person's answer: may it still run?
    run       it runs; nothing but what `admit` let through can be handed to it

The gate writes nothing to a session: its caller records each decision before it acts on it.
Nothing else may reach a tool server: `bin/check` holds the imports to that.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import anyio
import structlog

from gateway.policy.decide import Decision, Hearing, decide
from gateway.policy.facts import Standing, ToolFacts
from gateway.policy.judge import Judge, Plea
from gateway.tools.admission import Admission, Admitted, Call, Client, Decided, History, Refused
from gateway.tools.breach import tell, tell_death
from gateway.tools.catalog import Catalog, Found, Tool, define
from gateway.tools.connect import Connections
from gateway.tools.law import Law
from gateway.tools.notice import Notice
from gateway.tools.result import Result, failure, from_mcp, oversized, shorten
from gateway.tools.server import ProtocolError
from gateway.tools.servers import ServerFailed, Servers, ask_all
from gateway.tools.web import Job, Web
from sandbox.contract import Sandbox, SandboxError, SandboxGone

log = structlog.get_logger()

_CUSTOM = Decision("allow", "tool:custom", None)
"""A client runs them, so they are never subject to policies (spec/core 2.7.3)."""
_UNANSWERED = Decision("deny", "answer:missing", None)
_DENIED = Decision("deny", "log:deny", None)
_HELD = Decision("deny", "audit:undelivered", None)


class Gate:
    """Decides and runs tool calls.

    Args:
        connections: Where tool servers in sandboxes are reached.
        web: What runs the web tools.
        servers: What reaches MCP servers of third parties.
        law: The policies in force.
        judge: Who judges calls under ``auto``; without one they all ask.
        deadline: Seconds any single call may take, whatever it asks for itself.
    """

    def __init__(
        self,
        connections: Connections,
        web: Web,
        *,
        servers: Servers,
        law: Law,
        judge: Judge | None,
        deadline: float,
    ) -> None:
        self._connections = connections
        self._web = web
        self._servers = servers
        self._law = law
        self._judge = judge
        self._deadline = deadline

    def visible_tools(self, catalog: Catalog, standing: Standing) -> list[dict[str, Any]]:
        """The tool definitions the model is told about: those some call of which may run."""
        return [define(tool) for tool in catalog.visible() if self._law.lists(tool, standing)]

    async def propose(
        self,
        call: Call,
        catalog: Catalog,
        standing: Standing,
        history: Callable[[], Awaitable[History]],
    ) -> Decided:
        """Decide a call that the model has just made.

        `history` reads the session so far, for the judge, who is only asked when all others
        would let the call run.
        """
        decided = self._decide(call, catalog, standing)
        tool = decided.tool
        if self._judge is None or tool is None or call.broken or not _wants_judge(decided):
            return decided
        past = await history()
        plea = Plea(
            tool=f"{tool.server}/{tool.name}" if tool.server else tool.name,
            description=tool.description,
            input=call.input,
            events=past.events,
            gap=past.gap,
        )
        verdict = await self._judge.judge(plea)
        # What else holds may have changed while the judge was thinking.
        judged = self._decide(replace(call, verdict=verdict), catalog, standing)
        return replace(judged, verdict=verdict)

    def cents(self, call: Call, catalog: Catalog) -> int:
        """What a call would spend, in US cents."""
        tool = catalog.get(call.name)
        return 0 if tool is None else self._law.cents(tool, call.input)

    def effects(self, decided: Decided) -> dict[str, Any]:
        """What a call will do to its session, for the log (`OpenCall.labels`, `OpenCall.cents`)."""
        tool = decided.tool
        return {} if tool is None else self._law.effects(tool, decided.call.input)

    def admit(self, call: Call, catalog: Catalog, standing: Standing) -> Admission:
        """Decide a call that is about to leave."""
        decided = self._decide(call, catalog, standing)
        if decided.decision.outcome == "ask":  # it was asked before, and not enough was answered
            decided = replace(decided, decision=_UNANSWERED)
        elif call.denied and decided.decision.outcome == "allow":
            decided = replace(decided, decision=_DENIED)
        tool = decided.tool
        if tool is not None and decided.decision.outcome == "allow" and self._law.held(tool):
            decided = replace(decided, decision=_HELD)
        if tool is None or decided.decision.outcome != "allow":
            return Refused(decided=decided, result=failure(_refusal(decided)))
        if call.broken:
            text = f"{tool.name}: the arguments are not valid JSON; send the call again"
            return Refused(decided=decided, result=failure(text))
        if tool.place == "client":
            return Client(decided=decided)
        return Admitted(decided=decided, tool=tool)

    def _decide(self, call: Call, catalog: Catalog, standing: Standing) -> Decided:
        tool = catalog.get(call.name)
        named = (
            self._law.name(tool) if tool else ToolFacts(server="unknown", name=call.name, digest="")
        )
        known = Decided(call=call, tool=tool, standing=standing, decision=_CUSTOM, named=named)
        if tool is None:
            return replace(known, decision=decide(Hearing(permission=None)))
        if tool.kind == "custom":
            return known
        judgement = self._law.judge(tool, call.input, standing, call.approval)
        decision = decide(
            Hearing(
                permission=tool.permission,
                verdict=call.verdict,
                answer=call.answer,
                ruling=judgement.ruling if judgement.enforced else None,
                session=judgement.session,
                blocked=judgement.switch,
            )
        )
        return replace(known, decision=decision, judgement=judgement)

    async def discover(self, session: str, servers: Sequence[dict[str, Any]]) -> Found:
        """Ask an agent's MCP servers (its ``mcp_servers``) for their tools, all at once."""
        return await ask_all(self._servers, session, servers)

    async def prepare(self, session: str) -> None:
        """Have in the sandbox what the model expects there; `take_notices` says what is not."""
        await self._connections.prepare(session)

    def take_notices(self, session: str) -> list[Notice]:
        """What clients have to know of the session's sandbox, and were not told yet."""
        return self._connections.take_notices(session)

    async def run(self, admitted: Admitted) -> Result:
        """Run a call to its result, already bounded and safe to show.

        Never raises for anything the tool, its server or its sandbox did: that is a result with
        `is_error`, which the model reads. Cancelling it stops the tool.
        """
        call, tool = admitted.decided.call, admitted.tool
        try:
            with anyio.fail_after(self._deadline):
                return await self._reach(call, tool)
        except TimeoutError:
            return failure(f"{tool.name}: stopped after {self._deadline:g} seconds")
        except (SandboxError, OSError) as error:
            log.warning("sandbox failed", session=call.session, tool=tool.name, error=str(error))
            return failure(f"{tool.name}: the sandbox failed ({error}); call again for a new one")
        except (ProtocolError, ServerFailed) as error:
            return failure(f"{tool.name}: {error}")
        except Exception:
            # One of the three supervisors: a fault in here is this call's, never the session's.
            log.exception("tool call failed", session=call.session, tool=tool.name)
            return failure(f"{tool.name}: internal error")

    async def _reach(self, call: Call, tool: Tool) -> Result:
        match tool.place:
            case "web":
                return await self._web.call(self._job(call, tool))
            case "server":
                return from_mcp(await self._servers.call(call.session, tool, call.input))
            case _:
                return await self._run_in_sandbox(call)

    def _job(self, call: Call, tool: Tool) -> Job:
        return Job(
            session=call.session,
            thread=call.thread,
            name=tool.name,
            input=call.input,
            config=tool.config,
            seconds=self._deadline,
        )

    async def _run_in_sandbox(self, call: Call) -> Result:
        meta = {
            "wharfkeep/thread": call.thread,
            "wharfkeep/deadline_ms": int(self._deadline * 1000),
        }
        async with self._connections.server(call.session) as (server, sandbox):
            try:
                result = from_mcp(await server.call(call.name, call.input, meta))
                result = await _spill(result, call, sandbox)
            except SandboxGone as error:
                return await tell_death(sandbox, error)
            result = await tell(result, sandbox)
            return _add(result, self._connections.take_news(call.session))


def _add(result: Result, news: str | None) -> Result:
    if news is None:
        return result
    return replace(result, content=[*result.content, {"type": "text", "text": news}])


async def _spill(result: Result, call: Call, sandbox: Sandbox) -> Result:
    """Move text that is too long for the model into a file inside the sandbox."""
    text = oversized(result)
    if text is None:
        return result
    path = f"/tmp/tool-results/{call.id}.txt"  # noqa: S108 - the sandbox's own /tmp
    await sandbox.push(path, text.encode())
    return shorten(result, text, path)


def _wants_judge(decided: Decided) -> bool:
    """Whether all others would let the call run, and only the judge is missing."""
    return decided.decision.rule == "policy:auto:no_judge"


def _refusal(decided: Decided) -> str:
    call, judgement = decided.call, decided.judgement
    name = decided.tool.name if decided.tool else call.name
    why = f": {call.reason}" if call.reason else "."
    problem = judgement.ruling.problem if judgement and judgement.ruling else ""
    texts = {
        "tool:unknown": f"There is no tool named {name}.",
        "tool:disabled": f"The tool {name} is not enabled for this agent.",
        "answer:deny": f"The user denied this call to {name}{why}",
        "answer:missing": f"The call to {name} has no approval that still holds; call it again.",
        "enterprise:unjudgeable": f"The call to {name} was denied by policy: {problem}.",
        "audit:undelivered": f"{name} cannot run now: it could not be put on record. Try later.",
    }
    return texts.get(decided.decision.rule, f"Permission to use the tool {name} was denied.")
