"""Which URLs a conversation has shown, and by whom: what ``url_sources`` asks (spec/core 2.7.1).

Pure functions of logged events. A URL counts as shown if it stands, with its scheme or at least
with ``www.``, in the text of a source. Compared are host, port, path and query: a page may be
fetched by https if its http address was shown.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from toolservers.web import address
from toolservers.web.address import Address

Json: TypeAlias = dict[str, Any]

_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"`{}|\\^]{1,2048}", re.IGNORECASE)
_TRAILING = ".,;:!?'*_~"
_BRACKETS = {")": "(", "]": "["}
_SERVER_TOOLS = ("web_fetch", "web_search")


class Shown:
    """Reads a conversation from its start and picks out the URLs of the chosen sources.

    Args:
        sources: ``url_sources`` of a web_fetch configuration; a source that is null counts whole.
    """

    def __init__(self, sources: Mapping[str, Any]) -> None:
        self._sources = sources
        self._tools: dict[str, str] = {}
        """The tool of each call, by the id of its event."""

    def holds(self, url: Address, events: Iterable[Json]) -> bool:
        """Whether these events, the next of the conversation, show that URL."""
        wanted = _key(url)
        return any(wanted == _key(found) for event in events for found in self._urls(event))

    def _urls(self, event: Json) -> Iterator[Address]:
        match event:
            case {"type": "agent.tool_use" | "agent.custom_tool_use", "id": id_, "name": name}:
                self._tools[id_] = name
            case {"type": "user.message", "content": content} if self._counts("user_input", ""):
                yield from urls(block["text"] for block in content if block["type"] == "text")
            case {"type": "user.define_outcome", "description": text} if self._counts(
                "user_input", ""
            ):
                yield from urls([text])
            case {"type": "user.custom_tool_result", "custom_tool_use_id": id_}:
                if self._counts("client_tool_results", self._tools.get(id_, "")):
                    yield from urls(_texts(event.get("content") or []))
            case {"type": "agent.tool_result", "tool_use_id": id_, "is_error": False}:
                # An error may repeat what the model asked for, and that shows nothing.
                name = self._tools.get(id_, "")
                if name in _SERVER_TOOLS and self._counts("server_tool_results", name):
                    yield from urls(_texts(event.get("content") or []))
            case _:
                return

    def _counts(self, source: str, tool: str) -> bool:
        choice = self._sources.get(source)
        if choice is None:
            return True
        named = [entry["name"] for entry in choice.get("tools") or ()]
        match choice["type"]:
            case "none":
                return False
            case "only":
                return tool in named
            case "except":
                return tool not in named
            case _:
                return True


def urls(texts: Iterable[str]) -> Iterator[Address]:
    """Every web address in some texts; what only looks like one is passed over."""
    for text in texts:
        for match in _URL.finditer(text):
            found = _trimmed(match[0])
            try:
                yield address.parse(found if "://" in found else f"http://{found}")
            except ValueError:
                continue


def _trimmed(found: str) -> str:
    """Without the punctuation of the sentence, or of the Markdown, around it."""
    found = found.partition("](")[0]
    while _ends_loosely(found):
        found = found[:-1]
    return found


def _ends_loosely(found: str) -> bool:
    last = found[-1]  # it begins with a letter, so there always is one
    opening = _BRACKETS.get(last)
    unopened = opening is not None and found.count(last) > found.count(opening)
    return last in _TRAILING or unopened


def _texts(blocks: Iterable[Json]) -> Iterator[str]:
    for block in blocks:
        match block:
            case {"type": "text", "text": str(text)}:
                yield text
            case {"type": "search_result", "source": str(source), "content": list(content)}:
                yield source
                yield from _texts(content)
            case {"type": "document", "source": source}:
                yield block.get("context") or ""
                yield source.get("url") or source.get("data", "") * (source["type"] == "text")
            case _:
                continue


def _key(url: Address) -> str:
    return url.authority + url.target.rstrip("/")
