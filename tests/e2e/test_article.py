"""The first article's script runs as it is printed: only the address, the key and two ids differ."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.serving import SECONDS, Server, clean_environment
from tests.ledger.requirement import requirement

_SCRIPT = '''
"""Runs one task to its end with an agent and an environment that are there already."""
import os
from anthropic import Anthropic

client = Anthropic(api_key=os.environ["ANTHROPIC_API_KEY"].strip())

AGENT_ID = "YOUR_AGENT_ID"
ENVIRONMENT_ID = "YOUR_ENV_ID"

session = client.beta.sessions.create(
    agent=AGENT_ID,
    environment_id=ENVIRONMENT_ID,
    title="Quickstart session",
)
print(f"Session ID: {session.id}\\n")

with client.beta.sessions.events.stream(session.id) as stream:
    client.beta.sessions.events.send(
        session.id,
        events=[
            {
                "type": "user.message",
                "content": [
                    {
                        "type": "text",
                        "text": (
                            "Create a Python script that finds the first 50 prime "
                            "numbers, saves them to primes.txt (one per line), and "
                            "prints the largest prime and the sum of all 50 primes."
                        ),
                    },
                ],
            },
        ],
    )
    for event in stream:
        match event.type:
            case "agent.message":
                for block in event.content:
                    print(block.text, end="")
            case "agent.tool_use":
                print(f"\\n[Using tool: {event.name}]")
            case "session.status_idle":
                print("\\n\\nAgent finished.")
                break
'''


@pytest.fixture
def printed(quickstart: Server, tmp_path: Path) -> str:
    """What the script prints, run by a Python that knows nothing of this checkout."""
    with quickstart.blocking_client() as client:
        agent = client.beta.agents.create(
            name="Coding Assistant",
            model="claude-haiku-4-5",
            system="You are a helpful coding assistant. Write clear, well-documented code.",
            tools=[{"type": "agent_toolset_20260401"}],
        )
        place = client.beta.environments.create(name="article-env")
    script = tmp_path / "quickstart.py"
    text = _SCRIPT.replace("YOUR_AGENT_ID", agent.id).replace("YOUR_ENV_ID", place.id)
    script.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", script],
        env=clean_environment(**quickstart.access()),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@requirement("streams:open:from-now", "events:message:idle")
def test_the_script_of_the_article_prints_the_events_and_ends(printed: str):
    lines = printed.splitlines()
    assert lines[0].startswith("Session ID: sesn_")
    assert [line for line in lines if line.startswith("[Using")] == [
        "[Using tool: write]",
        "[Using tool: bash]",
        "[Using tool: bash]",
    ]
    assert "Largest prime: 229" in lines
    assert "Sum of all 50 primes: 5117" in lines
    assert lines[-1] == "Agent finished."
