"""The usage of one request, from whatever counts its stream carried.

Anthropic's meaning is the only one inside: ``input_tokens`` excludes what caches served or
stored. Counts in a stream are running totals, so the highest seen of each is the count; that
also covers servers that put all numbers into the first event, or all into the last.
"""

from typing import Any

from gateway.model import tokens
from gateway.model.contract import Request, Usage

_COUNTERS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_CREATED = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
_SERVER_TOOLS = ("web_search_requests", "web_fetch_requests")


class Meter:
    """Collects the ``usage`` objects of one stream."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._speed: str | None = None
        self._final = False

    def take(self, usage: Any, *, final: bool) -> None:
        """Take one ``usage`` object; `final` when the text it counts is complete."""
        if not isinstance(usage, dict):
            return
        self._highest(usage, _COUNTERS)
        self._highest(usage.get("cache_creation"), _CREATED)
        self._highest(usage.get("server_tool_use"), _SERVER_TOOLS)
        if usage.get("speed") == "fast":
            self._speed = "fast"
        if final and self._count(usage.get("output_tokens")):
            self._final = True

    def usage(self, request: Request, content: list[dict[str, Any]]) -> Usage:
        """The whole usage; counts that never came are estimated from `request` and `content`."""
        seen = self._seen.get
        longer = seen("ephemeral_1h_input_tokens", 0)
        created = max(seen("cache_creation_input_tokens", 0) - longer, 0)
        created = max(created, seen("ephemeral_5m_input_tokens", 0))
        read = seen("cache_read_input_tokens", 0)
        prompt, output = seen("input_tokens", 0), seen("output_tokens", 0)
        uncounted_prompt = not (prompt or read or created or longer)
        uncounted_output = not self._final and bool(content)
        if uncounted_prompt:
            prompt = tokens.of_request(request)
        if uncounted_output:
            output = max(output, tokens.of_content(content))
        return Usage(
            input_tokens=prompt,
            output_tokens=output,
            cache_read_input_tokens=read,
            cache_creation_5m=created,
            cache_creation_1h=longer,
            web_search_requests=seen("web_search_requests", 0),
            web_fetch_requests=seen("web_fetch_requests", 0),
            speed=self._speed,
            inference_geo=request.inference_geo,
            estimated=uncounted_prompt or uncounted_output,
        )

    def _highest(self, counts: Any, names: tuple[str, ...]) -> None:
        if isinstance(counts, dict):
            for name in names:
                self._seen[name] = max(self._seen.get(name, 0), self._count(counts.get(name)))

    @staticmethod
    def _count(value: Any) -> int:
        """A count as an integer; nonsense counts nothing."""
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
