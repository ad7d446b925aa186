"""Threads of a session. Clients read them; only an idle child thread can be archived."""

from typing import Any, TypeAlias

from gateway.api import amendment
from gateway.api.context import ApiCall, Gateway, Reply
from gateway.api.pages import place, token
from gateway.api.sessions import amend, find_session, status
from gateway.clock import rfc3339
from gateway.store.records import SessionRow, ThreadRow
from gateway.wire import queries, responses

Json: TypeAlias = dict[str, Any]


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions/{session_id}/threads``: oldest first, ended ones included."""
    session = await find_session(gateway, call)
    query = queries.THREAD_LIST.parse(call.query)
    page = await gateway.store.threads.list(
        session=session.id,
        limit=query["limit"],
        statuses=query["statuses"],
        cursor=place(query["page"]),
    )
    shown = [_render(session, thread) for thread in page.rows]
    return Reply(responses.page(shown, token(page.next)))


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions/{session_id}/threads/{thread_id}``."""
    session = await find_session(gateway, call)
    return Reply(_render(session, await find_thread(gateway, call)))


async def archive(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/sessions/{session_id}/threads/{thread_id}/archive``."""
    await find_session(gateway, call)
    thread = await find_thread(gateway, call)
    session = await amend(gateway, call, amendment.ArchiveThread(thread.id, gateway.clock))
    return Reply(_render(session, await find_thread(gateway, call)))


async def find_thread(gateway: Gateway, call: ApiCall) -> ThreadRow:
    """The thread that the path names. Find its session first: that checks whose it is.

    Raises:
        NotFound: The session has no such thread.
    """
    return await gateway.store.threads.get(
        session=call.path["session_id"], id=call.path["thread_id"]
    )


def _render(session: SessionRow, thread: ThreadRow) -> bytes:
    primary = thread.id == session.primary_thread
    return responses.SESSION_THREAD.render(
        {
            **thread.body,
            "id": thread.id,
            "type": "session_thread",
            "session_id": thread.session,
            "parent_thread_id": thread.parent,
            "status": status(session) if primary else thread.status,
            "created_at": rfc3339(thread.created_at),
            "updated_at": rfc3339(thread.updated_at),
            "archived_at": rfc3339(thread.archived_at) if thread.archived_at is not None else None,
        }
    )
