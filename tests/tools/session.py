"""A session in the store that has done nothing yet, for tests of what belongs to one."""

from gateway.store.records import Head, SessionRow, ThreadRow
from gateway.store.store import Store


async def begin(store: Store, session: str, workspace: str) -> None:
    """Write a session without resources, and its primary thread."""
    row = SessionRow(
        id=session,
        workspace=workspace,
        environment="env_1",
        agent="agent_1",
        agent_version=1,
        deployment=None,
        primary_thread="sthr_1",
        body={"resources": []},
        head=Head(),
        seq=0,
        created_at=1,
        updated_at=1,
        archived_at=None,
    )
    thread = ThreadRow(
        id="sthr_1",
        session=session,
        parent=None,
        status="idle",
        body={},
        created_at=1,
        updated_at=1,
        archived_at=None,
    )
    await store.sessions.create(row=row, thread=thread)
