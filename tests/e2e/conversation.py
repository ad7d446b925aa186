"""One session as a client sees it, through the official SDK.

Every wait is bounded by `SECONDS`. What a stream showed and what the list shows are both plain
SDK models; `types` and `of` pick from either.
"""

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
from anthropic import AsyncAnthropic

SECONDS = 20.0

TOOLSET: dict[str, Any] = {"type": "agent_toolset_20260401"}
MODEL = "claude-haiku-4-5"

_numbers = itertools.count()


class Stream:
    """An open event stream and all it has shown."""

    def __init__(self, events: AsyncIterator[Any]) -> None:
        self._events = events
        self.shown: list[Any] = []

    async def next(self) -> Any:
        with anyio.fail_after(SECONDS):
            event = await anext(self._events)
        self.shown.append(event)
        return event

    async def until(self, kind: str, count: int = 1) -> Any:
        """Read on to the next event of a type, or the one that makes `count` of them."""
        while (event := await self.next()).type != kind or count > 1:
            count -= event.type == kind
        return event

    async def until_idle(self) -> list[Any]:
        """Read on to the next rest of the session; returns all shown so far."""
        await self.until("session.status_idle")
        return self.shown

    async def rest(self) -> list[Any]:
        """Read on until the server ends the stream."""
        with anyio.fail_after(SECONDS):
            async for event in self._events:
                self.shown.append(event)
        return self.shown


class Conversation:
    """One session and the client that owns it."""

    def __init__(self, client: AsyncAnthropic, session: str) -> None:
        self.client = client
        self.id = session

    @classmethod
    async def begin(
        cls,
        client: AsyncAnthropic,
        *,
        tools: Iterable[dict[str, Any]] = (TOOLSET,),
        environment: str = "cloud",
        model: str = MODEL,
        agent: Mapping[str, Any] | None = None,
        **session: Any,
    ) -> Self:
        """Make an agent, an environment and a session of them."""
        fields: dict[str, Any] = {"name": "Tester", "model": model, **(agent or {})}
        tester = await client.beta.agents.create(tools=_any(tools), **fields)
        place = await client.beta.environments.create(
            name=f"place-{next(_numbers)}", config=_any({"type": environment})
        )
        made = await client.beta.sessions.create(
            agent=tester.id, environment_id=place.id, **session
        )
        return cls(client, made.id)

    @asynccontextmanager
    async def stream(self, *deltas: str) -> AsyncGenerator[Stream]:
        """Open the session's stream, with previews of the types in `deltas`."""
        events = self.client.beta.sessions.events
        wanted: Any = {"event_deltas": list(deltas)} if deltas else {}
        async with await events.stream(self.id, **wanted) as opened:
            yield Stream(aiter(opened))

    async def send(self, *events: dict[str, Any] | str) -> list[Any]:
        """Send events, a string as a user's message; returns their echoes."""
        made = [said(event) if isinstance(event, str) else event for event in events]
        sent = await self.client.beta.sessions.events.send(self.id, events=_any(made))
        return list(sent.data or [])

    async def turn(self, *events: dict[str, Any] | str) -> list[Any]:
        """Send events and return what the stream shows until the session rests."""
        async with self.stream() as stream:
            await self.send(*events)
            return await stream.until_idle()

    async def reach(self, kind: str, count: int = 1) -> None:
        """Wait until the log has that many events of a type, whenever they came."""
        async with self.stream() as stream:
            seen = {event.id for event in of(await self.log(), kind)}
            while len(seen) < count:
                seen.add((await stream.until(kind)).id)

    async def settle(self) -> None:
        """Wait until the session is idle, whatever it does now."""
        async with self.stream() as stream:
            while (await self.state()).status != "idle":
                await stream.until("session.status_idle")

    async def log(self) -> list[Any]:
        """Every listed event, oldest first."""
        with anyio.fail_after(SECONDS):
            return [e async for e in self.client.beta.sessions.events.list(self.id, limit=1000)]

    async def state(self) -> Any:
        return await self.client.beta.sessions.retrieve(self.id)


def said(text: str) -> dict[str, Any]:
    """A user's message."""
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def allow(event: Any) -> dict[str, Any]:
    return {"type": "user.tool_confirmation", "tool_use_id": event.id, "result": "allow"}


def deny(event: Any, why: str) -> dict[str, Any]:
    confirmation = {"type": "user.tool_confirmation", "tool_use_id": event.id, "result": "deny"}
    return {**confirmation, "deny_message": why}


def answer(event: Any, text: str) -> dict[str, Any]:
    """The result of a custom tool."""
    content = [{"type": "text", "text": text}]
    return {
        "type": "user.custom_tool_result",
        "custom_tool_use_id": event.id,
        "content": content,
    }


INTERRUPT: dict[str, Any] = {"type": "user.interrupt"}


def types(events: Iterable[Any]) -> list[str]:
    return [event.type for event in events]


def of(events: Iterable[Any], kind: str) -> list[Any]:
    """The events of one type."""
    return [event for event in events if event.type == kind]


def processed(events: Iterable[Any]) -> list[Any]:
    """The events without those that a client sent and nobody has taken up yet."""
    return [event for event in events if event.processed_at is not None]


def text(event: Any) -> str:
    """All text of an event's content."""
    return "".join(block.text for block in event.content or [] if block.type == "text")


def results(events: Iterable[Any]) -> list[str]:
    """The texts of all tool results."""
    return [text(event).strip() for event in of(events, "agent.tool_result")]


def _any(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
