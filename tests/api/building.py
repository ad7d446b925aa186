"""Objects to test with, made through the SDK as users make them."""

from typing import Any

from anthropic import Anthropic
from anthropic.types.beta import BetaEnvironment, BetaManagedAgentsAgent, BetaManagedAgentsSession
from anthropic.types.beta.sessions import BetaManagedAgentsStreamSessionEvents

from tests.gateway import MODEL

SERVER = {"type": "url", "name": "docs", "url": "https://docs.example.com/mcp"}
MCP_TOOLSET = {"type": "mcp_toolset", "mcp_server_name": "docs"}
TOOLSET = {"type": "agent_toolset_20260401"}


def make_agent(client: Anthropic, **fields: Any) -> BetaManagedAgentsAgent:
    body: dict[str, Any] = {"name": "Ada", "model": MODEL, **fields}
    return client.beta.agents.create(**body)


def make_environment(client: Anthropic, **fields: Any) -> BetaEnvironment:
    body: dict[str, Any] = {"name": "Plain", **fields}
    return client.beta.environments.create(**body)


def make_session(client: Anthropic, **fields: Any) -> BetaManagedAgentsSession:
    """A session; of a new agent and in a new environment unless they are given."""
    if "agent" not in fields:
        fields["agent"] = make_agent(client).id
    if "environment_id" not in fields:
        name = f"for {fields['agent']}"
        fields["environment_id"] = make_environment(client, name=name[:200]).id
    return client.beta.sessions.create(**fields)


def message(text: str) -> Any:
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def say(client: Anthropic, session: str, text: str) -> None:
    client.beta.sessions.events.send(session, events=[message(text)])


def turn(
    client: Anthropic, session: str, *events: Any
) -> list[BetaManagedAgentsStreamSessionEvents]:
    """Send events and return what the session streams until it is idle."""
    with client.beta.sessions.events.stream(session) as stream:
        client.beta.sessions.events.send(session, events=events)
        return until_idle(stream)


def until_idle(stream: Any) -> list[BetaManagedAgentsStreamSessionEvents]:
    seen: list[BetaManagedAgentsStreamSessionEvents] = []
    for event in stream:
        seen.append(event)
        if event.type == "session.status_idle":
            break
    return seen
