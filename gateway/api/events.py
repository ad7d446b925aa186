"""Sending events to a session and listing what is in its log."""

from typing import Any

from gateway.api import blocks
from gateway.api.context import ApiCall, Gateway, Reply
from gateway.api.sender import sender_of
from gateway.api.sessions import find_session
from gateway.api.threads import find_thread
from gateway.store.records import LogCursor, Range
from gateway.wire import queries, requests, responses
from gateway.wire.cursor import EventCursor, encode


async def send(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/sessions/{id}/events``: all of them are queued, or none (spec/core 6.2)."""
    body = requests.EVENTS_SEND.parse(await call.body(), strict=gateway.config.server.strict_bodies)
    echoes = await gateway.intake.take(
        session=call.path["session_id"],
        workspace=call.workspace,
        events=await blocks.settle(gateway, call.workspace, body["events"]),
        sender=sender_of(gateway, call),
    )
    return Reply(responses.sent(item.wire for item in echoes))


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions/{id}/events``."""
    row = await find_session(gateway, call)
    return await _page(gateway, row.id, queries.EVENT_LIST.parse(call.query))


async def list_thread(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions/{id}/threads/{thread}/events``."""
    row = await find_session(gateway, call)
    thread = await find_thread(gateway, call)
    query = queries.THREAD_EVENT_LIST.parse(call.query)
    return await _page(gateway, row.id, query, thread.id)


async def _page(
    gateway: Gateway, session: str, query: dict[str, Any], thread: str | None = None
) -> Reply:
    order = query.get("order", "asc")
    listed = await gateway.store.log.list(
        session=session,
        thread=thread,
        order=order,
        types=query.get("types") or None,
        created=Range(
            **{key: query.get(f"created_at_{key}") for key in ("gt", "gte", "lt", "lte")}
        ),
        limit=query["limit"],
        cursor=_position(query["page"]),
    )
    token = encode(_cursor(listed.next)) if listed.next is not None else None
    return Reply(responses.page((row.wire for row in listed.rows), token))


def _position(cursor: EventCursor | None) -> LogCursor | None:
    return LogCursor(**cursor._asdict()) if cursor is not None else None


def _cursor(place: LogCursor) -> EventCursor:
    return EventCursor(place.order, place.seq, place.position)
