"""What is true of every session's log, whatever happened to it.

`flaws` reads a list of events, oldest first, and says what is wrong with it; nothing, if all is
well. It knows nothing of how the log was made.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

_RESULTS = {
    "agent.tool_result": "tool_use_id",
    "agent.mcp_tool_result": "mcp_tool_use_id",
    "user.custom_tool_result": "custom_tool_use_id",
    "user.tool_result": "tool_use_id",
}
_USES = ("agent.tool_use", "agent.mcp_tool_use", "agent.custom_tool_use")


def flaws(events: Iterable[Any], *, at_rest: bool = True) -> list[str]:
    """Say what breaks the promises of a log.

    Args:
        events: A whole log, as listed.
        at_rest: The session is idle and waits for nothing, so every call has its result.
    """
    log = list(events)
    return [
        *_repeated(log),
        *_unordered(log),
        *_calls(log, at_rest=at_rest),
        *_spans(log, at_rest=at_rest),
        *_rests(log),
    ]


def _repeated(log: list[Any]) -> list[str]:
    counts = Counter(event.id for event in log)
    return [f"{name} is listed {count} times" for name, count in counts.items() if count > 1]


def _unordered(log: list[Any]) -> list[str]:
    times = [event.processed_at for event in log if event.processed_at is not None]
    return [] if times == sorted(times) else ["the log is not in the order of its times"]


def _calls(log: list[Any], *, at_rest: bool) -> list[str]:
    uses = [event.id for event in log if event.type in _USES]
    answers = [getattr(e, _RESULTS[e.type]) for e in log if e.type in _RESULTS]
    counts = Counter(answers)
    found = [f"{use} has {counts[use]} results" for use in uses if counts[use] > 1]
    found += [f"a result for {name}, which is no call" for name in counts.keys() - set(uses)]
    if at_rest:
        found += [f"{use} has no result" for use in uses if not counts[use]]
    return found


def _spans(log: list[Any], *, at_rest: bool) -> list[str]:
    """Model requests never overlap in one thread, and each ends once."""
    found: list[str] = []
    current: str | None = None
    for event in log:
        if event.type == "span.model_request_start":
            if current is not None:
                found.append(f"{event.id} starts inside {current}")
            current = event.id
        elif event.type == "span.model_request_end":
            if event.model_request_start_id != current:
                found.append(f"{event.id} ends {event.model_request_start_id} inside {current}")
            current = None
    if current is not None and at_rest:
        found.append(f"{current} never ends")
    return found


def _rests(log: list[Any]) -> list[str]:
    return [
        f"{event.id} rests without session.usage directly before"
        for before, event in zip([None, *log], log, strict=False)
        if event.type == "session.status_idle" and getattr(before, "type", None) != "session.usage"
    ]
