"""Scripts for the scripted model, written as they are read: turns of steps.

What a step may hold is told in `gateway.model.script`; here it only gets short names.
"""

import json
from pathlib import Path
from typing import Any

Step = dict[str, Any]
Turn = dict[str, Any]
Tool = dict[str, Any]


def turn(when: str, *steps: Step | str, **more: Any) -> Turn:
    """What the model answers when the user's text holds `when`; a string is a step's text."""
    made = [{"text": step} if isinstance(step, str) else step for step in steps]
    return {"when": when, "steps": made, **more}


def step(text: str | None = None, *tools: Tool, **more: Any) -> Step:
    return {"text": text, "tools": list(tools), **more}


def call(name: str, **given: Any) -> Tool:
    return {"name": name, "input": given}


def bash(command: str) -> Tool:
    return call("bash", command=command)


def write(folder: Path, *turns: Turn, **more: Any) -> Path:
    """Write a script to a file in `folder` and return its path."""
    path = folder / "script.json"
    path.write_text(json.dumps({"name": "test", "turns": turns, **more}), encoding="utf-8")
    return path
