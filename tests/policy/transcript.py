"""Sessions as a judge gets them, in few words."""

import json
from typing import Any

from gateway.policy.judge import Plea

Body = dict[str, Any]


def text(words: str) -> Body:
    return {"type": "text", "text": words}


def user(*words: str) -> Body:
    return {"type": "user.message", "id": "sevt_user", "content": [text(each) for each in words]}


def use(name: str = "bash", *, id_: str = "sevt_use", **fields: Any) -> Body:
    """A tool-use event; `input` is that of a harmless command."""
    base = {"type": "agent.tool_use", "id": id_, "name": name, "input": {"command": "ls"}}
    return {**base, "evaluated_permission": "allow", **fields}


def result(*content: Body) -> Body:
    return {"type": "agent.tool_result", "tool_use_id": "sevt_use", "content": list(content)}


def plea(*events: Body, **fields: Any) -> Plea:
    base: Body = {
        "tool": "bash",
        "description": "Runs a command.",
        "input": {"command": "make test"},
    }
    return Plea(**{**base, **fields}, events=events)


def values(part: str) -> list[Any]:
    """The values of a marked part, its marks aside."""
    return [json.loads(line) for line in part.split("\n")[1:-1]]
