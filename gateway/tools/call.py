"""THE GATE: the one path every tool call takes, whoever asks and wherever the tool runs.

A call enters here twice at most: when the model makes it, and again from the top when a person
has answered. The gate decides, runs what may run, and says what came of it:

    Done      it ran; here is its result, already bounded and safe to show
    Parked    a person must agree first
    Client    a client runs it and sends the result
    Refused   it may not run; the model reads why

The gate writes nothing to a session; its caller appends what it returns. Nothing else may reach a
tool server: `bin/check` holds the imports to that.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import anyio
import structlog

from gateway.policy.decide import Answer, Decision, decide
from gateway.tools.breach import tell, tell_death
from gateway.tools.catalog import Catalog, Tool
from gateway.tools.connect import Connections
from gateway.tools.notice import Notice
from gateway.tools.result import Result, failure, from_mcp, oversized, shorten
from gateway.tools.server import ProtocolError
from gateway.tools.web import Job, Web
from sandbox.contract import Sandbox, SandboxError, SandboxGone

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call as its caller knows it."""

    id: str
    """The id of its tool-use event."""
    session: str
    thread: str
    name: str
    input: dict[str, Any]
    broken: bool = False
    """The model's arguments were not JSON; `input` is empty."""
    answer: Answer | None = None
    """What a person said of this very call."""
    reason: str | None = None
    """Why a person denied it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    decision: Decision
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    decision: Decision
    result: Result


Outcome: TypeAlias = Done | Parked | Client | Refused


class Gate:
    """Decides and runs tool calls.

    Args:
        connections: Where tool servers are reached.
        web: What runs the web tools.
        deadline: Seconds any single call may take, whatever it asks for itself.
    """

    def __init__(self, connections: Connections, web: Web, *, deadline: float) -> None:
        self._connections = connections
        self._web = web
        self._deadline = deadline

    def visible_tools(self, catalog: Catalog) -> list[dict[str, Any]]:
        """The tool definitions the model is told about: exactly those `decide` may let through."""
        return catalog.definitions()

    def decide(self, call: Call, catalog: Catalog) -> Decision:
        """Say whether the call may run. Pure: the same call and catalog, the same decision."""
        tool = catalog.get(call.name)
        if tool is not None and tool.kind == "custom":
            return Decision("allow", "tool:custom", None)
        return decide(tool.permission if tool else None, call.answer)

    async def prepare(self, session: str) -> None:
        """Have in the sandbox what the model expects there; `take_notices` says what is not."""
        await self._connections.prepare(session)

    def take_notices(self, session: str) -> list[Notice]:
        """What clients have to know of the session's sandbox, and were not told yet."""
        return self._connections.take_notices(session)

    async def call(self, call: Call, catalog: Catalog) -> Outcome:
        """Take one call as far as it can go now.

        Never raises for anything the tool, its server or its sandbox did: that is a result with
        `is_error`, which the model reads. Cancelling it stops the tool.
        """
        decision = self.decide(call, catalog)
        tool = catalog.get(call.name)
        if decision.outcome == "deny" or tool is None:
            return Refused(decision=decision, result=failure(_refusal(call, decision)))
        if decision.outcome == "ask":
            return Parked(decision=decision)
        if call.broken:
            text = f"{call.name}: the arguments are not valid JSON; send the call again"
            return Refused(decision=decision, result=failure(text))
        if tool.place == "client":
            return Client(decision=decision)
        return Done(decision=decision, result=await self._run(call, tool))

    async def _run(self, call: Call, tool: Tool) -> Result:
        try:
            with anyio.fail_after(self._deadline):
                if tool.place == "web":
                    return await self._web.call(self._job(call, tool))
                return await self._run_in_sandbox(call)
        except TimeoutError:
            return failure(f"{tool.name}: stopped after {self._deadline:g} seconds")
        except (SandboxError, OSError) as error:
            log.warning("sandbox failed", session=call.session, tool=tool.name, error=str(error))
            return failure(f"{tool.name}: the sandbox failed ({error}); call again for a new one")
        except ProtocolError as error:
            return failure(f"{tool.name}: {error}")
        except Exception:
            # One of the three supervisors: a fault in here is this call's, never the session's.
            log.exception("tool call failed", session=call.session, tool=tool.name)
            return failure(f"{tool.name}: internal error")

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


def _refusal(call: Call, decision: Decision) -> str:
    match decision.rule:
        case "tool:unknown":
            return f"There is no tool named {call.name}."
        case "tool:disabled":
            return f"The tool {call.name} is not enabled for this agent."
        case "answer:deny":
            why = f": {call.reason}" if call.reason else "."
            return f"The user denied this call to {call.name}{why}"
        case _:
            return f"Permission to use the tool {call.name} was denied."
