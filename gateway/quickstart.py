"""The quickstart of the Managed Agents articles, with the official SDK and nothing else.

Run by ``wharfkeep demo`` as a process of its own: all it knows of the gateway is ``base_url``.
It creates an agent, an environment and a session, opens the stream, sends the task, and prints
what happens until the session is idle.
"""

import json
import os
import sys
from typing import Any

from anthropic import Anthropic

TASK = (
    "Create a Python script that finds the first 50 prime numbers, saves them to primes.txt "
    "(one per line), and prints the largest prime and the sum of all 50 primes."
)
_COLOURS = {"dim": "2", "bold": "1", "green": "32", "yellow": "33", "blue": "34", "red": "31"}
MAX_SHOWN = 12
"""Lines of one tool call or result that are worth a reader's time."""


def main() -> int:
    """Run the quickstart; 0 when the turn ended by itself."""
    client = Anthropic()
    model = os.environ.get("WHARFKEEP_DEMO_MODEL", "claude-haiku-4-5")
    agent = client.beta.agents.create(
        name="Technical Assistant", model=model, tools=[{"type": "agent_toolset_20260401"}]
    )
    environment = client.beta.environments.create(
        name="quickstart-env", config={"type": "cloud", "networking": {"type": "unrestricted"}}
    )
    session = client.beta.sessions.create(
        agent=agent.id, environment_id=environment.id, title="Quickstart session"
    )
    _say("dim", f"agent {agent.id}\nenvironment {environment.id}\nsession {session.id}\n")
    with client.beta.sessions.events.stream(session.id) as stream:
        client.beta.sessions.events.send(
            session.id,
            events=[{"type": "user.message", "content": [{"type": "text", "text": TASK}]}],
        )
        for event in stream:
            shown = _show(event)
            if shown is not None:
                return shown
    return 1


def _show(event: Any) -> int | None:
    """Print one event; an exit status once the session is idle."""
    match event.type:
        case "user.message" if event.processed_at is None:
            _say("bold", "you      ", end="")
            _say("", "\n         ".join(_wrap(event.content[0].text)))
        case "agent.message":
            for block in event.content:
                _say("green", "agent    ", end="")
                _say("", block.text)
        case "agent.tool_use":
            _say("blue", f"{event.name:<8} ", end="")
            _say("dim", _clip(_input(event.input)))
        case "agent.tool_result":
            for block in event.content or []:
                if block.type == "text" and block.text:
                    _say("red" if event.is_error else "dim", "       > " + _clip(block.text))
        case "session.error":
            _say("red", f"error    {event.error.type}: {event.error.message}")
        case "session.status_idle":
            _say("yellow", f"idle     {event.stop_reason.type}")
            return 0 if event.stop_reason.type == "end_turn" else 1
        case _:
            pass
    return None


def _input(given: dict[str, Any]) -> str:
    if "command" in given:
        return str(given["command"])
    if "content" in given:
        return f"{given.get('file_path')}\n{given['content']}"
    return json.dumps(given)


def _clip(text: str) -> str:
    lines = text.rstrip().splitlines()
    if len(lines) > MAX_SHOWN:
        lines = [*lines[:MAX_SHOWN], f"... {len(lines) - MAX_SHOWN} more lines"]
    return "\n         ".join(lines)


def _wrap(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 88)


def _say(colour: str, text: str, end: str = "\n") -> None:
    if colour and os.environ.get("WHARFKEEP_DEMO_COLOUR") == "1":
        text = f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"
    sys.stdout.write(text + end)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
