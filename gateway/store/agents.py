"""Agents and their versions: every version is kept as it was."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update

from gateway.errors import NotFound
from gateway.store import columns, pages
from gateway.store.engine import Database, Tx
from gateway.store.records import AgentRow, Cursor, Page, Range
from gateway.store.schema import agent_versions as versions
from gateway.store.schema import agents as table

_all = select(
    table.c.id,
    table.c.workspace,
    versions.c.version,
    versions.c.body,
    table.c.created_at,
    versions.c.created_at,
    table.c.archived_at,
).join_from(table, versions, versions.c.agent == table.c.id)
_current = _all.where(versions.c.version == table.c.version)
_BY_AGE: pages.Ordering[AgentRow] = pages.Ordering(
    at=table.c.created_at, id=table.c.id, place=lambda row: (row.created_at, row.id)
)
_BY_VERSION: pages.Ordering[AgentRow] = pages.Ordering(
    at=versions.c.version, id=table.c.id, place=lambda row: (row.version, row.id)
)


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of all workspaces."""

    _db: Database

    async def create(self, *, row: AgentRow) -> None:
        """Write an agent and its first version."""
        await self._db.write(lambda tx: _create(tx, row))

    async def get(
        self,
        *,
        workspace: str,
        id: str,  # noqa: A002 - the wire's word
        version: int | None = None,
    ) -> AgentRow:
        """The agent as it is, or as that version was; `updated_at` is when the version was made.

        Raises:
            NotFound: No such agent in this workspace, or no such version of it.
        """
        return await self._db.read(lambda tx: _get(tx, workspace, id, version))

    async def update(
        self,
        *,
        workspace: str,
        id: str,  # noqa: A002 - the wire's word
        now: int,
        change: Callable[[AgentRow], dict[str, Any] | None],
    ) -> AgentRow:
        """Add a version and return it.

        `change` sees the agent locked and returns the new body, or None if nothing would change:
        then no version is made. It raises to refuse.

        Raises:
            NotFound: No such agent in this workspace.
        """
        return await self._db.write(lambda tx: _update(tx, workspace, id, now, change))

    async def archive(self, *, workspace: str, id: str, now: int) -> AgentRow:  # noqa: A002 - the wire's word
        """Archive the agent, or find it archived already; return it."""
        return await self._db.write(lambda tx: _archive(tx, workspace, id, now))

    async def list(
        self,
        *,
        workspace: str,
        limit: int,
        created_gte: int | None = None,
        created_lte: int | None = None,
        include_archived: bool = False,
        cursor: Cursor | None = None,
    ) -> Page[AgentRow]:
        """A page of agents, newest first."""
        query = _current.where(table.c.workspace == workspace)
        if not include_archived:
            query = query.where(table.c.archived_at.is_(None))
        return await self._db.read(
            lambda tx: pages.fetch(
                tx,
                query,
                _read,
                _BY_AGE,
                order="desc",
                limit=limit,
                cursor=cursor,
                created=Range(gte=created_gte, lte=created_lte),
            )
        )

    async def versions(
        self,
        *,
        workspace: str,
        id: str,  # noqa: A002 - the wire's word
        limit: int,
        cursor: Cursor | None = None,
    ) -> Page[AgentRow]:
        """A page of an agent's versions, newest first; `at` of a cursor is the version.

        Raises:
            NotFound: No such agent in this workspace.
        """

        def page(tx: Tx) -> Page[AgentRow]:
            _get(tx, workspace, id, None)
            query = _all.where(table.c.id == id)
            return pages.fetch(
                tx, query, _read, _BY_VERSION, order="desc", limit=limit, cursor=cursor
            )

        return await self._db.read(page)


def _get(
    tx: Tx, workspace: str, agent: str, version: int | None, *, lock: bool = False
) -> AgentRow:
    query = _current if version is None else _all.where(versions.c.version == version)
    query = query.where(table.c.id == agent, table.c.workspace == workspace)
    if lock:
        # The row is locked before it is read: a join read while waiting would mix two versions.
        tx.execute(select(table.c.id).where(table.c.id == agent).with_for_update(key_share=True))
    found = tx.execute(query).fetchone()
    if found is None:
        what = f"agent {agent}" if version is None else f"version {version} of agent {agent}"
        raise NotFound(f"{what} not found")
    return _read(found)


def _create(tx: Tx, row: AgentRow) -> None:
    tx.execute(
        insert(table).values(
            id=row.id,
            workspace=row.workspace,
            version=row.version,
            created_at=row.created_at,
            archived_at=row.archived_at,
        )
    )
    _add_version(tx, row.id, row.version, row.body, row.updated_at)


def _update(
    tx: Tx,
    workspace: str,
    agent: str,
    now: int,
    change: Callable[[AgentRow], dict[str, Any] | None],
) -> AgentRow:
    row = _get(tx, workspace, agent, None, lock=True)
    body = change(row)
    if body is None:
        return row
    version = row.version + 1
    _add_version(tx, agent, version, body, now)
    tx.execute(update(table).where(table.c.id == agent).values(version=version))
    return _get(tx, workspace, agent, None)


def _archive(tx: Tx, workspace: str, agent: str, now: int) -> AgentRow:
    row = _get(tx, workspace, agent, None, lock=True)
    if row.archived_at is not None:
        return row
    tx.execute(update(table).where(table.c.id == agent).values(archived_at=now))
    return _get(tx, workspace, agent, None)


def _add_version(tx: Tx, agent: str, version: int, body: dict[str, Any], now: int) -> None:
    tx.execute(
        insert(versions).values(
            agent=agent, version=version, body=columns.to_json(body), created_at=now
        )
    )


def _read(row: Sequence[Any]) -> AgentRow:
    return AgentRow(
        id=row[0],
        workspace=row[1],
        version=row[2],
        body=columns.from_json(row[3]),
        created_at=row[4],
        updated_at=row[5],
        archived_at=row[6],
    )
